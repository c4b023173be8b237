//! The signed certificate is read back and compared with what was asked for, byte by byte, before anybody gets it.
//!
//! In: [`Signed`] and whose key signed; for a leaf also the verifier that peers will use. Out: [`Checked`], or [`CheckFailed`]
//! naming the field that differs, in which case nothing leaves. No clock: a leaf is judged at the time of its issue. The
//! expected bytes are put together here and not by the encoder that is being checked.
//!
//! 1. Every field and every extension is compared; one that nobody asked for fails.
//! 2. An authority's signature is verified with its issuer's key, a leaf's whole path as its peers will (webpki within).

use crate::der;
use crate::sign::{By, Signed};
use crate::signer::Signer;
use crate::template::{Profile, Serial, Template, Validity};
use identity::{Refused, Role, Verifier};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::time::Duration;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate, X509Version};

const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const OID_SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const OID_CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// A certificate that says what it was asked to say, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    der: CertificateDer<'static>,
    serial: Serial,
    validity: Validity,
}

impl Checked {
    fn of(der: CertificateDer<'static>, template: &Template) -> Self {
        Checked {
            der,
            serial: template.serial,
            validity: template.validity,
        }
    }

    /// In DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its serial.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// From when until when.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// Why a signed certificate is not released: always a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckFailed {
    /// It cannot be read back.
    Unreadable,
    /// A field or extension does not say what was asked for.
    Differs {
        /// Which one.
        field: &'static str,
    },
    /// The signature is not the issuer's.
    Signature,
    /// The verifier of its future peers refuses it.
    Peers {
        /// What it says.
        refused: Refused,
    },
}

impl CheckFailed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            CheckFailed::Unreadable => "check_unreadable",
            CheckFailed::Differs { .. } => "check_differs",
            CheckFailed::Signature => "check_signature",
            CheckFailed::Peers { .. } => "check_peers",
        }
    }
}

impl fmt::Display for CheckFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("certificate not released: ")?;
        match self {
            CheckFailed::Unreadable => f.write_str("it cannot be read back")?,
            CheckFailed::Differs { field } => write!(f, "its {field} is not what was asked for")?,
            CheckFailed::Signature => f.write_str("its signature is not the issuer's")?,
            CheckFailed::Peers { refused } => {
                write!(f, "its peers would refuse it ({})", refused.reason())?;
            }
        }
        f.write_str("; this is a bug, please report it")
    }
}
impl std::error::Error for CheckFailed {}

/// Checks a leaf: about 75 us with P-256, nearly all of it for the signature.
pub fn check_leaf(
    signed: Signed,
    issuer: &Signer,
    peers: &Verifier,
) -> Result<Checked, CheckFailed> {
    reads_as_asked(&signed, By::Authority(issuer))?;
    let Signed { template, der } = signed;
    let chain = [der, issuer.certificate().der().clone()];
    let now = UnixTime::since_unix_epoch(Duration::from_secs(template.issued_at_s));
    let refused = |refused| CheckFailed::Peers { refused };
    let peer = peers.verify(&chain, Role::Client, now).map_err(refused)?;
    if peer.id.as_str() != template.uri {
        return Err(CheckFailed::Differs { field: "identity" });
    }
    let [der, _] = chain;
    Ok(Checked::of(der, &template))
}

/// Checks a root or an issuer.
pub fn check_authority(signed: Signed, by: By<'_>) -> Result<Checked, CheckFailed> {
    let certificate = reads_as_asked(&signed, by)?;
    let spki = match by {
        By::Itself(_) => signed.template.key.spki(),
        By::Authority(signer) => signer.certificate().key().spki(),
    };
    let (_, key) = SubjectPublicKeyInfo::from_der(spki).map_err(|_| CheckFailed::Signature)?;
    certificate
        .verify_signature(Some(&key))
        .map_err(|_| CheckFailed::Signature)?;
    drop(certificate);
    Ok(Checked::of(signed.der, &signed.template))
}

fn reads_as_asked<'a>(signed: &'a Signed, by: By<'_>) -> Result<X509Certificate<'a>, CheckFailed> {
    let Ok(([], certificate)) = X509Certificate::from_der(&signed.der) else {
        return Err(CheckFailed::Unreadable);
    };
    fields(&certificate, &signed.template, by)?;
    extensions(&certificate, &signed.template, by)?;
    Ok(certificate)
}

