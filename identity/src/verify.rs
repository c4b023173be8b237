//! A peer's chain becomes a [`Peer`] or a [`Refused`].
//!
//! In: the chain as sent, which end it came from, the time. Out: who it is and until when. Pure but for two bounded memories;
//! it looks at no name of a host and no revocation.
//!
//! 1. Anchors are those of the leaf's own trust domain, never a merged pool.
//! 2. What webpki does not check is checked before it sees the chain: the leaf's rules, and of every issuer cA, keyCertSign
//!    and its ID. webpki sees only issuers that passed.
//! 3. A memory saves signatures, never a clock: validity of leaf, issuers and root is judged against `now` every time.
//! 4. A memory's verdict is for the very bytes that were verified, everything behind the leaf and the role included: what is
//!    refused of a fresh verifier is refused of an experienced one.

use crate::certificate::{CHAIN_MAX, Certificate, sha256};
use crate::issuer::Issuer;
use crate::moment::{from_unix, to_unix};
use crate::recent::Recent;
use crate::{Bundle, Bundles, Leaf, LeafError, Refused};
use config::SpiffeId;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// Issuers remembered: a trust domain has a handful at a time.
const ISSUERS_MAX: usize = 256;

/// Chains remembered: peers that call again before their leaf is renewed. About 300 bytes each.
const CHAINS_MAX: usize = 2048;

/// Which end of a handshake the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /** It called us. */
    Client,
    /** We called it. */
    Server,
}

/// A peer whose chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub id: SpiffeId,
    /// When its leaf ends.
    pub not_after: SystemTime,
    /// The leaf's serial, lower-case hex.
    pub serial: String,
    /// SHA-256 of the leaf's DER.
    pub leaf_sha256: [u8; 32],
}

/// Verifies chains against the bundles of one generation; remembers issuers and chains.
pub struct Verifier {
    bundles: Bundles,
    algorithms: WebPkiSupportedAlgorithms,
    issuers: Recent<(Role, [u8; 32]), Arc<KnownIssuer>>,
    chains: Recent<(Role, [u8; 32]), Arc<KnownChain>>,
}

/// An issuer whose own path to a root of its trust domain was verified, and is free of constraints on names.
struct KnownIssuer {
    trust_domain: String,
    anchor: TrustAnchor<'static>,
    window: Window,
}

struct KnownChain {
    peer: Peer,
    not_before: SystemTime,
    issuers: Window,
}

/// The time in which everything above a leaf is valid.
#[derive(Clone, Copy)]
struct Window {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Window {
    fn holds(self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    fn narrowed_by(self, issuer: &Issuer) -> Self {
        Window {
            not_before: self.not_before.max(issuer.not_before),
            not_after: self.not_after.min(issuer.not_after),
        }
    }
}

impl Verifier {
    /// A verifier that believes these bundles.
    pub fn new(bundles: Bundles) -> Self {
        Verifier {
            bundles,
            algorithms: rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms,
            issuers: Recent::new(ISSUERS_MAX),
            chains: Recent::new(CHAINS_MAX),
        }
    }

    /// What it believes.
    pub fn bundles(&self) -> &Bundles {
        &self.bundles
    }

    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Verifies a chain, leaf first, at a given time.
    ///
    /// Costs about 140 us for a chain of three never seen, half of it when only the leaf is new, and a hash when this very chain was
    /// verified before in this generation.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<Peer, Refused> {
        let [first, issuers @ ..] = chain else {
            return Err(Refused::NoCertificate);
        };
        if chain.len() > CHAIN_MAX {
            return Err(Refused::ChainTooLong {
                certificates: chain.len(),
            });
        }
        let clock = from_unix(now);
        let key = (role, chain_sha256(chain));
        if let Some(known) = self
            .chains
            .get(&key)
            .filter(|known| known.issuers.holds(clock))
        {
            check_validity(known.not_before, known.peer.not_after, clock)?;
            return Ok(known.peer.clone());
        }
        let read =
            Certificate::read(first).map_err(|why| Refused::Leaf(LeafError::Malformed(why)))?;
        let leaf = Leaf::of(&read).map_err(Refused::Leaf)?;
        let bundle = self.bundles.get(leaf.id.trust_domain()).ok_or_else(|| {
            Refused::UnknownTrustDomain {
                id: leaf.id.clone(),
            }
        })?;
        check_validity(leaf.not_before, leaf.not_after, clock)?;
        let attempt = Attempt {
            verifier: self,
            bundle,
            first,
            read: &read,
            leaf: &leaf,
            issuers,
            role,
            now,
            clock,
        };
        let window = match attempt.under_known_issuer() {
            Some(window) => window,
            None => attempt.to_a_root()?,
        };
        let peer = Peer {
            id: leaf.id,
            not_after: leaf.not_after,
            serial: leaf.serial,
            leaf_sha256: sha256(first),
        };
        let known = KnownChain {
            peer: peer.clone(),
            not_before: leaf.not_before,
            issuers: window,
        };
        self.chains.put(key, Arc::new(known));
        Ok(peer)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains: Vec<&str> = self
            .bundles
            .iter()
            .map(|bundle| bundle.trust_domain().as_str())
            .collect();
        f.debug_struct("Verifier")
            .field("trust_domains", &domains)
            .finish_non_exhaustive()
    }
}

/// Both ends belong to the validity (RFC 5280 §4.1.2.5).
fn check_validity(
    not_before: SystemTime,
    not_after: SystemTime,
    now: SystemTime,
) -> Result<(), Refused> {
    if now > not_after {
        return Err(Refused::Expired { not_after, now });
    }
    if now < not_before {
        return Err(Refused::NotYetValid { not_before, now });
    }
    Ok(())
}

/// Over lengths and bytes, so that no two chains share a name.
fn chain_sha256(chain: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for certificate in chain {
        digest.update(&certificate.len().to_be_bytes());
        digest.update(certificate);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

/// One chain under judgement.
struct Attempt<'a> {
    verifier: &'a Verifier,
    bundle: &'a Bundle,
    first: &'a CertificateDer<'a>,
    read: &'a Certificate<'a>,
    leaf: &'a Leaf,
    issuers: &'a [CertificateDer<'a>],
    role: Role,
    now: UnixTime,
    clock: SystemTime,
}

impl Attempt<'_> {
    fn usage(&self) -> KeyUsage {
        match self.role {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        }
    }

