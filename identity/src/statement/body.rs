//! What a statement says, and its one encoding.
//!
//! ```text
//! "countersign statement\0"   22 octets, so that no root ever signs the same bytes for another purpose
//! version                     1 octet: 1
//! trust domain                1 octet of length, then its name
//! sequence                    8 octets, big-endian
//! issued at                   8 octets, big-endian, seconds since 1970
//! roots                       1 octet of number, then for each 2 octets of length and its DER, in ascending order of DER
//! ```

use super::{STATEMENT_BYTES_MAX, StatementRefused};
use crate::{Bundle, ROOTS_MAX};
use config::TrustDomain;
use rustls::pki_types::CertificateDer;

const PURPOSE: &[u8; 22] = b"countersign statement\0";
const VERSION: u8 = 1;

/// Whom a trust domain believes, as of one sequence.
#[derive(Clone, Debug)]
pub struct Statement {
    sequence: u64,
    issued_at_unix_s: u64,
    bundle: Bundle,
}

/// The sequence after `previous`: never less than the seconds since 1970, so that a CA restored from a backup, which has
/// forgotten what it said last, does not say another thing under the same number.
pub fn next_sequence(previous: Option<u64>, now_unix_s: u64) -> u64 {
    previous.map_or(now_unix_s, |previous| {
        previous.saturating_add(1).max(now_unix_s)
    })
}

impl Statement {
    /// States that `bundle`, in whatever order, is believed.
    pub fn new(
        bundle: &Bundle,
        sequence: u64,
        issued_at_unix_s: u64,
    ) -> Result<Self, StatementRefused> {
        let mut roots = bundle.roots().to_vec();
        roots.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        let bundle = Bundle::from_roots(bundle.trust_domain().clone(), roots)
            .map_err(StatementRefused::Roots)?;
        let statement = Statement {
            sequence,
            issued_at_unix_s,
            bundle,
        };
        match statement.encode().len() {
            bytes if bytes > STATEMENT_BYTES_MAX => Err(StatementRefused::TooLarge { bytes }),
            _ => Ok(statement),
        }
    }

    /// Grows with every statement of a trust domain.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was made, in seconds since 1970, by the CA's clock.
    pub fn issued_at_unix_s(&self) -> u64 {
        self.issued_at_unix_s
    }

    /// The roots, in ascending order of their DER.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The one encoding, which is what roots sign.
    pub fn encode(&self) -> Vec<u8> {
        let name = self.bundle.trust_domain().as_str().as_bytes();
        let mut bytes = PURPOSE.to_vec();
        bytes.push(VERSION);
        // Lengths fit: a trust domain has at most 255 bytes, a bundle 64 roots, a certificate 16 KiB.
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.issued_at_unix_s.to_be_bytes());
        bytes.push(u8::try_from(self.bundle.roots().len()).unwrap_or(u8::MAX));
        for root in self.bundle.roots() {
            bytes.extend_from_slice(&u16::try_from(root.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend_from_slice(root);
        }
        bytes
    }

    /// Reads the one encoding. Believing it is another matter: see [`super::walk`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementRefused> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(StatementRefused::TooLarge { bytes: bytes.len() });
        }
        let rest = bytes
            .strip_prefix(PURPOSE)
            .and_then(|rest| rest.strip_prefix(&[VERSION]))
            .ok_or(StatementRefused::Version)?;
        let (trust_domain, sequence, issued_at_unix_s, roots) =
            fields(rest).ok_or(StatementRefused::Encoding)?;
        if !roots.is_sorted_by(|one, next| one.as_ref() < next.as_ref()) {
            return Err(StatementRefused::Encoding);
        }
        Ok(Statement {
            sequence,
            issued_at_unix_s,
            bundle: Bundle::from_roots(trust_domain, roots).map_err(StatementRefused::Roots)?,
        })
    }
}

type Fields = (TrustDomain, u64, u64, Vec<CertificateDer<'static>>);

fn fields(bytes: &[u8]) -> Option<Fields> {
    let mut rest = Rest(bytes);
    let length = usize::from(rest.octet()?);
    let name = std::str::from_utf8(rest.take(length)?).ok()?;
    let trust_domain = TrustDomain::parse(name).ok()?;
    let (sequence, issued_at_unix_s) = (rest.number()?, rest.number()?);
    let count = usize::from(rest.octet()?);
    if count > ROOTS_MAX {
        return None;
    }
    let mut roots = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(rest.array()?));
        roots.push(CertificateDer::from(rest.take(length)?.to_vec()));
    }
    rest.0
        .is_empty()
        .then_some((trust_domain, sequence, issued_at_unix_s, roots))
}

/// What is still to be read.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}
