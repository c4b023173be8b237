//! `countersign proxy`.
use crate::failure::Failure;
use std::process::ExitCode;

/// The sidecar.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxy {}
impl Proxy {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        Err(Failure::Unfit("proxy: not supported yet".into()))
    }
}
