//! A root and an issuer, and the whole pipeline behind one call.
//!
//! In: a trust domain to begin with, or the parts of an authority that already is; then identities or signing requests.
//! Out: certificates that were checked, and what must lie beside them. Holds keys in memory; touches no file and no clock.
//!
//! 1. Only an issuer signs leaves; the root's key signs issuers and may be away.
//! 2. The issuer was signed by the root: otherwise there is no `Authority`.

use crate::authorize::{Grant, NotGranted, TTL_MAX};
use crate::check::{CheckFailed, Checked, check_authority, check_leaf};
use crate::csr::{Csr, CsrRefused};
use crate::key::PublicKey;
use crate::sign::{By, SignFailed, sign};
use crate::signer::{AuthorityCertificate, Signer, SignerUnfit};
use crate::template::{ISSUER_LIFE_S, NotNow, Serial, Template};
use crate::text;
use config::{SpiffeId, TrustDomain};
use identity::pki_types::CertificateDer;
use identity::{
    Bundle, BundleError, Bundles, CsrError, Key, KeyError, Svid, SvidError, Verifier, pem,
};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// A certificate authority of one trust domain.
#[derive(Debug)]
pub struct Authority {
    domain: TrustDomain,
    root: Root,
    standby: Option<Root>,
    issuer: Signer,
    bundle: Bundle,
    /// Judges every leaf as its peers will.
    peers: Verifier,
}

/// The kind of a root's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    P256,
    /// ECDSA on P-384 with SHA-384: makes a full handshake 45 % dearer.
    P384,
}

/// The root, with its key or without.
#[derive(Debug)]
pub enum Root {
    /// The key is here: issuers can be made.
    Here(Box<Signer>),
    /// The key is kept elsewhere: leaves can be issued until the issuer ends.
    Away(AuthorityCertificate),
}

impl Root {
    /// Its key, if that is here.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Root::Here(signer) => Some(signer.key()),
            Root::Away(_) => None,
        }
    }

    /// Its certificate.
    pub fn certificate(&self) -> &AuthorityCertificate {
        match self {
            Root::Here(signer) => signer.certificate(),
            Root::Away(certificate) => certificate,
        }
    }
}

/// An identity with its key, ready to be written into files or handed to a sidecar in the same process.
#[derive(Debug)]
pub struct Issued {
    /// The leaf, then the issuer; never the root.
    pub chain_pem: String,
    /// PKCS#8, wiped on drop.
    pub key_pem: Zeroizing<String>,
    /// The roots to trust.
    pub bundle_pem: String,
    /// The leaf itself, with its serial and validity.
    pub leaf: Checked,
}

/// Why nothing was issued.
#[derive(Debug)]
pub enum IssueError {
    /// The request is not one to sign.
    Csr(CsrRefused),
    /// The identity is not one to issue.
    NotGranted(NotGranted),
    /// Not at this time.
    NotNow(NotNow),
    /// No key or no serial could be made.
    Key(KeyError),
    /// Our own key could not ask for its certificate.
    Request(CsrError),
    /// The certificate could not be signed.
    Sign(SignFailed),
    /// The certificate was signed and says something else.
    Check(CheckFailed),
    /// Root or issuer are none.
    Unfit(SignerUnfit),
    /// The root makes no bundle.
    Bundle(BundleError),
    /// Our own certificate and key make no SVID.
    Svid(SvidError),
}

