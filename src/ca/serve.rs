//! `countersign ca serve`.

use crate::failure::Failure;
use crate::process::{Ending, allow_many_files, runtime};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Serve: answer joins and renewals of workloads, until SIGTERM or SIGINT.
///
/// DIR of the document is what `countersign ca init` made. One process serves from it at a time; while it does, the other
/// verbs reach the CA by its socket.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign ca serve --config ca.yaml")]
pub(crate) struct Serve {
    /// The CA's document
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// How long calls may take to end after SIGTERM or SIGINT.
const PATIENCE: Duration = Duration::from_secs(10);

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        allow_many_files();
        runtime()?.block_on(self.serve())
    }

    async fn serve(self) -> Result<(), Failure> {
        let ending = Ending::listen()?;
        let config = config::ca::Ca::load(&self.config)
            .map_err(|findings| Failure::Unfit(findings.to_string()))?;
        let running = ca::start(&config)
            .await
            .map_err(|error| Failure::Unfit(error.to_string()))?;
        ending
            .then(PATIENCE, |patience| running.end(patience))
            .await;
        Ok(())
    }
}
