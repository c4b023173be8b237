//! `countersign demo`.
use crate::failure::Failure;
use std::process::ExitCode;

/// A whole mesh in one process on loopback, narrated.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::Unfit("demo: not supported yet".into()))
    }
}
