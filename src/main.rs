//! The `countersign` command: one file per verb, each thin; it assembles the crates below.

mod failure;
mod output;

mod usage;
mod log;
mod secrecy;
mod process;
mod asking;
mod admin;
mod app;

mod proxy;
mod run;
mod drain;
mod status;
mod ca;
mod svid;
mod policy;
mod config;
mod demo;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use log::LogFormat;
use std::ffi::OsString;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;
use tracing::level_filters::LevelFilter;

/// Gives memory back after a peak, which the usual one does not: `docs/decisions/0019-memory-is-given-back.md`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Mutual TLS between services: a sidecar proxy and a small CA in one binary.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 ok, 1 the answer is no, 2 not fit to start, 3 the other side could not be asked.\n\
                        Example: countersign demo"
)]
struct Cli {
    /// How the command's own log is written, on standard error; COUNTERSIGN_LOG=info,proxy=debug filters it
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A whole mesh in one process on loopback, narrated.
    Demo(demo::Demo),
    /// The sidecar.
    Proxy(proxy::Proxy),
    /// The sidecar first, then the app beside it.
    Run(run::Run),
    /// Take a running sidecar out of service.
    Drain(drain::Drain),
    /// How a running sidecar is.
    Status(status::Status),
    /// The certificate authority.
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Look at an identity.
    #[command(subcommand)]
    Svid(svid::Svid),
    /// Check and question a policy.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Check, show and describe configuration.
    #[command(subcommand)]
    Config(config::Config),
}

fn main() -> ExitCode {
    run(std::env::args_os().collect()).unwrap_or_else(Failure::report)
}

fn run(args: Vec<OsString>) -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(asked)
            if matches!(
                asked.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // Clap colours its help itself; a reader that went away is no failure.
            let _ = asked.print();
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(usage::mistake(&error, &Cli::command(), &args)),
    };
    log::start(cli.log_format, cli.verb.log_level())?;
    match &cli.verb {
        // The app inherits limits, and its cores are its own business.
        Verb::Run(_) => secrecy::keep_own_memory_private(),
        verb if verb.holds_keys() => secrecy::keep_memory_private(),
        _ => {}
    }
    match cli.verb {
        Verb::Demo(verb) => verb.run(),
        Verb::Proxy(verb) => verb.run(),
        Verb::Run(verb) => verb.run(),
        Verb::Drain(verb) => verb.run(),
        Verb::Status(verb) => verb.run(),
        Verb::Ca(verb) => verb.run(),
        Verb::Svid(verb) => verb.run(),
        Verb::Policy(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
    }
}

impl Verb {
    /// What is logged when nobody asks for more or less: what serves tells of its life, other verbs speak for themselves.
    fn log_level(&self) -> LevelFilter {
        match self {
            Verb::Proxy(_) | Verb::Run(_) | Verb::Ca(ca::Ca::Serve(_)) => LevelFilter::INFO,
            // It tells of what it breaks on purpose itself.
            Verb::Demo(_) => LevelFilter::ERROR,
            Verb::Drain(_)
            | Verb::Status(_)
            | Verb::Ca(_)
            | Verb::Svid(_)
            | Verb::Policy(_)
            | Verb::Config(_) => LevelFilter::WARN,
        }
    }

    /// Whether the process reads or makes private keys.
    fn holds_keys(&self) -> bool {
        match self {
            Verb::Demo(_) | Verb::Proxy(_) | Verb::Run(_) | Verb::Ca(_) => true,
            Verb::Drain(_)
            | Verb::Status(_)
            | Verb::Svid(_)
            | Verb::Policy(_)
            | Verb::Config(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn check_mistake(line: &str, expected: &str) {
        let args = line.split(' ').map(OsString::from).collect();
        assert_eq!(
            run(args).map(|_| ()),
            Err(Failure::Unfit(expected.to_owned())),
            "{line}"
        );
    }

    #[test]
    fn a_mistake_on_the_command_line_is_one_line_that_says_what_to_do() {
        for (line, expected) in [
            (
                "countersign",
                "countersign: a verb is missing; `countersign --help` lists them",
            ),
            (
                "countersign ca",
                "countersign ca: a verb is missing; `countersign ca --help` lists them",
            ),
            (
                "countersign prxy",
                "countersign prxy: no such verb; did you mean `proxy`? `countersign --help` lists them",
            ),
            (
                "countersign zzz",
                "countersign zzz: no such verb; `countersign --help` lists them",
            ),
            (
                "countersign policy zzz",
                "countersign policy zzz: no such verb; `countersign policy --help` lists them",
            ),
            (
                "countersign --log-form json demo",
                "countersign demo --log-form: no such argument; did you mean `--log-format`? `countersign demo --help` shows how",
            ),
            (
                "countersign --log-format xml demo",
                "countersign demo --log-format <FORMAT>: `xml` is not taken; one of text, json is wanted; \
                 `countersign demo --help` shows how",
            ),
        ] {
            check_mistake(line, expected);
        }
    }

    #[test]
    fn a_verb_that_is_not_built_yet_says_so_whatever_follows() {
        for (line, verb, above) in [
            (
                "countersign top --config x -- app -v",
                "countersign top",
                "countersign",
            ),
            (
                "countersign --log-format json tap",
                "countersign tap",
                "countersign",
            ),
            (
                "countersign ca revoke --id x",
                "countersign ca revoke",
                "countersign ca",
            ),
            (
                "countersign svid fetch",
                "countersign svid fetch",
                "countersign svid",
            ),
            (
                "countersign policy test",
                "countersign policy test",
                "countersign policy",
            ),
        ] {
            check_mistake(
                line,
                &format!("{verb}: not supported yet; `{above} --help` lists what is"),
            );
        }
    }
}
