//! A certificate before it is signed.

use crate::Key;
use crate::der::{self, sequence, time, tlv};
use crate::extension::{self, Basic, Extension, San, Usage};
use std::time::SystemTime;

/// Every field of a certificate. Change any to a mistake, then [`Draft::sign`].
#[derive(Clone, Debug)]
pub struct Draft {
    /// 2 is version 3; `None` leaves the field out, which is version 1.
    pub version: Option<u8>,
    /// The content octets of the serial number: empty, negative, zero or too long if you like.
    pub serial: Vec<u8>,
    /// The issuer's Name in DER.
    pub issuer: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The subject's Name in DER.
    pub subject: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// subjectAltName; `None`: no extension.
    pub san: Option<Vec<San>>,
    /// Whether it is critical: it must be where the subject is empty.
    pub san_critical: bool,
    /// basicConstraints; `None`: no extension.
    pub basic: Option<Basic>,
    /// keyUsage; `None`: no extension.
    pub usages: Option<Vec<Usage>>,
    /// Whether it is critical.
    pub usages_critical: bool,
    /// extKeyUsage, dotted; `None`: no extension.
    pub purposes: Option<Vec<String>>,
    /// subjectKeyIdentifier; `None`: no extension.
    pub subject_key_id: Option<Vec<u8>>,
    /// authorityKeyIdentifier; `None`: no extension.
    pub authority_key_id: Option<Vec<u8>>,
    /// Further extensions, behind the others.
    pub extra: Vec<Extension>,
    /// The AlgorithmIdentifier inside what is signed; `None`: the signing key's.
    pub inner_algorithm: Option<Vec<u8>>,
    /// Whether to spoil the signature.
    pub spoil_signature: bool,
    /// Octets behind the certificate.
    pub trailing: Vec<u8>,
}

/// Seconds since 1970, now.
pub fn now_s() -> i64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Positive, 16 octets: what RFC 5280 and the CA/Browser Forum ask for.
fn random_serial() -> Vec<u8> {
    let mut serial = vec![0; 16];
    aws_lc_rs::rand::fill(&mut serial).unwrap();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

impl Draft {
    /// A leaf for `id` as X509-SVID has it, from a minute ago until in an hour; the issuer is still to be filled in.
    pub fn leaf(id: &str, key: &Key) -> Self {
        Draft {
            version: Some(2),
            serial: random_serial(),
            issuer: der::name(""),
            not_before: now_s() - 60,
            not_after: now_s() + 3600,
            subject: der::name(""),
            spki: key.spki(),
            san: Some(vec![San::uri(id)]),
            san_critical: true,
            basic: Some(Basic {
                ca: false,
                path_len: None,
                critical: true,
            }),
            usages: Some(vec![Usage::DigitalSignature]),
            usages_critical: true,
            purposes: Some(vec![
                extension::SERVER_AUTH.into(),
                extension::CLIENT_AUTH.into(),
            ]),
            subject_key_id: None,
            authority_key_id: None,
            extra: Vec::new(),
            inner_algorithm: None,
            spoil_signature: false,
            trailing: Vec::new(),
        }
    }

    /// A signing certificate of `trust_domain` as X509-SVID has it, named `subject`, until in a week.
    pub fn authority(trust_domain: &str, subject: &str, key: &Key) -> Self {
        Draft {
            not_after: now_s() + 7 * 86_400,
            subject: der::name(subject),
            san: Some(vec![San::Uri(format!("spiffe://{trust_domain}"))]),
            san_critical: false,
            basic: Some(Basic {
                ca: true,
                path_len: None,
                critical: true,
            }),
            usages: Some(vec![Usage::KeyCertSign, Usage::CrlSign]),
            purposes: None,
            subject_key_id: Some(key.id()),
            ..Draft::leaf("", key)
        }
    }

    /// The certificate, signed by `signer`, whoever `issuer` says.
    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        let signed = self.to_be_signed(signer);
        let mut signature = signer.sign(&signed);
        if self.spoil_signature {
            // The last octet belongs to the number s, so the structure stays right.
            *signature.last_mut().unwrap() ^= 1;
        }
        let mut whole = sequence(&[&signed, &signer.algorithm(), &der::bit_string(&signature)]);
        whole.extend_from_slice(&self.trailing);
        whole
    }

    fn to_be_signed(&self, signer: &Key) -> Vec<u8> {
        let version = self
            .version
            .map(|version| der::explicit(0, &der::integer(&[version])));
        let algorithm = self
            .inner_algorithm
            .clone()
            .unwrap_or_else(|| signer.algorithm());
        let validity = sequence(&[&time(self.not_before), &time(self.not_after)]);
        let extensions: Vec<u8> = self.extensions().iter().flat_map(Extension::der).collect();
        let extensions = match extensions.is_empty() {
            true => Vec::new(),
            false => der::explicit(3, &tlv(der::tag::SEQUENCE, &extensions)),
        };
        sequence(&[
            &version.unwrap_or_default(),
            &der::integer(&self.serial),
            &algorithm,
            &self.issuer,
            &validity,
            &self.subject,
            &self.spki,
            &extensions,
        ])
    }

    fn extensions(&self) -> Vec<Extension> {
        let mut all = Vec::new();
        all.extend(self.basic.map(Basic::extension));
        let usages = self.usages.as_deref();
        all.extend(usages.map(|usages| extension::key_usage(usages, self.usages_critical)));
        let purposes = self.purposes.as_deref();
        all.extend(purposes.map(|purposes| extension::extended_key_usage(purposes, false)));
        all.extend(
            self.san
                .as_deref()
                .map(|names| extension::san(names, self.san_critical)),
        );
        all.extend(
            self.subject_key_id
                .as_deref()
                .map(extension::subject_key_id),
        );
        all.extend(
            self.authority_key_id
                .as_deref()
                .map(extension::authority_key_id),
        );
        all.extend(self.extra.iter().cloned());
        all
    }
}
