//! `countersign proxy`.

use crate::failure::Failure;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// The sidecar.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: countersign proxy --config sidecar.yaml")]
pub(crate) struct Proxy {
    /// The sidecar's document; it, its policy and its certificates are watched and taken when they change
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How long connections may take to end after SIGTERM or SIGINT.
const PATIENCE: Duration = Duration::from_secs(30);

impl Proxy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        allow_many_files();
        runtime()?.block_on(self.serve())
    }
    async fn serve(self) -> Result<ExitCode, Failure> {
        let unfit =
            |error: std::io::Error| Failure::Unfit(format!("cannot listen to signals: {error}"));
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate()).map_err(unfit)?,
            signal(SignalKind::interrupt()).map_err(unfit)?,
        );
        let running = ::proxy::start(&self.config)
            .await
            .map_err(|error| Failure::Unfit(error.to_string()))?;
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{why}: ending, at most {} s", PATIENCE.as_secs());
        // Who asks a second time does not want to wait.
        tokio::select! {
            cut = running.end(PATIENCE) => tracing::info!(cut, "ended; {cut} connections were cut"),
            _ = terminate.recv() => tracing::info!("SIGTERM again: ended at once"),
            _ = interrupt.recv() => tracing::info!("SIGINT again: ended at once"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// As many open files as this process may have: the usual 1024 are used up by as many strangers who connect and say nothing.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays where it is");
    }
}

/// One thread where there is one processor: there a second only adds hand-overs between them.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runtime = if threads == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let runtime = runtime.worker_threads(threads).enable_all().build();
    runtime.map_err(|error| {
        Failure::Unfit(format!(
            "cannot start threads: {error}; is a limit of processes reached?"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_may_open_as_many_files_as_its_user_may() {
        allow_many_files();

        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
