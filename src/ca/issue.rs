//! `countersign ca issue`.

use super::folder::{open, refused, unfit};
use crate::failure::Failure;
use crate::output;
use ca::{Authority, CSR_BYTES_MAX, Csr, Delivery, DiskError, Renewal, TTL_DEFAULT, date};
use clap::Args;
use config::SpiffeId;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long before its end the root is spoken of: time enough to reach everybody who trusts it.
const ROOT_NOTE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Issue an identity into files, without a running CA: OUT/svid.pem (the leaf, then the issuer), key.pem (0600), bundle.pem.
///
/// A sidecar that watches OUT takes the new files by itself, so a cron job is enough for renewal; run by root, it leaves the
/// files to the owner of OUT. An issuer past half of its
/// 7 days is replaced on the way by a new one from the root's key; its files stay in CA_DIR/issuers.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: countersign ca issue --dir ca --id spiffe://shop.example/orders --out orders\n          \
                  countersign ca issue --dir ca --id spiffe://shop.example/orders --csr orders.csr --out orders"
)]
pub(crate) struct Issue {
    /// Whose identity, such as spiffe://shop.example/orders
    #[arg(long, value_name = "SPIFFE_ID")]
    id: String,
    /// The folder to write into; made if it is missing
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// How long it lives, 10s to 24h [default: 1h]
    #[arg(long, value_name = "TTL")]
    ttl: Option<String>,
    /// The CA's folder, as `ca init` made it
    #[arg(long, value_name = "CA_DIR")]
    dir: Option<PathBuf>,
    /// Sign this request (PKCS#10, PEM or DER) instead of making a key: nothing is taken from it but its key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
}

impl Issue {
    pub(super) fn run(self) -> Result<(), Failure> {
        let id = SpiffeId::parse(&self.id).map_err(|error| {
            Failure::Unfit(format!(
                "ca issue --id {}: {error}; name one such as spiffe://shop.example/orders",
                self.id
            ))
        })?;
        let ttl = match &self.ttl {
            None => TTL_DEFAULT,
            Some(text) => config::unit::duration(text).map_err(|error| {
                Failure::Unfit(format!(
                    "ca issue --ttl {text}: {error}; write such as 1h or 30m"
                ))
            })?,
        };
        let csr = self.csr.as_deref().map(read_csr).transpose()?;
        let dir = open(self.dir.as_deref(), "ca issue")?;
        if dir.contains(&self.out) {
            let out = self.out.display();
            return Err(Failure::Unfit(format!(
                "ca issue --out {out}: it is the CA's own folder; name another"
            )));
        }

        let now = SystemTime::now();
        let (authority, renewal) = dir.authority_renewed(now).map_err(unfit)?;
        tell(&authority, renewal);
        let (leaf, chain_pem, key_pem) = match csr {
            Some(csr) => {
                let leaf = authority.certify(&csr, &id, ttl, now).map_err(refused)?;
                let chain_pem = authority.chain_pem(&leaf);
                (leaf, chain_pem, None)
            }
            None => {
                let issued = authority.issue(&id, ttl, now).map_err(refused)?;
                (issued.leaf, issued.chain_pem, Some(issued.key_pem))
            }
        };
        let delivery = Delivery {
            chain_pem: &chain_pem,
            key_pem: key_pem.as_ref().map(|key| key.as_str()),
            bundle_pem: &authority.bundle().to_pem(),
        };
        delivery
            .write(&self.out)
            .map_err(|error: DiskError| Failure::Unfit(error.to_string()))?;
        output::print(&format!(
            "issued  {id}\nserial  {}\nuntil   {}\nfiles   {}\n",
            leaf.serial(),
            date(leaf.validity().not_after_s),
            self.out.display()
        ))
    }
}

/// What an operator should know of the authority besides the answer, on standard error.
fn tell(authority: &Authority, renewal: Renewal) {
    let end = date(authority.issuer().certificate().validity().not_after_s);
    match renewal {
        Renewal::NotDue => {}
        Renewal::Renewed => eprintln!("note: a new issuer took over, until {end}"),
        Renewal::RootAway => {
            eprintln!(
                "note: the issuer ends at {end} and no next one can be made while the root's key is away"
            );
        }
    }
    let root = authority.root().certificate().validity();
    if SystemTime::now() + ROOT_NOTE > root.not_after() {
        eprintln!(
            "note: the root ends at {}; put a new one beside it in every bundle before that",
            date(root.not_after_s)
        );
    }
}

fn read_csr(path: &Path) -> Result<Csr, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        // One byte more than is allowed shows that there is more.
        File::open(path)?
            .take(CSR_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: io::Error| {
        Failure::Unfit(format!(
            "{} is not read: {error}; name the file with the request",
            path.display()
        ))
    })?;
    Csr::from_pem_or_der(&bytes)
        .map_err(|error| Failure::No(format!("{}: {error}", path.display())))
}
