//! `countersign ca`: the certificate authority.

use crate::failure::Failure;
use crate::output;
use ca::{
    Algorithm, Authority, CSR_BYTES_MAX, Csr, Delivery, Dir, DirError, DiskError, IssueError,
    Renewal, TTL_DEFAULT, date,
};
use clap::{Args, Subcommand, ValueEnum};
use config::{SpiffeId, TrustDomain};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// How long before its end the root is spoken of: time enough to reach everybody who trusts it.
const ROOT_NOTE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The certificate authority.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make a new CA: a root, an issuer and the bundle that everybody is to trust.
    Init(Init),
    /// Issue an identity into files, without a running CA.
    Issue(Issue),
    /// Look at the roots that are trusted.
    #[command(subcommand)]
    Bundle(Bundle),
}

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

impl Ca {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Ca::Init(verb) => verb.run(),
            Ca::Issue(verb) => verb.run(),
            Ca::Bundle(Bundle::Show { dir }) => {
                let dir = open(dir.as_deref(), "ca bundle show")?;
                output::print(&dir.authority().map_err(unfit)?.bundle().to_pem())
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Init {
    fn run(self) -> Result<(), Failure> {
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

impl Issue {
    fn run(self) -> Result<(), Failure> {
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

fn open(dir: Option<&Path>, verb: &str) -> Result<Dir, Failure> {
    let Some(dir) = dir else {
        return Err(Failure::Unfit(format!(
            "{verb}: asking a running CA is not supported yet; name the CA's folder with --dir"
        )));
    };
    Dir::open(dir).map_err(unfit)
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

/// Refusing an identity or a request is an answer; everything else means that this CA is not fit to give one.
fn refused(error: IssueError) -> Failure {
    match error {
        IssueError::Csr(_) | IssueError::NotGranted(_) => Failure::No(error.to_string()),
        _ => Failure::Unfit(error.to_string()),
    }
}

fn unfit(error: DirError) -> Failure {
    Failure::Unfit(error.to_string())
}
