//! `countersign ca bundle`.

use super::folder::{open, unfit};
use crate::failure::Failure;
use crate::output;
use clap::Subcommand;
use std::path::PathBuf;

/// Look at the roots that are trusted.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Print the roots now trusted, in PEM.
    #[command(after_help = "Example: countersign ca bundle show --dir ca")]
    Show {
        /// The CA's folder, as `ca init` made it
        #[arg(long, value_name = "CA_DIR")]
        dir: Option<PathBuf>,
    },
}

impl Bundle {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Bundle::Show { dir } = self;
        let dir = open(dir.as_deref(), "ca bundle show")?;
        output::print(&dir.authority().map_err(unfit)?.bundle().to_pem())
    }
}
