//! A template becomes a certificate: the only place where an authority's key is used.
//!
//! In: a [`Template`] and whose key signs. Out: [`Signed`], which nobody may have before it was checked. rcgen only encodes:
//! its defaults (validity from 1975 to 4096, a common name, no basicConstraints, a serial made from the key) are each
//! overwritten here, and `check` reads afterwards what really stands there.

use crate::signer::Signer;
use crate::template::{Profile, Template};
use identity::Key;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;
use std::fmt;
use time::OffsetDateTime;

/// Whose key signs.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The certificate's own: a root.
    Itself(&'a Key),
    /// An authority's.
    Authority(&'a Signer),
}

/// A certificate that was signed and not yet checked.
#[derive(Debug)]
pub struct Signed {
    pub(crate) template: Template,
    pub(crate) der: CertificateDer<'static>,
}

/// The encoder or the key failed. Of well-formed templates this is not expected, yet it is no reason to panic.
#[derive(Debug)]
pub struct SignFailed {
    source: Option<rcgen::Error>,
}

impl SignFailed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "sign_failed"
    }
}
impl fmt::Display for SignFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("certificate not signed: ")?;
        match &self.source {
            Some(error) => write!(f, "{error}")?,
            None => f.write_str("its dates cannot be written")?,
        }
        f.write_str("; this is a bug, please report it")
    }
}
impl std::error::Error for SignFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
impl From<rcgen::Error> for SignFailed {
    fn from(error: rcgen::Error) -> Self {
        SignFailed {
            source: Some(error),
        }
    }
}

/// Signs: about 20 us with P-256.
pub fn sign(template: Template, by: By<'_>) -> Result<Signed, SignFailed> {
    let parameters = parameters(&template)?;
    let subject_key = SubjectPublicKeyInfo::from_der(template.key.spki())?;
    let certificate = match by {
        By::Itself(key) => parameters.self_signed(key)?,
        By::Authority(signer) => parameters.signed_by(&subject_key, signer.encoder())?,
    };
    Ok(Signed {
        template,
        der: certificate.into(),
    })
}

pub(crate) fn parameters(template: &Template) -> Result<CertificateParams, SignFailed> {
    let date = |unix_s: u64| {
        let unix_s = i64::try_from(unix_s).map_err(|_| SignFailed { source: None })?;
        OffsetDateTime::from_unix_timestamp(unix_s).map_err(|_| SignFailed { source: None })
    };
    let mut parameters = CertificateParams::default();
    parameters.not_before = date(template.validity.not_before_s)?;
    parameters.not_after = date(template.validity.not_after_s)?;
    parameters.serial_number = Some(SerialNumber::from_slice(template.serial.octets()));
    parameters.distinguished_name = DistinguishedName::new();
    if let Some(name) = &template.common_name {
        parameters
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    parameters.subject_alt_names = vec![SanType::URI(template.uri.as_str().try_into()?)];
    parameters.use_authority_key_identifier_extension = true;
    match template.profile {
        Profile::Leaf => {
            parameters.is_ca = IsCa::ExplicitNoCa;
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
        }
        Profile::Issuer | Profile::Root => {
            parameters.is_ca = IsCa::Ca(match template.profile {
                Profile::Issuer => BasicConstraints::Constrained(0),
                _ => BasicConstraints::Unconstrained,
            });
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
    }
    Ok(parameters)
}
