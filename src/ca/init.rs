//! `countersign ca init`.

use super::folder::{refused, unfit};
use crate::failure::Failure;
use crate::output;
use ca::{Algorithm, Authority, Dir, date};
use clap::{Args, ValueEnum};
use config::TrustDomain;
use std::path::PathBuf;
use std::time::SystemTime;

/// Make a new CA: a root (P-256, 2 years), an issuer (7 days) and the bundle that everybody is to trust.
///
/// Nothing is ever overwritten, and DIR appears whole or not at all. DIR/root/key.pem is the key to everything: while it lies
/// there, the next issuer is made from it by itself; it may be taken away, and is then missed after at most 7 days.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign ca init --trust-domain shop.example --dir ca")]
pub(crate) struct Init {
    /// The trust domain, such as shop.example: the first half of every identity
    #[arg(long, value_name = "TD")]
    trust_domain: String,
    /// A new folder for keys and certificates (mode 0700)
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The root's kind of key
    #[arg(long, value_enum, default_value_t, value_name = "ALG")]
    alg: Alg,
    /// Publish a second, cold root (not supported yet)
    #[arg(long)]
    standby_root: bool,
    /// Take over a root that is there (not supported yet)
    #[arg(long, value_name = "FILE")]
    import_root: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Alg {
    #[default]
    P256,
    P384,
}

impl Init {
    pub(super) fn run(self) -> Result<(), Failure> {
        for (given, option) in [
            (self.standby_root, "--standby-root"),
            (self.import_root.is_some(), "--import-root"),
        ] {
            if given {
                return Err(Failure::Unfit(format!(
                    "ca init {option}: not supported yet; leave it out"
                )));
            }
        }
        let domain = TrustDomain::parse(&self.trust_domain).map_err(|error| {
            Failure::Unfit(format!(
                "ca init --trust-domain {}: {error}; name one such as shop.example",
                self.trust_domain
            ))
        })?;
        let algorithm = match self.alg {
            Alg::P256 => Algorithm::P256,
            Alg::P384 => Algorithm::P384,
        };
        let authority =
            Authority::create(&domain, algorithm, SystemTime::now()).map_err(refused)?;
        let dir = Dir::create(&self.dir, &authority).map_err(unfit)?;
        output::print(&welcome(&dir, &authority))
    }
}

fn welcome(dir: &Dir, authority: &Authority) -> String {
    let (path, domain) = (dir.path().display(), authority.trust_domain());
    let root_end = date(authority.root().certificate().validity().not_after_s);
    format!(
        "bundle       {}\n\
         fingerprint  {}\n\
         root         until {root_end}; its key is {path}/root/key.pem: keep a copy where only you can reach it\n\
         next         countersign ca issue --dir {path} --id spiffe://{domain}/orders --out orders\n",
        dir.bundle_path().display(),
        authority.fingerprints().join("\n             "),
    )
}
