//! `countersign ca`.
use crate::failure::Failure;
use std::process::ExitCode;

/// Not filled yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Ca {
    /** Nothing. */
    Nothing,
}
impl Ca {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::No("ca: not supported yet".into()))
    }
}
