//! `countersign status`: how a running sidecar is, for people and for health checks of containers without a shell.

use crate::admin::{Asked, ask, runtime};
use crate::asking::Door;
use crate::failure::Failure;
use crate::output::{Columns, Output, OutputOption, print, printable};
use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::Value;
use std::process::ExitCode;

/// How a running sidecar is.
///
/// Exits with 0 when it is what --expect says, with 1 and the reason when it is not, and with 3 when nobody answers: made for the
/// health check of a container that has no shell.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign status --expect started")]
pub(crate) struct Status {
    /// The sidecar's `admin.listen` or `admin.socket`
    #[arg(long, value_name = "ADDRESS|SOCKET", env = "COUNTERSIGN_ADMIN", default_value = "127.0.0.1:15000", value_parser = Door::parse)]
    admin: Door,
    /// What it must be: `started` is what others wait for, `ready` is that and its app accepts, `live` is that it answers
    #[arg(long, value_enum, default_value_t, value_name = "STATE")]
    expect: Expect,
    #[command(flatten)]
    output: OutputOption,
}

/// What a sidecar must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Expect {
    Started,
    #[default]
    Ready,
    Live,
}

impl Expect {
    fn key(self) -> &'static str {
        match self {
            Expect::Started => "started",
            Expect::Ready => "ready",
            Expect::Live => "live",
        }
    }
}

impl Status {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let asked = runtime()?.block_on(ask(&self.admin, Method::GET, "/status"));
        let status = asked.map_err(|asked| asked.failure(&self.admin))?;
        let expected = &status[self.expect.key()];
        if !expected["is"].is_boolean() {
            let unexpected = Asked::Unexpected("it says no state".into());
            return Err(unexpected.failure(&self.admin));
        }
        match self.output.output {
            Output::Table => print(&for_people(&status))?,
            Output::Json => print(&format!("{status:#}\n"))?,
        }
        match expected["is"].as_bool() {
            Some(true) => Ok(ExitCode::SUCCESS),
            _ => Err(Failure::No(format!(
                "not {}: {}",
                self.expect.key(),
                text(&expected["why"])
            ))),
        }
    }
}

fn for_people(status: &Value) -> String {
    let identity = &status["identity"];
    let mut rows = vec![
        ["stage".to_owned(), text(&status["stage"])],
        ["started".to_owned(), answer(&status["started"])],
        ["ready".to_owned(), answer(&status["ready"])],
        ["identity".to_owned(), who(identity)],
        ["generation".to_owned(), number(&status["generation"])],
    ];
    let listeners = status["listeners"].as_array().into_iter().flatten();
    rows.extend(listeners.map(|listener| {
        [
            text(&listener["name"]),
            format!("{} {}", text(&listener["kind"]), text(&listener["address"])),
        ]
    }));
    Columns::default().of(&rows)
}

fn who(identity: &Value) -> String {
    let state = text(&identity["state"]);
    match (identity["id"].as_str(), identity["secondsLeft"].as_i64()) {
        (Some(id), Some(left)) => {
            let left = u64::try_from(left).unwrap_or(0);
            format!("{state}: {}, {left} s left", printable(id))
        }
        _ => state,
    }
}

fn answer(state: &Value) -> String {
    match state["is"].as_bool() {
        Some(true) => "yes".to_owned(),
        _ => format!("no: {}", text(&state["why"])),
    }
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

fn number(value: &Value) -> String {
    value
        .as_u64()
        .map_or("none".to_owned(), |number| number.to_string())
}
