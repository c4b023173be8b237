//! `countersign ca issue`: an identity into files, from a running CA or from a CA's folder.
//!
//! ```text
//! command line -> Wish -online: over the socket | offline: from the folder-> Granted -> files
//! ```
//!
//! 1. The key is made here and goes nowhere but into its file.  2. What stands in a record was recorded before it is written.

mod online;

mod offline;

use super::folder::open;
use super::socket::SocketOption;
use super::whole_seconds;
use crate::failure::Failure;
use crate::output;
use ca::{CSR_BYTES_MAX, Csr, Delivery, DiskError, date};
use clap::Args;
use config::SpiffeId;
use identity::Key;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Issue an identity into files: OUT/svid.pem (the leaf, then the issuer), key.pem (0600), bundle.pem.
///
/// A running CA is asked over its socket; with --dir it is done without one, from the CA's folder. There an issuer past half of
/// its 7 days is replaced on the way by a new one from the root's key; its files stay in CA_DIR/issuers. A folder with a
/// record of a running CA is written to only while that CA does not run, and what is issued stands in that record too.
/// A sidecar that watches OUT takes the new files by itself, so a cron job is enough for renewal; run by root, it leaves the
/// files to the owner of OUT.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 issued, 1 refused, 2 the command line, the folder or OUT is not fit, 3 the CA cannot be asked.\n\
                  Examples: countersign ca issue --id spiffe://shop.example/orders --out orders\n          \
                  countersign ca issue --dir ca --id spiffe://shop.example/orders --out orders\n          \
                  countersign ca issue --dir ca --id spiffe://shop.example/orders --csr orders.csr --out orders"
)]
pub(crate) struct Issue {
    /// Whose identity, such as spiffe://shop.example/orders
    #[arg(long, value_name = "SPIFFE_ID")]
    id: String,
    /// The folder to write into; made if it is missing
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// How long it lives, 10s to what the CA grants [default: as long as the CA's leaves live, with --dir 1h]
    #[arg(long, value_name = "TTL")]
    ttl: Option<String>,
    /// The CA's folder, as `ca init` made it, instead of a running CA
    #[arg(long, value_name = "CA_DIR", conflicts_with = "socket")]
    dir: Option<PathBuf>,
    /// Sign this request (PKCS#10, PEM or DER) instead of making a key: nothing is taken from it but its key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    #[command(flatten)]
    socket: SocketOption,
}

/// What is wanted.
struct Wish {
    id: SpiffeId,
    ttl_s: Option<u64>,
    request: Request,
}

/// Whose key it is.
enum Request {
    /// Made here.
    Own { key: Key, csr: identity::Csr },
    /// Somebody else's: the bytes of his request, PEM or DER.
    Foreign(Vec<u8>),
}

impl Request {
    fn new(csr: Option<&Path>, id: &SpiffeId) -> Result<Self, Failure> {
        if let Some(path) = csr {
            return read_csr(path).map(Request::Foreign);
        }
        let unmade = |error: &dyn std::fmt::Display| Failure::Unfit(error.to_string());
        let key = Key::generate().map_err(|error| unmade(&error))?;
        let csr = identity::Csr::create(&key, id).map_err(|error| unmade(&error))?;
        Ok(Request::Own { key, csr })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Request::Own { csr, .. } => csr.der(),
            Request::Foreign(bytes) => bytes,
        }
    }
}

/// What was issued.
struct Granted {
    serial: String,
    not_after_s: u64,
    chain_pem: String,
    bundle_pem: String,
}

impl Issue {
    pub(super) fn run(self) -> Result<(), Failure> {
        let id = SpiffeId::parse(&self.id).map_err(|error| {
            Failure::Unfit(format!(
                "ca issue --id {}: {error}; name one such as spiffe://shop.example/orders",
                self.id
            ))
        })?;
        let ttl_s = self.ttl.as_deref();
        let ttl_s = ttl_s
            .map(|text| whole_seconds("ca issue", text))
            .transpose()?;
        let request = Request::new(self.csr.as_deref(), &id)?;
        let wish = Wish { id, ttl_s, request };
        let granted = match &self.dir {
            None => online::issue(&self.socket.socket_or_dir()?, &wish)?,
            Some(dir) => {
                let dir = open(dir)?;
                if dir.contains(&self.out) {
                    let out = self.out.display();
                    return Err(Failure::Unfit(format!(
                        "ca issue --out {out}: it is the CA's own folder; name another"
                    )));
                }
                offline::issue(&dir, &wish)?
            }
        };
        deliver(&wish, &granted, &self.out)
    }
}

fn deliver(wish: &Wish, granted: &Granted, out: &Path) -> Result<(), Failure> {
    let key_pem = match &wish.request {
        Request::Own { key, .. } => Some(key.to_pem()),
        Request::Foreign(_) => None,
    };
    let delivery = Delivery {
        chain_pem: &granted.chain_pem,
        key_pem: key_pem.as_ref().map(|key| key.as_str()),
        bundle_pem: &granted.bundle_pem,
    };
    delivery
        .write(out)
        .map_err(|error: DiskError| Failure::Unfit(error.to_string()))?;
    output::print(&format!(
        "issued  {}\nserial  {}\nuntil   {}\nfiles   {}\n",
        wish.id,
        granted.serial,
        date(granted.not_after_s),
        out.display()
    ))
}

fn read_csr(path: &Path) -> Result<Vec<u8>, Failure> {
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
    // The CA looks too; here its line can name the file.
    match Csr::from_pem_or_der(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::No(format!("{}: {error}", path.display()))),
    }
}
