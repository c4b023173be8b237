//! `countersign svid`.
use crate::failure::Failure;
use std::process::ExitCode;

/// Not filled yet.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Svid {
    /** Nothing. */
    Nothing,
}
impl Svid {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::No("svid: not supported yet".into()))
    }
}
