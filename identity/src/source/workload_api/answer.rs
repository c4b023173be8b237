//! One message of the Workload API, judged before anything of it is used.
//!
//! In: the bytes of a message, whom this sidecar is and whom it may believe, the time. Out: [`Judged`], a generation that
//! peers would believe now, or [`AnswerRefused`]. Pure: time is an argument.
//!
//! 1. A message is the complete state (Workload API §4.3, §4.4): what is not in it is not there any more.
//! 2. The SVID is the first in our trust domain (§5.3: the first is the default one). Its key is the leaf's, its chain leads
//!    to a root of the bundle beside it, and it is who the message says.
//! 3. Roots of other trust domains are taken for those that the configuration names, and for no others.
//! 4. How much a message can make us hold is bounded before it is decoded.

use super::Wanted;
use crate::{
    Bundle, BundleError, Bundles, CHAIN_MAX, Generation, GenerationError, Key, KeyError, ROOTS_MAX,
    Refused, Svid, SvidError,
};
use api::workload::{X509svid, X509svidResponse};
use config::{SpiffeId, TrustDomain};
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::collections::HashMap;
use std::fmt;
use x509_parser::asn1_rs::{Any, FromDer};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a message at most: what gRPC libraries take unless told otherwise, so that no agent sends more.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// SVIDs in a message at most; a workload has one or two.
const SVIDS_MAX: usize = 64;

/// Bundles of other trust domains in a message at most.
const FEDERATED_MAX: usize = 1024;

/// What a message says that is used.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) generation: Generation,
    /// Of everything that was used, so that the same again is known.
    pub(super) digest: [u8; 32],
    /// Which of several SVIDs this is, in the words of the agent.
    pub(super) hint: String,
    /// What the configuration and the message say of other trust domains does not meet.
    pub(super) unmet: Vec<Unmet>,
}

/// Another trust domain that is not believed although one of both sides wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    /// The configuration names it and no roots of it came.
    NotSent(TrustDomain),
    /// Its roots came and cannot be used.
    Unfit(TrustDomain, RootsRefused),
    /// Roots of it came, or of what calls itself that, and the configuration does not name it.
    NotNamed(String),
}

/// Why nothing of a message is used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnswerRefused {
    /// It is no message of this API.
    Undecodable,
    /// More of something than anybody needs.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        most: usize,
    },
    /// Certificates are revoked by lists, which are not enforced here.
    RevocationLists,
    /// There is no SVID in it.
    NoSvid,
    /// There is none of our trust domain.
    OtherDomains {
        /// For whom there is one.
        found: String,
        /// How many more there are.
        more: usize,
        /// Our trust domain.
        wanted: TrustDomain,
    },
    /// The message names another identity than its certificate.
    OtherIdentity {
        /// The one in the message.
        said: String,
        /// The one in the certificate.
        found: SpiffeId,
    },
    /// The private key cannot be used.
    Key(KeyError),
    /// The chain is no certificates one after the other.
    Chain,
    /// Chain and key make no SVID.
    Svid(SvidError),
    /// The roots of our own trust domain cannot be used.
    Roots(RootsRefused),
    /// A peer with this bundle would refuse the SVID now.
    Refused(Refused),
    /// rustls takes neither.
    Tls(GenerationError),
}

impl AnswerRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            AnswerRefused::Undecodable => "workload_api_undecodable",
            AnswerRefused::TooMany { .. } => "workload_api_too_many",
            AnswerRefused::RevocationLists => "workload_api_revocation_lists",
            AnswerRefused::NoSvid => "workload_api_no_svid",
            AnswerRefused::OtherDomains { .. } => "wrong_trust_domain",
            AnswerRefused::OtherIdentity { .. } => "workload_api_other_identity",
            AnswerRefused::Key(why) => why.reason(),
            AnswerRefused::Chain => "workload_api_chain",
            AnswerRefused::Svid(why) => why.reason(),
            AnswerRefused::Roots(why) => why.reason(),
            AnswerRefused::Refused(why) => why.reason(),
            AnswerRefused::Tls(_) => "tls",
        }
    }
}

