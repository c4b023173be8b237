//! An authority's certificate and the key that belongs to it.
//!
//! In: both. Out: a [`Signer`], or [`SignerUnfit`]: rcgen would sign with anything, so all that peers will look for in an
//! issuing certificate is looked for here, once.

use crate::der;
use crate::key::PublicKey;
use crate::template::Validity;
use config::TrustDomain;
use identity::Key;
use rustls::pki_types::CertificateDer;
use std::fmt;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// What an authority's certificate says, as far as its children depend on it.
#[derive(Clone, Debug)]
pub struct AuthorityCertificate {
    der: CertificateDer<'static>,
    key: PublicKey,
    subject: Vec<u8>,
    validity: Validity,
}

/// A certificate that can sign others, with its key.
pub struct Signer {
    certificate: AuthorityCertificate,
    encoder: rcgen::Issuer<'static, Key>,
}

/// Why a certificate is no authority's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerUnfit {
    /// Not one X.509 certificate in DER.
    Unreadable,
    /// basicConstraints does not say CA.
    NotCa,
    /// keyUsage lacks keyCertSign or cRLSign.
    KeyUsage,
    /// No subject key identifier, or not the one that we derive from the key.
    KeyId,
    /// No subject.
    NoSubject,
    /// Its private key is another.
    OtherKey,
    /// It was not signed by its root.
    NotByRoot,
    /// The root does not name its trust domain.
    NoTrustDomain,
}

impl SignerUnfit {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            SignerUnfit::Unreadable => "authority_unreadable",
            SignerUnfit::NotCa => "authority_not_ca",
            SignerUnfit::KeyUsage => "authority_key_usage",
            SignerUnfit::KeyId => "authority_key_id",
            SignerUnfit::NoSubject => "authority_no_subject",
            SignerUnfit::OtherKey => "authority_other_key",
            SignerUnfit::NotByRoot => "authority_not_by_root",
            SignerUnfit::NoTrustDomain => "authority_no_trust_domain",
        }
    }
}

impl fmt::Display for SignerUnfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            SignerUnfit::Unreadable => "it is not one X.509 certificate",
            SignerUnfit::NotCa => "its basicConstraints do not say CA",
            SignerUnfit::KeyUsage => "its keyUsage lacks keyCertSign or cRLSign",
            SignerUnfit::KeyId => "its subject key identifier is not that of its key",
            SignerUnfit::NoSubject => "it has no subject",
            SignerUnfit::OtherKey => "the private key beside it is another one's",
            SignerUnfit::NotByRoot => "it was not signed by the root",
            SignerUnfit::NoTrustDomain => "its subjectAltName does not name one trust domain",
        };
        write!(
            f,
            "not an authority's certificate: {why}; restore it from a backup"
        )
    }
}
impl std::error::Error for SignerUnfit {}

impl AuthorityCertificate {
    /// Reads a certificate and looks whether it may sign others.
    pub fn read(der: CertificateDer<'static>) -> Result<Self, SignerUnfit> {
        let certificate = parse(&der)?;
        let (mut is_ca, mut signs, mut key_id) = (false, false, None);
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(basic) => is_ca = basic.ca,
                ParsedExtension::KeyUsage(usage) => {
                    signs = usage.key_cert_sign() && usage.crl_sign();
                }
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(id.0),
                _ => {}
            }
        }
        let key = PublicKey::from_spki(certificate.public_key().raw)
            .map_err(|_| SignerUnfit::Unreadable)?;
        let subject = certificate.subject().as_raw().to_vec();
        let seconds = |time: i64| u64::try_from(time).map_err(|_| SignerUnfit::Unreadable);
        let validity = Validity {
            not_before_s: seconds(certificate.validity().not_before.timestamp())?,
            not_after_s: seconds(certificate.validity().not_after.timestamp())?,
        };
        match () {
            () if !is_ca => return Err(SignerUnfit::NotCa),
            () if !signs => return Err(SignerUnfit::KeyUsage),
            () if key_id != Some(&key.id()[..]) => return Err(SignerUnfit::KeyId),
            () if subject == der::element(der::SEQUENCE, &[]) => {
                return Err(SignerUnfit::NoSubject);
            }
            () => {}
        }
        Ok(AuthorityCertificate {
            der,
            key,
            subject,
            validity,
        })
    }

    /// Whether `root` signed this certificate.
    pub fn signed_by(&self, root: &AuthorityCertificate) -> Result<(), SignerUnfit> {
        let (child, parent) = (parse(&self.der)?, parse(&root.der)?);
        let signature = child.verify_signature(Some(parent.public_key()));
        if child.issuer().as_raw() == root.subject && signature.is_ok() {
            Ok(())
        } else {
            Err(SignerUnfit::NotByRoot)
        }
    }

    /// The trust domain that its one URI SAN names.
    pub fn trust_domain(&self) -> Result<TrustDomain, SignerUnfit> {
        let certificate = parse(&self.der)?;
        let names = certificate.subject_alternative_name().ok().flatten();
        match names.as_ref().map(|names| &names.value.general_names[..]) {
            Some([GeneralName::URI(uri)]) => {
                TrustDomain::parse_id(uri).map_err(|_| SignerUnfit::NoTrustDomain)
            }
            _ => Err(SignerUnfit::NoTrustDomain),
        }
    }

    /// In DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Its Name, in DER.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// From when until when.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl Signer {
    /// Joins a certificate with its key.
    pub fn new(certificate: AuthorityCertificate, key: Key) -> Result<Self, SignerUnfit> {
        if key.spki() != certificate.key.spki() {
            return Err(SignerUnfit::OtherKey);
        }
        let encoder = rcgen::Issuer::from_ca_cert_der(&certificate.der, key)
            .map_err(|_| SignerUnfit::Unreadable)?;
        Ok(Signer {
            certificate,
            encoder,
        })
    }

    /// The certificate.
    pub fn certificate(&self) -> &AuthorityCertificate {
        &self.certificate
    }

    /// The key.
    pub fn key(&self) -> &Key {
        self.encoder.key()
    }

    pub(crate) fn encoder(&self) -> &rcgen::Issuer<'static, Key> {
        &self.encoder
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, SignerUnfit> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(SignerUnfit::Unreadable),
    }
}
