//! `countersign proxy`.

use crate::failure::Failure;
use crate::log;
use crate::process::{Ending, allow_many_files, hangup, runtime};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The sidecar.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: countersign proxy --config sidecar.yaml")]
pub(crate) struct Proxy {
    /// The sidecar's document; it, its policy and its certificates are watched and taken when they change
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Proxy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        allow_many_files();
        runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        let mut ending = Ending::listen()?;
        let mut hangup = hangup()?;
        let running = ::proxy::start_logging_by(&self.config, log::filter_in_force())
            .await
            .map_err(|error| Failure::Unfit(error.to_string()))?;
        let mut asked = false;
        loop {
            let why = tokio::select! {
                () = running.over() => break,
                why = ending.asked() => why,
                _ = hangup.recv() => {
                    reload(&running);
                    continue;
                }
            };
            if asked {
                // Who asks a second time does not want to wait.
                let ended = running.end(Duration::ZERO).await;
                tracing::info!(cut = ended.total(), "{why} again: ended at once; {ended}");
                return Ok(ExitCode::SUCCESS);
            }
            tracing::info!("{why}: ending");
            running.ask_to_end();
            asked = true;
        }
        let ended = running.close().await;
        tracing::info!(cut = ended.total(), "ended; {ended}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes what the files say, and tells what became of that when it is known. Nobody waits for it.
pub(crate) fn reload(running: &::proxy::Running) {
    let reloaded = running.reload_now();
    tokio::spawn(async move { tracing::info!("SIGHUP: {}", reloaded.await) });
}
