//! The attacked sidecars and the strangers: processes that end with whoever started them.

use super::app::app;
use crate::online::Failed;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::timeout;

/// A process that goes with whoever started it.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub(super) fn start(mut command: Command) -> Result<Self, Failed> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(piped.spawn()?))
    }
    pub(super) async fn line(&mut self, within: Duration) -> Result<String, Failed> {
        let out = self.0.stdout.take().ok_or("its output is read")?;
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        Ok(timeout(within, read).await???)
    }
    pub(super) fn resident_kib(&self) -> Result<u64, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmRSS")?.parse()?)
    }
}

/// Two sidecars in a process, one calling the other, which has an app in ours.
pub(super) struct Pair {
    pub(super) process: Process,
    /// Where the calling sidecar listens for its app.
    pub(super) http: SocketAddr,
    /// Where the called one listens for the network.
    pub(super) web: SocketAddr,
    /// Their metrics, the calling one's first.
    pub(super) metrics: [SocketAddr; 2],
}

impl Pair {
    /// With their files in this folder and this `limits.idle`, as this program serves them.
    pub(super) async fn start(program: &Path, folder: &Path, idle: &str) -> Result<Self, Failed> {
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(folder)
            .arg(app().await?.to_string())
            .arg(idle);
        let mut process = Process::start(command)?;
        let line = process.line(Duration::from_secs(30)).await?;
        let at: Vec<SocketAddr> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [http, web, metrics @ ..] = &at[..] else {
            return Err("the sidecars do not say where they listen".into());
        };
        Ok(Self {
            process,
            http: *http,
            web: *web,
            metrics: metrics.try_into()?,
        })
    }
}
