//! The strict reading of one certificate, as far as leaves, issuers and roots share it (RFC 5280 §4.1, §4.2).
//!
//! In: DER from a stranger. Out: [`Certificate`], with the four extensions that decide what a certificate may do; or
//! [`Malformed`]. It does not judge what the extensions say, and checks no signature.
//!
//! 1. Every byte is accounted for: nothing behind the certificate, nothing behind an extension's value.
//! 2. An extension that is critical and not understood here refuses the certificate.
//! 3. No SAN entry is skipped because it cannot be decoded.

use crate::moment::from_seconds;
use crate::written::{self, Loose};
use std::fmt;
use std::time::SystemTime;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::extensions::{
    BasicConstraints, ExtendedKeyUsage, GeneralName, KeyUsage, SubjectAlternativeName,
    X509Extension,
};
use x509_parser::nom::Parser;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// Bytes of one certificate at most: a P-256 leaf has 0.6 KiB, an RSA-4096 one with many SANs 3, an ML-DSA-87 one 8.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Certificates of a chain at most, leaf and root included.
pub const CHAIN_MAX: usize = 6;

/// Extensions of a certificate at most: an SVID has six, the fullest of the Web fifteen. Each is compared with all before it,
/// and a stranger's 16 KiB would hold two thousand.
const EXTENSIONS_MAX: usize = 64;

/// Octets of a serial number at most (RFC 5280 §4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// Why bytes are no certificate that anybody should act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// More bytes than [`CERTIFICATE_BYTES_MAX`].
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not DER, or not the structure of a certificate.
    Encoding,
    /// Bytes follow the certificate, or an extension's value.
    TrailingBytes,
    /// Not version 3.
    Version,
    /// The serial number is longer than 20 octets.
    Serial,
    /// It ends before it begins, or at a time that cannot be told.
    Validity,
    /// More extensions than anybody needs.
    TooManyExtensions {
        /// How many.
        extensions: usize,
    },
    /// One extension is there twice (RFC 5280 §4.2).
    DuplicateExtension {
        /// Its object identifier.
        oid: String,
    },
    /// An extension that is critical and that nobody here understands.
    UnknownCriticalExtension {
        /// Its object identifier.
        oid: String,
    },
    /// An entry of the SAN cannot be decoded.
    SanEntry,
}

impl Malformed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Malformed::TooLarge { .. } => "certificate_too_large",
            Malformed::Encoding => "bad_encoding",
            Malformed::TrailingBytes => "trailing_bytes",
            Malformed::Version => "bad_version",
            Malformed::Serial => "bad_serial",
            Malformed::Validity => "bad_validity",
            Malformed::TooManyExtensions { .. } => "too_many_extensions",
            Malformed::DuplicateExtension { .. } => "duplicate_extension",
            Malformed::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Malformed::SanEntry => "bad_san_entry",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::TooLarge { bytes } => {
                write!(
                    f,
                    "it has {bytes} bytes, at most {CERTIFICATE_BYTES_MAX} are read"
                )
            }
            Malformed::Encoding => f.write_str("it is not the DER of a certificate"),
            Malformed::TrailingBytes => {
                f.write_str("bytes follow its end, or the end of an extension")
            }
            Malformed::Version => f.write_str("it is not of version 3"),
            Malformed::Serial => f.write_str("its serial number is longer than 20 octets"),
            Malformed::Validity => {
                f.write_str("its validity cannot be read or ends before it begins")
            }
            Malformed::TooManyExtensions { extensions } => {
                write!(
                    f,
                    "it has {extensions} extensions, at most {EXTENSIONS_MAX} are read"
                )
            }
            Malformed::DuplicateExtension { oid } => {
                write!(f, "its extension {oid} is there twice")
            }
            Malformed::UnknownCriticalExtension { oid } => {
                write!(f, "its critical extension {oid} is not understood")
            }
            Malformed::SanEntry => {
                f.write_str("an entry of its subject alternative names cannot be decoded")
            }
        }
    }
}
impl std::error::Error for Malformed {}

