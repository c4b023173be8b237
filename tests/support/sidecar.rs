//! The real binary as a sidecar.

use super::process::{Process, countersign};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// `countersign proxy --config FILE`, started. Ends when it is dropped.
pub struct Sidecar {
    /// The process and its output.
    pub process: Process,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Sidecar {
    /// Starts it, waits until it says that it has started, and learns from its log where it listens. Panics with that log
    /// if it does not start.
    pub fn start(config: &Path) -> Self {
        let mut command = countersign();
        command
            .args(["--log-format", "json", "proxy", "--config"])
            .arg(config);
        let process = Process::start(&mut command);
        process.err.wait_for("the line `started`", |line| {
            (text(line, "message")? == "started").then_some(())
        });
        let addresses = process
            .err
            .so_far()
            .iter()
            .filter_map(|line| listening(line))
            .collect();
        Sidecar { process, addresses }
    }

    /// Where the listener of that name is: one of the configuration's, or `metrics`, `health`, `admin`.
    pub fn at(&self, listener: &str) -> SocketAddr {
        let address = self.addresses.get(listener).copied();
        address.unwrap_or_else(|| panic!("no listener {listener}, only {:?}", self.addresses))
    }
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let is = text(line, "message")?.starts_with("listening on ");
    is.then_some((
        text(line, "listener")?,
        text(line, "address")?.parse().ok()?,
    ))
}

fn text(line: &str, field: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(line.get(field)?.as_str()?.to_owned())
}
