//! PEM in and out (RFC 7468).
//!
//! In: bytes of a file, or DER with its label. Out: certificates in file order, or text that is wiped on drop. It judges
//! nothing but the armour.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};
use std::fmt;
use zeroize::Zeroizing;

/// Why a text holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PemError {
    /// Not one `BEGIN CERTIFICATE`.
    NoCertificate,
    /// A section has a beginning and no end, as while a file is being written.
    CutShort,
    /// A section is there but cannot be decoded.
    Damaged,
}

impl PemError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            PemError::NoCertificate => "pem_without_certificate",
            PemError::CutShort => "pem_cut_short",
            PemError::Damaged => "pem_damaged",
        }
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PemError::NoCertificate => "no `-----BEGIN CERTIFICATE-----` in it",
            PemError::CutShort => "a PEM section begins and does not end",
            PemError::Damaged => "a PEM section cannot be decoded",
        })
    }
}
impl std::error::Error for PemError {}

/// Every certificate of a PEM text, in order; at least one. Sections of other kinds are skipped.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(PemError::NoCertificate),
        Ok(found) => Ok(found),
        Err(error) => Err(PemError::from(error)),
    }
}

impl From<Error> for PemError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoItemsFound => PemError::NoCertificate,
            Error::MissingSectionEnd { .. } => PemError::CutShort,
            _ => PemError::Damaged,
        }
    }
}

/// One section, wiped on drop because it may hold a key. Allocates once, so that no copy is left behind by growing.
pub fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = der.len().div_ceil(3) * 4;
    let room = body + body.div_ceil(LINE) + 2 * (label.len() + "-----BEGIN -----\n".len());
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(LINE / 4 * 3) {
        for triple in line.chunks(3) {
            push_base64(&mut text, triple);
        }
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Characters of a line (RFC 7468 §2).
const LINE: usize = 64;

fn push_base64(text: &mut String, triple: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |at: usize| u32::from(triple.get(at).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for at in 0..4 {
        if at > triple.len() {
            text.push('=');
        } else {
            let six = (bits >> (18 - 6 * at)) & 0x3f;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_at_every_length() {
        for length in 1..200u8 {
            let der: Vec<u8> = (0..length).collect();
            let text = encode("CERTIFICATE", &der);
            assert_eq!(text.capacity(), text.capacity().max(text.len()));
            assert!(text.lines().all(|line| line.len() <= LINE));
            assert_eq!(
                certificates(text.as_bytes()).unwrap(),
                [CertificateDer::from(der)]
            );
        }
    }

    #[test]
    fn a_text_that_is_no_certificate_says_which_kind_of_nothing_it_is() {
        let whole = encode("CERTIFICATE", &[1, 2, 3]);
        let check = |text: &[u8], why| assert_eq!(certificates(text), Err(why));
        check(b"", PemError::NoCertificate);
        check(b"hello", PemError::NoCertificate);
        check(
            encode("PRIVATE KEY", &[1]).as_bytes(),
            PemError::NoCertificate,
        );
        check(&whole.as_bytes()[..whole.len() - 8], PemError::CutShort);
        check(
            b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
            PemError::Damaged,
        );
    }
}
