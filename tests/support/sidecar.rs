//! The real binary as a sidecar.

use super::client::ask;
use super::process::{Process, countersign};
use super::until;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// `countersign proxy --config FILE`, started. Ends when it is dropped.
pub struct Sidecar {
    /// The process and its output.
    pub process: Process,
}

impl Sidecar {
    /// Starts it, waits until it says that it has started, and learns from its log where it listens. Panics with that log
    /// if it does not start.
    pub fn start(config: &Path) -> Self {
        let sidecar = Sidecar::run(config);
        sidecar.process.err.wait_for("the line `started`", |line| {
            (text(line, "message")? == "started").then_some(())
        });
        sidecar
    }

    /// Starts one that may have no identity yet, and waits until its three pages are up.
    pub fn waiting(config: &Path) -> Self {
        let sidecar = Sidecar::run(config);
        for page in ["metrics", "health", "admin"] {
            sidecar.opened(page);
        }
        sidecar
    }

    fn run(config: &Path) -> Self {
        let mut command = countersign();
        command
            .args(["--log-format", "json", "proxy", "--config"])
            .arg(config);
        Sidecar {
            process: Process::start(&mut command),
        }
    }

    /// What `/started` says now.
    pub async fn started(&self) -> String {
        ask(self.at("health"), "GET", "localhost", "/started")
            .await
            .text()
    }

    /// Where the listener of that name is: one of the configuration's, or `metrics`, `health`, `admin`. The newest, where
    /// a reload opened it anew.
    pub fn at(&self, listener: &str) -> SocketAddr {
        let lines = self.process.err.so_far();
        let all = lines.iter().rev().filter_map(|line| listening(line));
        let found = all.into_iter().find(|(name, _)| name == listener);
        found.map_or_else(
            || panic!("no listener {listener}: {lines:#?}"),
            |(_, at)| at,
        )
    }

    /// Where the listener of that name is, as soon as it opens: some only do with the first identity.
    pub fn opened(&self, listener: &str) -> SocketAddr {
        self.process.err.wait_for(listener, |line| {
            listening(line).and_then(|(name, at)| (name == listener).then_some(at))
        })
    }

    /// The first line of the access log, past or future, that is as wanted.
    pub fn logged(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process.out.wait_for(what, |line| {
            let line = serde_json::from_str(line).expect("the access log is JSON");
            wanted(&line).then_some(line)
        })
    }

    /// The first line of its own log, past or future, whose message holds `part`.
    pub fn said(&self, part: &str) -> String {
        self.process.err.wait_for(part, |line| {
            text(line, "message").filter(|message| message.contains(part))
        })
    }

    /// The value of a series on `/metrics`, written as it stands there; 0 if it is not there.
    pub async fn count(&self, series: &str) -> u64 {
        let found = self
            .metrics()
            .await
            .into_iter()
            .find(|(name, _)| name == series);
        found.map_or(0, |(_, value)| value)
    }

    /// `/metrics` as it stands there.
    pub async fn metrics_text(&self) -> String {
        ask(self.at("metrics"), "GET", "localhost", "/metrics")
            .await
            .text()
    }

    /// All whole-numbered series on `/metrics`.
    pub async fn metrics(&self) -> Vec<(String, u64)> {
        let page = ask(self.at("metrics"), "GET", "localhost", "/metrics").await;
        let series = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        page.text().lines().filter_map(series).collect()
    }

    /// Waits until a series has a value.
    pub async fn counts(&self, series: &str, value: u64) {
        until(series, async || {
            (self.count(series).await == value).then_some(())
        })
        .await;
    }
}

pub fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let is = text(line, "message")?.starts_with("listening on ");
    is.then_some((
        text(line, "listener")?,
        text(line, "address")?.parse().ok()?,
    ))
}

pub fn text(line: &str, field: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line.get(field)?.as_str()?.to_owned())
}
