//! `countersign ca`: the certificate authority, one file a verb.

mod folder;
mod init;
mod serve;
mod issue;
mod bundle;

use crate::failure::Failure;
use bundle::Bundle;
use clap::Subcommand;
use init::Init;
use issue::Issue;
use serve::Serve;
use std::process::ExitCode;

/// The certificate authority.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make a new CA: a root, an issuer and the bundle that everybody is to trust.
    Init(Init),
    /// Serve: answer joins and renewals of workloads.
    Serve(Serve),
    /// Issue an identity into files, without a running CA.
    Issue(Issue),
    /// Look at the roots that are trusted.
    #[command(subcommand)]
    Bundle(Bundle),
}

impl Ca {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Ca::Init(verb) => verb.run(),
            Ca::Serve(verb) => verb.run(),
            Ca::Issue(verb) => verb.run(),
            Ca::Bundle(verb) => verb.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}