fn fields(
    certificate: &X509Certificate<'_>,
    template: &Template,
    by: By<'_>,
) -> Result<(), CheckFailed> {
    let subject = name(template.common_name.as_deref());
    let issuer = match by {
        By::Itself(_) => &subject[..],
        By::Authority(signer) => signer.certificate().subject(),
    };
    let validity = &certificate.validity;
    let seconds = |wanted: u64, found: i64| i64::try_from(wanted) == Ok(found);
    let table = [
        ("version", certificate.version == X509Version::V3),
        (
            "serial",
            certificate.raw_serial() == template.serial.octets(),
        ),
        ("issuer", certificate.issuer.as_raw() == issuer),
        (
            "notBefore",
            seconds(
                template.validity.not_before_s,
                validity.not_before.timestamp(),
            ),
        ),
        (
            "notAfter",
            seconds(
                template.validity.not_after_s,
                validity.not_after.timestamp(),
            ),
        ),
        ("subject", certificate.subject.as_raw() == subject),
        (
            "public key",
            certificate.subject_pki.raw == template.key.spki(),
        ),
        ("issuerUniqueID", certificate.issuer_uid.is_none()),
        ("subjectUniqueID", certificate.subject_uid.is_none()),
        (
            "signature algorithm",
            certificate.signature == certificate.signature_algorithm,
        ),
    ];
    match table.iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(CheckFailed::Differs { field }),
        None => Ok(()),
    }
}

fn name(common_name: Option<&str>) -> Vec<u8> {
    let Some(text) = common_name else {
        return der::element(der::SEQUENCE, &[]);
    };
    let value = der::element(der::UTF8_STRING, &[text.as_bytes()]);
    let attribute = der::element(
        der::SEQUENCE,
        &[&der::element(der::OID, &[OID_COMMON_NAME]), &value],
    );
    der::element(der::SEQUENCE, &[&der::element(der::SET, &[&attribute])])
}

/// An extension that must be there, exactly once, exactly so.
struct Expected {
    field: &'static str,
    oid: &'static [u8],
    critical: bool,
    value: Vec<u8>,
}

fn extensions(
    certificate: &X509Certificate<'_>,
    template: &Template,
    by: By<'_>,
) -> Result<(), CheckFailed> {
    let expected = expected(template, by);
    for Expected {
        field,
        oid,
        critical,
        value,
    } in &expected
    {
        let mut found = certificate
            .extensions()
            .iter()
            .filter(|found| found.oid.as_bytes() == *oid);
        let same = found
            .next()
            .is_some_and(|found| found.critical == *critical && found.value == value);
        if !same || found.next().is_some() {
            return Err(CheckFailed::Differs { field });
        }
    }
    // Each of the expected was found once: any more are ones that nobody asked for.
    if certificate.extensions().len() != expected.len() {
        return Err(CheckFailed::Differs {
            field: "number of extensions",
        });
    }
    Ok(())
}

fn expected(template: &Template, by: By<'_>) -> Vec<Expected> {
    let issuer_key_id = match by {
        By::Itself(_) => template.key.id(),
        By::Authority(signer) => signer.certificate().key().id(),
    };
    let authority_key_id = der::element(der::SEQUENCE, &[&der::element(0x80, &[&issuer_key_id])]);
    let subject_key_id = der::element(der::OCTET_STRING, &[&template.key.id()]);
    let uri = der::element(
        der::SEQUENCE,
        &[&der::element(0x86, &[template.uri.as_bytes()])],
    );
    let (basic_constraints, key_usage): (Vec<u8>, &[u8]) = match template.profile {
        Profile::Leaf => (vec![], &[7, 0b1000_0000]), // digitalSignature
        Profile::Issuer => (
            [der::BOOLEAN_TRUE, &[0x02, 0x01, 0x00]].concat(),
            &[1, 0b0000_0110],
        ), // keyCertSign, cRLSign
        Profile::Root => (der::BOOLEAN_TRUE.to_vec(), &[1, 0b0000_0110]),
    };
    let extension = |field, oid, critical, value| Expected {
        field,
        oid,
        critical,
        value,
    };
    let mut all = vec![
        extension(
            "authorityKeyIdentifier",
            OID_AUTHORITY_KEY_ID,
            false,
            authority_key_id,
        ),
        extension(
            "subjectKeyIdentifier",
            OID_SUBJECT_KEY_ID,
            false,
            subject_key_id,
        ),
        // RFC 5280 §4.2.1.6: critical exactly if there is no subject.
        extension(
            "subjectAltName",
            OID_SUBJECT_ALT_NAME,
            template.common_name.is_none(),
            uri,
        ),
        extension(
            "keyUsage",
            OID_KEY_USAGE,
            true,
            der::element(der::BIT_STRING, &[key_usage]),
        ),
        extension(
            "basicConstraints",
            OID_BASIC_CONSTRAINTS,
            true,
            der::element(der::SEQUENCE, &[&basic_constraints]),
        ),
    ];
    if template.profile == Profile::Leaf {
        let purposes = [OID_SERVER_AUTH, OID_CLIENT_AUTH]
            .map(|oid| der::element(der::OID, &[oid]))
            .concat();
        let value = der::element(der::SEQUENCE, &[&purposes]);
        all.push(extension(
            "extendedKeyUsage",
            OID_EXTENDED_KEY_USAGE,
            false,
            value,
        ));
    }
    all
}

#[cfg(test)]
mod tests;
