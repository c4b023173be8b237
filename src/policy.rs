//! `countersign policy`.
use crate::failure::Failure;
use std::process::ExitCode;

/// Not filled yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Policy {
    /** Nothing. */
    Nothing,
}
impl Policy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::No("policy: not supported yet".into()))
    }
}
