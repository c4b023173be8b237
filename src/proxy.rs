//! `countersign proxy`.

use crate::failure::Failure;
use crate::process::{Ending, allow_many_files, runtime};
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

/// How long connections may take to end after SIGTERM or SIGINT.
const PATIENCE: Duration = Duration::from_secs(30);

impl Proxy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        allow_many_files();
        runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        let ending = Ending::listen()?;
        let running = ::proxy::start(&self.config)
            .await
            .map_err(|error| Failure::Unfit(error.to_string()))?;
        ending
            .then(PATIENCE, |patience| running.end(patience))
            .await;
        Ok(ExitCode::SUCCESS)
    }
}