impl IssueError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            IssueError::Csr(error) => error.reason(),
            IssueError::NotGranted(error) => error.reason(),
            IssueError::NotNow(error) => error.reason(),
            IssueError::Key(error) => error.reason(),
            IssueError::Request(_) => "request_failed",
            IssueError::Sign(error) => error.reason(),
            IssueError::Check(error) => error.reason(),
            IssueError::Unfit(error) => error.reason(),
            IssueError::Bundle(error) => error.reason(),
            IssueError::Svid(error) => error.reason(),
        }
    }

    fn inner(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            IssueError::Csr(error) => error,
            IssueError::NotGranted(error) => error,
            IssueError::NotNow(error) => error,
            IssueError::Key(error) => error,
            IssueError::Request(error) => error,
            IssueError::Sign(error) => error,
            IssueError::Check(error) => error,
            IssueError::Unfit(error) => error,
            IssueError::Bundle(error) => error,
            IssueError::Svid(error) => error,
        }
    }
}
impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}
impl std::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner().source()
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for IssueError {
            fn from(error: $error) -> Self {
                IssueError::$variant(error)
            }
        }
    )*};
}
from!(
    Csr(CsrRefused),
    NotGranted(NotGranted),
    NotNow(NotNow),
    Key(KeyError),
    Request(CsrError),
    Sign(SignFailed),
    Check(CheckFailed),
    Unfit(SignerUnfit),
    Bundle(BundleError),
    Svid(SvidError)
);

impl Authority {
    /// A new root and its first issuer, in memory.
    pub fn create(
        domain: &TrustDomain,
        root: Algorithm,
        now: SystemTime,
    ) -> Result<Self, IssueError> {
        let root = new_root(domain, root, now)?;
        let issuer = next_issuer(domain, &root, now)?;
        Self::of_parts(Root::Here(Box::new(root)), issuer)
    }

    /// Joins a root and an issuer that lay somewhere.
    pub fn of_parts(root: Root, issuer: Signer) -> Result<Self, IssueError> {
        issuer.certificate().signed_by(root.certificate())?;
        let domain = root.certificate().trust_domain()?;
        let bundle = Bundle::from_roots(domain.clone(), vec![root.certificate().der().clone()])?;
        let peers = Verifier::new(Bundles::of(bundle.clone()));
        Ok(Authority {
            domain,
            root,
            standby: None,
            issuer,
            bundle,
            peers,
        })
    }

    /// The same with a second root, made now: trusted from the start, and cold. It signs nothing but statements, of which the
    /// first must be signed by both.
    pub fn with_new_standby(
        self,
        algorithm: Algorithm,
        now: SystemTime,
    ) -> Result<Self, IssueError> {
        let standby = new_root(&self.domain, algorithm, now)?;
        self.with_standby(Root::Here(Box::new(standby)))
    }

    /// The same with a second root that lay somewhere.
    pub fn with_standby(self, standby: Root) -> Result<Self, IssueError> {
        let certificates = [self.root.certificate(), standby.certificate()];
        let roots = certificates.map(|root| root.der().clone()).to_vec();
        if standby.certificate().trust_domain()? != self.domain {
            return Err(SignerUnfit::NoTrustDomain.into());
        }
        let bundle = Bundle::from_roots(self.domain.clone(), roots)?;
        let peers = Verifier::new(Bundles::of(bundle.clone()));
        Ok(Authority {
            standby: Some(standby),
            bundle,
            peers,
            ..self
        })
    }

    /// Makes a key and issues an identity for it, for at most 24 h.
    pub fn issue(
        &self,
        id: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        // Our own key passes the same gate as a stranger's: there is one way to a certificate.
        let key = Key::generate()?;
        let request = identity::Csr::create(&key, id)?;
        let leaf = self.certify(&Csr::from_der(request.der())?, id, ttl, now)?;
        Ok(Issued {
            chain_pem: self.chain_pem(&leaf),
            key_pem: key.to_pem(),
            bundle_pem: self.bundle.to_pem(),
            leaf,
        })
    }

