//! The `countersign` command: one file per verb, each thin.

mod failure;

mod demo;
mod proxy;
mod ca;
mod svid;
mod policy;
mod config;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// Mutual TLS between services: a sidecar proxy and a small CA in one binary.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A whole mesh in one process on loopback, narrated.
    Demo(demo::Demo),
    /// The sidecar.
    Proxy(proxy::Proxy),
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
    let verb = Cli::parse().verb;
    let done = match verb {
        Verb::Demo(verb) => verb.run(),
        Verb::Proxy(verb) => verb.run(),
        Verb::Ca(verb) => verb.run(),
        Verb::Svid(verb) => verb.run(),
        Verb::Policy(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
    };
    done.unwrap_or_else(Failure::report)
}