impl fmt::Display for AnswerRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the Workload API sent is not used: ")?;
        match self {
            AnswerRefused::Undecodable => f.write_str(
                "no message of FetchX509SVID; name the socket of a SPIFFE agent's Workload API",
            ),
            AnswerRefused::TooMany { what, most } => write!(
                f,
                "more than {most} {what}; register this workload for fewer"
            ),
            AnswerRefused::RevocationLists => f.write_str(
                "it revokes certificates by lists, which cannot be enforced yet; let short lives revoke, and have the agent send no lists",
            ),
            AnswerRefused::NoSvid => {
                f.write_str("no identity in it; register this workload with the agent's server")
            }
            AnswerRefused::OtherDomains { found, more, wanted } => {
                write!(f, "it is for {found}")?;
                if *more > 0 {
                    write!(f, " and {more} more")?;
                }
                write!(
                    f,
                    ", and `identity.trustDomain` is `{wanted}`; register this workload there, or correct the configuration"
                )
            }
            AnswerRefused::OtherIdentity { said, found } => write!(
                f,
                "it says {said} of a certificate for {found}; look at the agent's log"
            ),
            AnswerRefused::Key(KeyError::Unsupported) => f.write_str(
                "its private key is no PKCS#8 of ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more; set the key type of the agent",
            ),
            AnswerRefused::Key(why) => write!(f, "{why}"),
            AnswerRefused::Chain => f.write_str(
                "its chain is no DER of certificates one after the other; look at the agent's log",
            ),
            AnswerRefused::Svid(why) => write!(f, "{why}; look at the agent's log"),
            AnswerRefused::Roots(why) => write!(f, "in its bundle: {why}; look at the agent's log"),
            AnswerRefused::Refused(why) => write!(f, "peers would refuse it: {why}"),
            AnswerRefused::Tls(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for AnswerRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AnswerRefused::Key(why) => Some(why),
            AnswerRefused::Svid(why) => Some(why),
            AnswerRefused::Roots(RootsRefused::Bundle(why)) => Some(why),
            AnswerRefused::Refused(why) => Some(why),
            AnswerRefused::Tls(why) => Some(why),
            _ => None,
        }
    }
}

/// Why bytes are no roots of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootsRefused {
    /// They are no certificates one after the other.
    Encoding,
    /// The certificates are no bundle.
    Bundle(BundleError),
}

impl RootsRefused {
    fn reason(&self) -> &'static str {
        match self {
            RootsRefused::Encoding => "workload_api_bundle",
            RootsRefused::Bundle(why) => why.reason(),
        }
    }
}

impl fmt::Display for RootsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootsRefused::Encoding => {
                f.write_str("it is no DER of certificates one after the other")
            }
            RootsRefused::Bundle(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::NotSent(domain) => write!(
                f,
                "trust domain `{domain}` is not believed: the Workload API sends no roots of it; federate this workload's registration with it"
            ),
            Unmet::Unfit(domain, why) => write!(
                f,
                "trust domain `{domain}` is not believed: its roots, as sent, cannot be used: {why}; look at the bundle that it publishes"
            ),
            Unmet::NotNamed(domain) => write!(
                f,
                "{domain} is not believed: the Workload API sends its roots and `identity.federated` does not name it; add it there if it is wanted"
            ),
        }
    }
}

/// Judges a message; `number` is that of the generation to come.
pub(super) fn judge(
    message: &[u8],
    wanted: &Wanted,
    number: u64,
    now: UnixTime,
) -> Result<Judged, AnswerRefused> {
    check_bounds(message)?;
    let answer = X509svidResponse::decode(message).map_err(|_| AnswerRefused::Undecodable)?;
    let mut ours = choose(answer.svids, &wanted.trust_domain)?;
    let pkcs8 = Zeroizing::new(std::mem::take(&mut ours.x509_svid_key));
    if !answer.crl.is_empty() {
        return Err(AnswerRefused::RevocationLists);
    }
    let svid = svid(&ours, Key::from_pkcs8(&pkcs8).map_err(AnswerRefused::Key)?)?;
    let own = roots(&wanted.trust_domain, &ours.bundle).map_err(AnswerRefused::Roots)?;
    let (bundles, unmet) = federate(own, answer.federated_bundles, &wanted.federated);
    let digest = digest(&svid, &bundles);
    let generation = Generation::new(number, svid, bundles).map_err(AnswerRefused::Tls)?;
    generation.check(now).map_err(AnswerRefused::Refused)?;
    Ok(Judged {
        generation,
        digest,
        hint: shown(&ours.hint),
        unmet,
    })
}

/// Counts the members before any is decoded: an empty SVID has two bytes on the wire and a hundred in memory. With prost's own
/// reader, the one that its generated code calls.
fn check_bounds(mut message: &[u8]) -> Result<(), AnswerRefused> {
    const SVIDS: u32 = 1;
    let (mut svids, mut others) = (0, 0);
    while !message.is_empty() {
        let read = decode_key(&mut message).and_then(|(field, kind)| {
            skip_field(kind, field, &mut message, DecodeContext::default())?;
            Ok(field)
        });
        match read.map_err(|_| AnswerRefused::Undecodable)? {
            SVIDS => svids += 1,
            _ => others += 1,
        }
        check_count("identities", svids, SVIDS_MAX)?;
        check_count("trust domains", others, FEDERATED_MAX)?;
    }
    Ok(())
}