    /// Issues an identity for the key of a signing request.
    pub fn certify(
        &self,
        csr: &Csr,
        id: &SpiffeId,
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Checked, IssueError> {
        self.certify_granted(csr, &Grant::decide(&self.domain, id, ttl, TTL_MAX)?, now)
    }

    /// Issues what was granted for the key of a signing request.
    pub fn certify_granted(
        &self,
        csr: &Csr,
        grant: &Grant,
        now: SystemTime,
    ) -> Result<Checked, IssueError> {
        let issuer = self.issuer.certificate().validity();
        let template = Template::leaf(grant, csr, random_serial()?, issuer, now)?;
        let signed = sign(template, By::Authority(&self.issuer))?;
        Ok(check_leaf(signed, &self.issuer, &self.peers)?)
    }

    /// The CA's own SVID, with a new key: what it answers with and clients pin. Nobody else ever gets this identity.
    pub fn own_svid(&self, ttl: Duration, now: SystemTime) -> Result<Svid, IssueError> {
        let grant = Grant::of_the_ca(&self.domain, ttl)?;
        let key = Key::generate()?;
        let request = identity::Csr::create(&key, grant.id())?;
        let leaf = self.certify_granted(&Csr::from_der(request.der())?, &grant, now)?;
        Ok(Svid::new(self.chain(&leaf), key)?)
    }

    /// The leaf, then the issuer; never the root.
    pub fn chain(&self, leaf: &Checked) -> Vec<CertificateDer<'static>> {
        vec![leaf.der().clone(), self.issuer.certificate().der().clone()]
    }

    /// The issuer that should take over now: `None` while the present one is in its first half, or would outlive the next.
    /// The present one can go on meanwhile, since issuers travel in the chain.
    pub fn successor(&self, now: SystemTime) -> Result<Option<Signer>, IssueError> {
        match &self.root {
            Root::Here(root) if self.successor_due(now) => {
                next_issuer(&self.domain, root, now).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the issuer is past half of its life and another would live longer; or has not begun, because the clock was
    /// ahead when it was made: then the CA would stand still until that time comes.
    pub fn successor_due(&self, now: SystemTime) -> bool {
        let now_s = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let issuer = self.issuer.certificate().validity();
        let root = self.root.certificate().validity();
        let next_end_s = root.not_after_s.min(now_s.saturating_add(ISSUER_LIFE_S));
        let not_begun = root.not_before_s <= now_s && now_s < issuer.not_before_s;
        not_begun || (now_s >= issuer.half_s() && next_end_s > issuer.not_after_s)
    }

    /// The leaf, then the issuer, in PEM; never the root.
    pub fn chain_pem(&self, leaf: &Checked) -> String {
        self.chain(leaf)
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der).to_string())
            .collect()
    }

    /// The roots to trust.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// SHA-256 of each root's DER, as `sha256:` and hex: what `openssl x509 -fingerprint -sha256` prints with colons.
    pub fn fingerprints(&self) -> Vec<String> {
        let named = |sha256: [u8; 32]| format!("sha256:{}", text::hex(&sha256));
        self.bundle.fingerprints().into_iter().map(named).collect()
    }

    /// The trust domain that it speaks for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The second root, if there is one.
    pub fn standby(&self) -> Option<&Root> {
        self.standby.as_ref()
    }

    /// The issuer that signs now.
    pub fn issuer(&self) -> &Signer {
        &self.issuer
    }
}

fn new_root(
    domain: &TrustDomain,
    algorithm: Algorithm,
    now: SystemTime,
) -> Result<Signer, IssueError> {
    let key = match algorithm {
        Algorithm::P256 => Key::generate()?,
        Algorithm::P384 => Key::generate_p384()?,
    };
    let template = Template::root(domain, &public(&key)?, random_serial()?, now)?;
    let by = By::Itself(&key);
    let checked = check_authority(sign(template, by)?, by)?;
    Ok(Signer::new(
        AuthorityCertificate::read(checked.der().clone())?,
        key,
    )?)
}

fn next_issuer(domain: &TrustDomain, root: &Signer, now: SystemTime) -> Result<Signer, IssueError> {
    let key = Key::generate()?;
    let of_root = root.certificate().validity();
    let template = Template::issuer(domain, &public(&key)?, random_serial()?, of_root, now)?;
    let by = By::Authority(root);
    let checked = check_authority(sign(template, by)?, by)?;
    let certificate = AuthorityCertificate::read(checked.der().clone())?;
    Ok(Signer::new(certificate, key)?)
}

fn public(key: &Key) -> Result<PublicKey, KeyError> {
    PublicKey::from_spki(&key.spki()).map_err(|_| KeyError::Generate)
}

fn random_serial() -> Result<Serial, KeyError> {
    let mut octets = [0; 20];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| KeyError::Generate)?;
    Ok(Serial::from_random(octets))
}
