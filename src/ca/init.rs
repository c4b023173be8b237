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
///
/// With --standby-root everybody trusts a second root from the start, whose key lies in DIR/standby-root: take that folder away
/// at once. If the first key is ever lost or stolen, the second one can state who is to be trusted instead, and no sidecar
/// needs to be touched. Nothing here reads it again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: countersign ca init --trust-domain shop.example --dir ca\n          \
                  countersign ca init --trust-domain shop.example --dir ca --standby-root"
)]
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
    /// Publish a second, cold root, with its key in DIR/standby-root
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
        if self.import_root.is_some() {
            let line = "ca init --import-root: not supported yet; leave it out";
            return Err(Failure::Unfit(line.to_owned()));
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
        let now = SystemTime::now();
        let mut authority = Authority::create(&domain, algorithm, now).map_err(refused)?;
        if self.standby_root {
            authority = authority
                .with_new_standby(algorithm, now)
                .map_err(refused)?;
        }
        let dir = Dir::create(&self.dir, &authority).map_err(unfit)?;
        output::print(&welcome(&dir, &authority))
    }
}

fn welcome(dir: &Dir, authority: &Authority) -> String {
    let (path, domain) = (dir.path().display(), authority.trust_domain());
    let root_end = date(authority.root().certificate().validity().not_after_s);
    let standby = match authority.standby() {
        None => String::new(),
        Some(root) => format!(
            "standby      until {}; its key is {}/key.pem: move that folder to where no machine reaches it\n",
            date(root.certificate().validity().not_after_s),
            dir.standby_path().display(),
        ),
    };
    format!(
        "bundle       {}\n\
         fingerprint  {}\n\
         root         until {root_end}; its key is {path}/root/key.pem: keep a copy where only you can reach it\n\
         {standby}\
         next         countersign ca issue --dir {path} --id spiffe://{domain}/orders --out orders\n",
        dir.bundle_path().display(),
        authority.fingerprints().join("\n             "),
    )
}
