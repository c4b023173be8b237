//! The extensions of a certificate, and of what a request asks for.

use crate::der::{self, oid, sequence, tag, tlv};

/// An extension as it will stand in the certificate, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Dotted.
    pub oid: String,
    /// Whether it is marked critical.
    pub critical: bool,
    /// What the OCTET STRING holds.
    pub value: Vec<u8>,
}

impl Extension {
    /// Any extension at all.
    pub fn new(oid: &str, critical: bool, value: Vec<u8>) -> Self {
        Extension {
            oid: oid.to_owned(),
            critical,
            value,
        }
    }

    /// The Extension in DER.
    pub fn der(&self) -> Vec<u8> {
        let critical = if self.critical {
            tlv(tag::BOOLEAN, &[0xff])
        } else {
            Vec::new()
        };
        sequence(&[
            &oid(&self.oid),
            &critical,
            &tlv(tag::OCTET_STRING, &self.value),
        ])
    }
}

/// An entry of the subject alternative names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A URI, any text.
    Uri(String),
    /// A DNS name, any text.
    Dns(String),
    /// An address of 4, 16 or a wrong number of octets.
    Ip(Vec<u8>),
    /// An e-mail address, any text.
    Email(String),
    /// Octets as they are, tag and length included.
    Raw(Vec<u8>),
}

impl San {
    /// A URI.
    pub fn uri(text: &str) -> Self {
        San::Uri(text.to_owned())
    }

    /// A DNS name.
    pub fn dns(text: &str) -> Self {
        San::Dns(text.to_owned())
    }

    fn der(&self) -> Vec<u8> {
        match self {
            San::Email(text) => der::implicit(1, text.as_bytes()),
            San::Dns(text) => der::implicit(2, text.as_bytes()),
            San::Uri(text) => der::implicit(6, text.as_bytes()),
            San::Ip(octets) => der::implicit(7, octets),
            San::Raw(octets) => octets.clone(),
        }
    }
}

/// subjectAltName.
pub fn san(names: &[San], critical: bool) -> Extension {
    let names: Vec<u8> = names.iter().flat_map(San::der).collect();
    Extension::new("2.5.29.17", critical, tlv(tag::SEQUENCE, &names))
}

/// basicConstraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basic {
    /// cA.
    pub ca: bool,
    /// pathLenConstraint, allowed or not.
    pub path_len: Option<u8>,
    /// Whether the extension is critical.
    pub critical: bool,
}

impl Basic {
    /// The extension.
    pub fn extension(self) -> Extension {
        let ca = if self.ca {
            tlv(tag::BOOLEAN, &[0xff])
        } else {
            Vec::new()
        };
        let path_len = self
            .path_len
            .map(|most| der::integer(&[most]))
            .unwrap_or_default();
        Extension::new("2.5.29.19", self.critical, sequence(&[&ca, &path_len]))
    }
}

/// A bit of keyUsage, in the order of RFC 5280 §4.2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 5280")]
pub enum Usage {
    DigitalSignature = 0,
    NonRepudiation = 1,
    KeyEncipherment = 2,
    DataEncipherment = 3,
    KeyAgreement = 4,
    KeyCertSign = 5,
    CrlSign = 6,
}

/// keyUsage of these bits; none at all is an empty BIT STRING.
pub fn key_usage(usages: &[Usage], critical: bool) -> Extension {
    let bits = usages
        .iter()
        .fold(0u8, |bits, usage| bits | 0x80 >> (*usage as u8));
    let content = match bits {
        0 => vec![0],
        bits => vec![u8::try_from(bits.trailing_zeros()).unwrap(), bits],
    };
    Extension::new("2.5.29.15", critical, tlv(tag::BIT_STRING, &content))
}

/// serverAuth, for [`extended_key_usage`].
pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
/// clientAuth.
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
/// codeSigning.
pub const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";

/// extKeyUsage of these purposes.
pub fn extended_key_usage(purposes: &[String], critical: bool) -> Extension {
    let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(purpose)).collect();
    Extension::new("2.5.29.37", critical, tlv(tag::SEQUENCE, &purposes))
}

/// subjectKeyIdentifier.
pub fn subject_key_id(id: &[u8]) -> Extension {
    Extension::new("2.5.29.14", false, tlv(tag::OCTET_STRING, id))
}

/// authorityKeyIdentifier.
pub fn authority_key_id(id: &[u8]) -> Extension {
    Extension::new("2.5.29.35", false, sequence(&[&der::implicit(0, id)]))
}

/// nameConstraints that permit only URIs of this host.
pub fn permitted_uri_host(host: &str) -> Extension {
    permitted(6, host)
}

/// nameConstraints that permit only DNS names in this domain.
pub fn permitted_dns_domain(name: &str) -> Extension {
    permitted(2, name)
}

fn permitted(kind: u8, name: &str) -> Extension {
    let subtree = sequence(&[&der::implicit(kind, name.as_bytes())]);
    let value = sequence(&[&der::explicit(0, &subtree)]);
    Extension::new("2.5.29.30", true, value)
}