    /// The leaf against its issuer alone, if everything that was sent behind the leaf was verified before. `None` means "not
    /// known so": the long way decides, and names the reason.
    fn under_known_issuer(&self) -> Option<Window> {
        if self.issuers.is_empty() {
            return None;
        }
        let key = (self.role, chain_sha256(self.issuers));
        let known = self.verifier.issuers.get(&key)?;
        if known.trust_domain != self.leaf.id.trust_domain() || !known.window.holds(self.clock) {
            return None;
        }
        let leaf = EndEntityCert::try_from(self.first).ok()?;
        let anchors = std::slice::from_ref(&known.anchor);
        leaf.verify_for_usage(
            self.verifier.algorithms.all,
            anchors,
            &[],
            self.now,
            self.usage(),
            None,
            None,
        )
        .ok()?;
        Some(known.window)
    }

    /// The whole path, by webpki, over those issuers that may sign.
    fn to_a_root(&self) -> Result<Window, Refused> {
        let mut able = Vec::with_capacity(self.issuers.len());
        let mut facts = Vec::with_capacity(self.issuers.len());
        for issuer in self.issuers {
            if let Ok(fact) = Issuer::parse(issuer) {
                able.push(CertificateDer::from(issuer.as_ref()));
                facts.push(fact);
            }
        }
        let leaf = EndEntityCert::try_from(self.first).map_err(|why| self.explain(why))?;
        let root_holds = |path: &VerifiedPath<'_>| self.root_holds(path).map(|_| ());
        let path = leaf
            .verify_for_usage(
                self.verifier.algorithms.all,
                self.bundle.anchors(),
                &able,
                self.now,
                self.usage(),
                None,
                Some(&root_holds),
            )
            .map_err(|why| self.explain(why))?;
        let root = self.root_holds(&path).map_err(|why| self.explain(why))?;
        let on_path: Vec<&Issuer> = path
            .intermediate_certificates()
            .filter_map(|cert| able.iter().position(|der| *der == cert.der()))
            .map(|at| &facts[at])
            .collect();
        let window = on_path.iter().copied().fold(root, Window::narrowed_by);
        // Constraints on names bind every leaf below, so each of those goes the long way.
        let constrained = path.anchor().name_constraints.is_some()
            || on_path.iter().any(|issuer| issuer.constrains_names);
        if let Some(issuer) = path.intermediate_certificates().next()
            && !constrained
        {
            self.remember(&issuer.der(), window);
        }
        Ok(window)
    }

    /// webpki takes a root at its name and key; when it ends and how many intermediates it allows is judged here, as Go and
    /// OpenSSL do. Two roots may share name and key (renewed by the same key): one that holds is enough.
    fn root_holds(&self, path: &VerifiedPath<'_>) -> Result<Window, webpki::Error> {
        let between = u32::try_from(path.intermediate_certificates().count()).unwrap_or(u32::MAX);
        let mut refused = webpki::Error::UnknownIssuer;
        for (anchor, root) in self.bundle.anchors().iter().zip(self.bundle.facts()) {
            if anchor.subject != path.anchor().subject
                || anchor.subject_public_key_info != path.anchor().subject_public_key_info
            {
                continue;
            }
            if root.path_len.is_some_and(|most| between > most) {
                refused = webpki::Error::PathLenConstraintViolated;
            } else if self.clock > root.not_after {
                refused = webpki::Error::CertExpired {
                    time: self.now,
                    not_after: to_unix(root.not_after),
                };
            } else if self.clock < root.not_before {
                refused = webpki::Error::CertNotValidYet {
                    time: self.now,
                    not_before: to_unix(root.not_before),
                };
            } else {
                return Ok(Window {
                    not_before: root.not_before,
                    not_after: root.not_after,
                });
            }
        }
        Err(refused)
    }