fn check_count(what: &'static str, has: usize, most: usize) -> Result<(), AnswerRefused> {
    match has > most {
        true => Err(AnswerRefused::TooMany { what, most }),
        false => Ok(()),
    }
}

/// The first SVID of our trust domain, by the name beside it. The keys of the others are wiped.
fn choose(svids: Vec<X509svid>, wanted: &TrustDomain) -> Result<X509svid, AnswerRefused> {
    let mut chosen = None;
    let mut others = Vec::new();
    for mut svid in svids {
        let is_ours = SpiffeId::parse(&svid.spiffe_id).is_ok_and(|id| id.is_in(wanted));
        if is_ours && chosen.is_none() {
            chosen = Some(svid);
        } else {
            svid.x509_svid_key.zeroize();
            others.push(svid.spiffe_id);
        }
    }
    let first = others.first().map(|id| shown(id));
    match (chosen, first) {
        (Some(svid), _) => Ok(svid),
        (None, None) => Err(AnswerRefused::NoSvid),
        (None, Some(found)) => Err(AnswerRefused::OtherDomains {
            found,
            more: others.len() - 1,
            wanted: wanted.clone(),
        }),
    }
}

fn svid(ours: &X509svid, key: Key) -> Result<Svid, AnswerRefused> {
    let chain = split(&ours.x509_svid, CHAIN_MAX).ok_or(AnswerRefused::Chain)?;
    let svid = Svid::new(chain, key).map_err(AnswerRefused::Svid)?;
    let found = svid.leaf().id.clone();
    match found.as_str() == ours.spiffe_id {
        true => Ok(svid),
        false => Err(AnswerRefused::OtherIdentity {
            said: shown(&ours.spiffe_id),
            found,
        }),
    }
}

/// Adds the roots of the trust domains that are `wanted`. One whose roots are missing or unfit is not believed, and that is
/// all: a partner's mistake must not cost us our own identity.
fn federate(
    own: Bundle,
    mut sent: HashMap<String, Vec<u8>>,
    wanted: &[TrustDomain],
) -> (Bundles, Vec<Unmet>) {
    let mut bundles = Bundles::of(own);
    let mut unmet = Vec::new();
    for domain in wanted {
        let Some(der) = sent.remove(&format!("spiffe://{domain}")) else {
            unmet.push(Unmet::NotSent(domain.clone()));
            continue;
        };
        match roots(domain, &der) {
            // The configuration names no domain twice and never the own.
            Ok(bundle) => drop(bundles.add(bundle)),
            Err(why) => unmet.push(Unmet::Unfit(domain.clone(), why)),
        }
    }
    let mut not_named: Vec<String> = sent.into_keys().map(|key| shown(&key)).collect();
    not_named.sort_unstable();
    unmet.extend(not_named.into_iter().map(Unmet::NotNamed));
    (bundles, unmet)
}

/// Roots of `domain`, each once: a root that is there twice vouches for nobody more.
fn roots(domain: &TrustDomain, der: &[u8]) -> Result<Bundle, RootsRefused> {
    let mut roots: Vec<CertificateDer<'static>> = Vec::new();
    for root in split(der, ROOTS_MAX).ok_or(RootsRefused::Encoding)? {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    Bundle::from_roots(domain.clone(), roots).map_err(RootsRefused::Bundle)
}

/// Certificates that stand one after the other; `None`: something else stands there. One more than `most` is enough for whoever
/// counts them.
fn split(mut der: &[u8], most: usize) -> Option<Vec<CertificateDer<'static>>> {
    let mut certificates = Vec::new();
    while !der.is_empty() && certificates.len() <= most {
        let (rest, _) = Any::from_der(der).ok()?;
        let one = &der[..der.len() - rest.len()];
        certificates.push(CertificateDer::from(one.to_vec()));
        der = rest;
    }
    Some(certificates)
}

fn digest(svid: &Svid, bundles: &Bundles) -> [u8; 32] {
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut part = |name: &str, certificates: &[CertificateDer<'_>]| {
        digest.update(&name.len().to_be_bytes());
        digest.update(name.as_bytes());
        digest.update(&certificates.len().to_be_bytes());
        for certificate in certificates {
            digest.update(&certificate.len().to_be_bytes());
            digest.update(certificate);
        }
    };
    part("", svid.chain());
    for bundle in bundles.iter() {
        part(bundle.trust_domain().as_str(), bundle.roots());
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.finish().as_ref());
    sha256
}

/// A text from outside, fit for one line of a log.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let mut shown: String = text
        .chars()
        .flat_map(char::escape_debug)
        .take(CHARACTERS_MAX + 1)
        .collect();
    if shown.chars().count() > CHARACTERS_MAX {
        shown = shown.chars().take(CHARACTERS_MAX).collect();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
