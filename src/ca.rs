//! `countersign ca`: the certificate authority, one file a verb.

mod folder;
mod socket;
mod init;
mod serve;
mod issue;
mod token;
mod list;
mod status;
mod bundle;

use crate::failure::Failure;
use bundle::Bundle;
use clap::Subcommand;
use init::Init;
use issue::Issue;
use list::{List, Show};
use serve::Serve;
use status::Status;
use std::process::ExitCode;
use token::Token;

/// The certificate authority.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make a new CA: a root, an issuer and the bundle that everybody is to trust.
    Init(Init),
    /// Serve: answer joins and renewals of workloads.
    Serve(Serve),
    /// Issue an identity into files, from a running CA or a CA's folder.
    Issue(Issue),
    /// Make tokens that admit workloads.
    #[command(subcommand)]
    Token(Token),
    /// List the certificates that have not ended.
    List(List),
    /// Show one certificate of the record.
    Show(Show),
    /// Say how the CA stands, and what is overdue.
    Status(Status),
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
            Ca::Token(verb) => verb.run(),
            Ca::List(verb) => verb.run(),
            Ca::Show(verb) => verb.run(),
            Ca::Status(verb) => verb.run(),
            Ca::Bundle(verb) => verb.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What `--ttl` says, as CAs count it.
fn whole_seconds(verb: &str, text: &str) -> Result<u64, Failure> {
    let unfit = |why: &str| {
        Failure::Unfit(format!(
            "{verb} --ttl {text}: {why}; write such as 1h or 30m"
        ))
    };
    let ttl = config::unit::duration(text).map_err(|error| unfit(&error.why))?;
    match ttl.subsec_nanos() {
        0 => Ok(ttl.as_secs()),
        _ => Err(unfit("whole seconds are counted")),
    }
}