/// A certificate as read, borrowing its bytes.
pub(crate) struct Certificate<'a> {
    pub(crate) x509: X509Certificate<'a>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    /// With whether it is critical.
    pub(crate) key_usage: Option<(KeyUsage, bool)>,
    pub(crate) extended_key_usage: Option<ExtendedKeyUsage<'a>>,
    pub(crate) constrains_names: bool,
    pub(crate) uris: Vec<&'a str>,
    pub(crate) dns_names: Vec<&'a str>,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate and nothing behind it. Costs a few microseconds for a P-256 leaf.
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Malformed::TooLarge { bytes: der.len() });
        }
        // The extensions that matter are parsed below, with a check for leftovers that the deep parse does not make.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, x509) = parser.parse(der).map_err(|_| Malformed::Encoding)?;
        if !rest.is_empty() {
            return Err(Malformed::TrailingBytes);
        }
        if x509.version() != X509Version::V3 {
            return Err(Malformed::Version);
        }
        if significant(x509.raw_serial()).len() > SERIAL_BYTES_MAX {
            return Err(Malformed::Serial);
        }
        written::check(x509.tbs_certificate.as_ref()).map_err(|loose| match loose {
            Loose::Validity => Malformed::Validity,
            Loose::Encoding => Malformed::Encoding,
        })?;
        let not_before =
            from_seconds(x509.validity().not_before.timestamp()).ok_or(Malformed::Validity)?;
        let not_after =
            from_seconds(x509.validity().not_after.timestamp()).ok_or(Malformed::Validity)?;
        if not_after < not_before {
            return Err(Malformed::Validity);
        }
        let mut read = Certificate {
            x509,
            not_before,
            not_after,
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            constrains_names: false,
            uris: Vec::new(),
            dns_names: Vec::new(),
        };
        read.read_extensions()?;
        Ok(read)
    }

    fn read_extensions(&mut self) -> Result<(), Malformed> {
        let count = self.x509.extensions().len();
        if count > EXTENSIONS_MAX {
            return Err(Malformed::TooManyExtensions { extensions: count });
        }
        let extensions: Vec<X509Extension<'a>> = self.x509.extensions().to_vec();
        for (at, extension) in extensions.iter().enumerate() {
            if extensions[..at]
                .iter()
                .any(|before| before.oid == extension.oid)
            {
                return Err(Malformed::DuplicateExtension {
                    oid: extension.oid.to_id_string(),
                });
            }
            let value = extension.value;
            if extension.oid == oid::OID_X509_EXT_BASIC_CONSTRAINTS {
                if !written::is_constraints(value) {
                    return Err(Malformed::Encoding);
                }
                self.basic_constraints = Some(whole(BasicConstraints::from_der(value))?);
            } else if extension.oid == oid::OID_X509_EXT_KEY_USAGE {
                if !written::is_bits(value) {
                    return Err(Malformed::Encoding);
                }
                self.key_usage = Some((whole(KeyUsage::from_der(value))?, extension.critical));
            } else if extension.oid == oid::OID_X509_EXT_EXTENDED_KEY_USAGE {
                if !written::is_object_ids(value) {
                    return Err(Malformed::Encoding);
                }
                self.extended_key_usage = Some(whole(ExtendedKeyUsage::from_der(value))?);
            } else if extension.oid == oid::OID_X509_EXT_SUBJECT_ALT_NAME {
                if !written::is_names(value) {
                    return Err(Malformed::SanEntry);
                }
                self.read_names(whole(SubjectAlternativeName::from_der(value))?)?;
            } else if extension.oid == oid::OID_X509_EXT_NAME_CONSTRAINTS {
                // What they say is left to webpki, which enforces them and refuses those that it cannot.
                self.constrains_names = true;
            } else if extension.critical {
                return Err(Malformed::UnknownCriticalExtension {
                    oid: extension.oid.to_id_string(),
                });
            }
        }
        Ok(())
    }

    fn read_names(&mut self, names: SubjectAlternativeName<'a>) -> Result<(), Malformed> {
        for name in names.general_names {
            match name {
                GeneralName::URI(uri) => self.uris.push(uri),
                GeneralName::DNSName(name) => self.dns_names.push(name),
                GeneralName::IPAddress(octets) if !matches!(octets.len(), 4 | 16) => {
                    return Err(Malformed::SanEntry);
                }
                GeneralName::Invalid(..) => return Err(Malformed::SanEntry),
                _ => {}
            }
        }
        Ok(())
    }

    /// The serial number in lower-case hex, without DER's leading zero.
    pub(crate) fn serial(&self) -> String {
        hex(significant(self.x509.raw_serial()))
    }

    pub(crate) fn subject(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject.as_raw()
    }

    pub(crate) fn issuer(&self) -> &'a [u8] {
        self.x509.tbs_certificate.issuer.as_raw()
    }
}

/// A value with nothing behind it.
fn whole<T, E>(parsed: Result<(&[u8], T), E>) -> Result<T, Malformed> {
    match parsed {
        Ok(([], value)) => Ok(value),
        Ok(_) => Err(Malformed::TrailingBytes),
        Err(_) => Err(Malformed::Encoding),
    }
}

fn significant(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// SHA-256 of a certificate's DER: what fingerprints and cache keys are made of.
pub(crate) fn sha256(der: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref());
    bytes
}
