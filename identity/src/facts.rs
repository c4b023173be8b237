//! What a certificate says, for people: `svid show`, the admin page, metrics.
//!
//! In: DER, good or bad. Out: [`Facts`], read leniently, since what is shown is often what was refused. Nothing is decided
//! from it.

use crate::certificate::{hex, sha256};
use crate::moment::from_seconds;
use std::time::SystemTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its URIs among the subject alternative names; an SVID has one.
    pub uris: Vec<String>,
    /// Its DNS names among them.
    pub dns_names: Vec<String>,
    /// The subject, as text; often empty.
    pub subject: String,
    /// The issuer, as text.
    pub issuer: String,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// From when.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// Whether it may sign others.
    pub ca: bool,
    /// keyUsage and extKeyUsage by their names in RFC 5280.
    pub usages: Vec<&'static str>,
    /// Such as `P-256` or `RSA 2048`.
    pub key_algorithm: String,
    /// SHA-256 of its DER, lower-case hex.
    pub sha256: String,
}

impl Facts {
    /// Reads a certificate; `None` if it is none. Text in it is escaped, so that it cannot forge lines of a terminal.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, x509) = X509Certificate::from_der(der).ok()?;
        let mut facts = Facts {
            uris: Vec::new(),
            dns_names: Vec::new(),
            subject: printable(&x509.subject().to_string()),
            issuer: printable(&x509.issuer().to_string()),
            serial: hex(x509
                .raw_serial()
                .strip_prefix(&[0])
                .filter(|rest| !rest.is_empty())
                .unwrap_or(x509.raw_serial())),
            not_before: from_seconds(x509.validity().not_before.timestamp())?,
            not_after: from_seconds(x509.validity().not_after.timestamp())?,
            ca: x509.is_ca(),
            usages: Vec::new(),
            key_algorithm: key_algorithm(&x509),
            sha256: hex(&sha256(der)),
        };
        if let Ok(Some(usage)) = x509.key_usage() {
            facts.usages.extend(key_usages(usage.value));
        }
        if let Ok(Some(usage)) = x509.extended_key_usage() {
            facts.usages.extend(extended_key_usages(usage.value));
        }
        if let Ok(Some(names)) = x509.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::URI(uri) => facts.uris.push(printable(uri)),
                    GeneralName::DNSName(name) => facts.dns_names.push(printable(name)),
                    _ => {}
                }
            }
        }
        Some(facts)
    }
}

fn printable(text: &str) -> String {
    text.escape_debug().to_string()
}

fn key_usages(usage: &KeyUsage) -> impl Iterator<Item = &'static str> {
    [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
}

fn extended_key_usages(usage: &ExtendedKeyUsage<'_>) -> impl Iterator<Item = &'static str> {
    [
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.any, "anyExtendedKeyUsage"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
        (!usage.other.is_empty(), "other"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
}

fn key_algorithm(x509: &X509Certificate<'_>) -> String {
    match x509.public_key().parsed() {
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 => "P-256".into(),
            384 => "P-384".into(),
            bits => format!("EC {bits}"),
        },
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        _ => match x509
            .public_key()
            .algorithm
            .algorithm
            .to_id_string()
            .as_str()
        {
            "1.3.101.112" => "Ed25519".into(),
            oid => oid.to_owned(),
        },
    }
}
