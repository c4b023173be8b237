//! Roots of trust domains.
//!
//! In: PEM or DER, and the trust domain that it is for. Out: [`Bundle`], whose every root may sign; and [`Bundles`], one per
//! trust domain, so that whoever looks for anchors must say for whom.
//!
//! 1. A bundle has at least one root and at most [`ROOTS_MAX`]; none twice.
//! 2. Every root has cA=true and keyCertSign; if it names a trust domain, it is this bundle's.
//! 3. A root that has ended stays readable: whether it may still vouch is judged against a clock, by [`crate::Verifier`].

use crate::certificate::sha256;
use crate::issuer::{Issuer, IssuerError};
use crate::pem::{self, PemError};
use config::TrustDomain;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::collections::BTreeMap;
use std::fmt;

/// Roots of one bundle at most: rotation needs two or three, a public-key infrastructure being merged perhaps ten.
pub const ROOTS_MAX: usize = 64;

/// The roots of one trust domain.
#[derive(Clone, Debug)]
pub struct Bundle {
    trust_domain: TrustDomain,
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    facts: Vec<Issuer>,
}

/// Why a bundle could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// The text holds no readable certificates.
    Pem(PemError),
    /// No root at all.
    Empty,
    /// More roots than [`ROOTS_MAX`].
    TooMany {
        /// How many.
        roots: usize,
    },
    /// A certificate that may not be a root.
    Root {
        /// Which, from 1.
        number: usize,
        /// Why not.
        why: IssuerError,
    },
    /// A root of another trust domain.
    OtherDomain {
        /// Which, from 1.
        number: usize,
        /// What it names.
        found: TrustDomain,
        /// What the bundle is for.
        wanted: TrustDomain,
    },
    /// The same root a second time.
    Twice {
        /// Which, from 1.
        number: usize,
    },
}

impl BundleError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            BundleError::Pem(why) => why.reason(),
            BundleError::Empty => "bundle_empty",
            BundleError::TooMany { .. } => "bundle_too_large",
            BundleError::Root { why, .. } => why.reason(),
            BundleError::OtherDomain { .. } => "bundle_of_other_domain",
            BundleError::Twice { .. } => "root_twice",
        }
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::Pem(why) => why.fmt(f),
            BundleError::Empty => f.write_str("no root in it"),
            BundleError::TooMany { roots } => {
                write!(f, "{roots} roots in it, at most {ROOTS_MAX} are taken")
            }
            BundleError::Root { number, why } => {
                write!(f, "certificate {number} cannot be a root: {why}")
            }
            BundleError::OtherDomain {
                number,
                found,
                wanted,
            } => {
                write!(
                    f,
                    "certificate {number} is a root of `{found}`, not of `{wanted}`"
                )
            }
            BundleError::Twice { number } => write!(f, "certificate {number} is there twice"),
        }
    }
}
impl std::error::Error for BundleError {}

impl Bundle {
    /// Reads the roots of `trust_domain` from PEM.
    pub fn from_pem(trust_domain: TrustDomain, text: &[u8]) -> Result<Self, BundleError> {
        Self::from_roots(
            trust_domain,
            pem::certificates(text).map_err(BundleError::Pem)?,
        )
    }

    /// Takes roots of `trust_domain` in DER.
    pub fn from_roots(
        trust_domain: TrustDomain,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        match roots.len() {
            0 => return Err(BundleError::Empty),
            many if many > ROOTS_MAX => return Err(BundleError::TooMany { roots: many }),
            _ => {}
        }
        let mut anchors = Vec::with_capacity(roots.len());
        let mut facts = Vec::with_capacity(roots.len());
        for (at, root) in roots.iter().enumerate() {
            let number = at + 1;
            let (anchor, fact) =
                read_root(root).map_err(|why| BundleError::Root { number, why })?;
            if let Some(found) = fact
                .trust_domain
                .clone()
                .filter(|found| *found != trust_domain)
            {
                return Err(BundleError::OtherDomain {
                    number,
                    found,
                    wanted: trust_domain,
                });
            }
            if roots[..at].contains(root) {
                return Err(BundleError::Twice { number });
            }
            anchors.push(anchor);
            facts.push(fact);
        }
        Ok(Bundle {
            trust_domain,
            roots,
            anchors,
            facts,
        })
    }

    /// Whose roots these are.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots in DER, in the order in which they were given.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// SHA-256 of every root's DER.
    pub fn fingerprints(&self) -> Vec<[u8; 32]> {
        self.roots.iter().map(|root| sha256(root)).collect()
    }

    /// The roots in PEM.
    pub fn to_pem(&self) -> String {
        self.roots
            .iter()
            .map(|root| pem::encode("CERTIFICATE", root).to_string())
            .collect()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// What every root says, in the order of [`Bundle::anchors`].
    pub(crate) fn facts(&self) -> &[Issuer] {
        &self.facts
    }
}

fn read_root(
    root: &CertificateDer<'static>,
) -> Result<(TrustAnchor<'static>, Issuer), IssuerError> {
    let fact = Issuer::parse(root)?;
    let anchor = webpki::anchor_from_trusted_cert(root)
        .map_err(|_| IssuerError::Malformed(crate::Malformed::Encoding))?
        .to_owned();
    Ok((anchor, fact))
}

/// All bundles of a generation: one per trust domain.
#[derive(Clone, Debug, Default)]
pub struct Bundles {
    by_domain: BTreeMap<String, Bundle>,
}

/// A second bundle for one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTwice(pub TrustDomain);

impl fmt::Display for DomainTwice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "two bundles for trust domain `{}`; give one with all its roots",
            self.0
        )
    }
}
impl std::error::Error for DomainTwice {}

impl Bundles {
    /// Bundles with this one in them.
    pub fn of(own: Bundle) -> Self {
        Bundles {
            by_domain: BTreeMap::from([(own.trust_domain.as_str().to_owned(), own)]),
        }
    }

    /// Adds a bundle of a trust domain that is not there yet.
    pub fn add(&mut self, bundle: Bundle) -> Result<(), DomainTwice> {
        let name = bundle.trust_domain.as_str();
        if self.by_domain.contains_key(name) {
            return Err(DomainTwice(bundle.trust_domain));
        }
        self.by_domain.insert(name.to_owned(), bundle);
        Ok(())
    }

    /// The bundle of the trust domain with this name.
    pub fn get(&self, trust_domain: &str) -> Option<&Bundle> {
        self.by_domain.get(trust_domain)
    }

    /// Whether the same roots are believed for the same trust domains.
    pub fn believe_the_same_as(&self, other: &Bundles) -> bool {
        fn roots(bundles: &Bundles) -> impl Iterator<Item = (&String, &[CertificateDer<'static>])> {
            let by_domain = bundles.by_domain.iter();
            by_domain.map(|(domain, bundle)| (domain, bundle.roots()))
        }
        roots(self).eq(roots(other))
    }

    /// All of them, ordered by trust domain.
    pub fn iter(&self) -> impl Iterator<Item = &Bundle> {
        self.by_domain.values()
    }
}
