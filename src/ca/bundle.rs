//! `countersign ca bundle`.

use super::folder::{open, unfit};
use super::socket::SocketOption;
use crate::failure::Failure;
use crate::output;
use api::admin::BundleCall;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Look at the roots that are trusted.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Print the roots now trusted.
    Show(Show),
}

/// Print the roots now trusted: of the running CA, or of a CA's folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 printed, 1 refused, 2 the folder or the command line is not fit, 3 the CA cannot be asked.\n\
                  Examples: countersign ca bundle show > bundle.pem\n          \
                  countersign ca bundle show -o json > bundle.json"
)]
pub(crate) struct Show {
    /// The CA's folder, as `ca init` made it, instead of a running CA
    #[arg(long, value_name = "CA_DIR", conflicts_with = "socket")]
    dir: Option<PathBuf>,
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    form: Form,
    #[command(flatten)]
    socket: SocketOption,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Certificates in PEM.
    #[default]
    Pem,
    /// A SPIFFE bundle (JWKS), for other implementations; only a running CA knows its sequence.
    Json,
}

impl Bundle {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Bundle::Show(show) = self;
        show.run()
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        match (self.dir, self.form) {
            (Some(dir), Form::Pem) => {
                let authority = open(&dir)?.authority().map_err(unfit)?;
                output::print(&authority.bundle().to_pem())
            }
            (Some(_), Form::Json) => Err(Failure::Unfit(
                "ca bundle show -o json: only a running CA knows the sequence; ask it, without --dir"
                    .to_owned(),
            )),
            (None, form) => asked(self.socket, form),
        }
    }
}

fn asked(socket: SocketOption, form: Form) -> Result<(), Failure> {
    let socket = socket.socket_or_dir()?;
    let call = match form {
        Form::Pem => BundleCall::Pem,
        Form::Json => BundleCall::Spiffe,
    };
    let answer = socket.get(call.to_target())?;
    let is_one = match form {
        Form::Pem => identity::pem::certificates(&answer).is_ok(),
        Form::Json => serde_json::from_slice::<serde_json::Value>(&answer)
            .is_ok_and(|document| document.get("keys").is_some()),
    };
    match std::str::from_utf8(&answer) {
        Ok(text) if is_one => output::print(text),
        _ => Err(socket.unusable("it is no bundle")),
    }
}