    fn remember(&self, issuer: &CertificateDer<'_>, window: Window) {
        let Ok(anchor) = webpki::anchor_from_trusted_cert(issuer) else {
            return;
        };
        let known = KnownIssuer {
            trust_domain: self.leaf.id.trust_domain().to_owned(),
            anchor: anchor.to_owned(),
            window,
        };
        self.verifier
            .issuers
            .put((self.role, chain_sha256(self.issuers)), Arc::new(known));
    }

    /// The reason that helps most: an issuer on the way that may not sign, a root that is somebody else's, or webpki's.
    fn explain(&self, why: webpki::Error) -> Refused {
        let end = match self.follow_names() {
            Ok(end) => end,
            Err(refused) => return refused,
        };
        match why {
            webpki::Error::UnknownIssuer => self.explain_unknown(end),
            why => explain_webpki(why),
        }
    }

    /// Walks from the leaf upward by names alone, as far as they lead.
    fn follow_names(&self) -> Result<End, Refused> {
        let mut wanted = self.read.issuer().to_vec();
        let mut used = vec![false; self.issuers.len()];
        let mut unreadable = None;
        loop {
            if self
                .bundle
                .facts()
                .iter()
                .any(|root| root.subject == wanted)
            {
                return Ok(End::OwnRoot);
            }
            let mut next = None;
            for (at, der) in self.issuers.iter().enumerate().filter(|(at, _)| !used[*at]) {
                match Certificate::read(der) {
                    Ok(read) if read.subject() == wanted => {
                        next = Some((at, read.issuer().to_vec()));
                    }
                    Ok(_) => continue,
                    Err(why) => unreadable = Some(crate::IssuerError::Malformed(why)),
                }
                if next.is_some() {
                    break;
                }
            }
            let Some((at, above)) = next else {
                return match unreadable {
                    Some(why) => Err(Refused::Issuer(why)),
                    None => Ok(End::Unknown {
                        name: wanted,
                        issuers: used.iter().filter(|used| **used).count(),
                    }),
                };
            };
            if let Err(why) = Issuer::parse(&self.issuers[at]) {
                return Err(Refused::Issuer(why));
            }
            used[at] = true;
            wanted = above;
        }
    }

    fn explain_unknown(&self, end: End) -> Refused {
        let id = self.leaf.id.clone();
        let End::Unknown { name, issuers } = end else {
            return Refused::UnknownIssuer;
        };
        if self.read.subject() == self.read.issuer() {
            return Refused::SelfSigned { id };
        }
        let foreign = self
            .verifier
            .bundles
            .iter()
            .find(|bundle| bundle.facts().iter().any(|root| root.subject == name));
        match foreign {
            Some(bundle) => Refused::ForeignRoot {
                id,
                root_of: bundle.trust_domain().to_string(),
            },
            None if issuers == 0 => Refused::IssuerMissing { id },
            None => Refused::UnknownIssuer,
        }
    }
}

/// Where the names of a chain lead.
enum End {
    /// To a name that a root of the leaf's trust domain has.
    OwnRoot,
    /// To a name that none has, over so many issuers.
    Unknown { name: Vec<u8>, issuers: usize },
}

/// The leaf's own validity was judged before, so every time that webpki complains of is an issuer's.
fn explain_webpki(why: webpki::Error) -> Refused {
    use webpki::Error;
    match why {
        Error::CertExpired { time, not_after } => Refused::IssuerExpired {
            not_after: from_unix(not_after),
            now: from_unix(time),
        },
        Error::CertNotValidYet { time, not_before } => Refused::IssuerNotYetValid {
            not_before: from_unix(not_before),
            now: from_unix(time),
        },
        Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => {
            Refused::BadSignature
        }
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Refused::UnsupportedSignature
        }
        Error::PathLenConstraintViolated => Refused::PathLength,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Refused::IssuerEku,
        Error::NameConstraintViolation
        | Error::MalformedNameConstraint
        | Error::InvalidNetworkMaskConstraint
        | Error::MaximumNameConstraintComparisonsExceeded => Refused::NameConstraints,
        Error::UnknownIssuer => Refused::UnknownIssuer,
        why => Refused::Path { why },
    }
}
