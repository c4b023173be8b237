//! `countersign config`.
use crate::failure::Failure;
use std::process::ExitCode;

/// Not filled yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /** Nothing. */
    Nothing,
}
impl Config {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::No("config: not supported yet".into()))
    }
}
