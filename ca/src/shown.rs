//! What a certificate that somebody shows says of itself.
//!
//! In: DER of a stranger. Out: [`ShownLeaf`], or nothing for what this CA cannot have issued. No signature is looked at: who
//! believes it has verified the chain, or compares all of it with the record.

use crate::key::PublicKey;
use crate::record::KeyHash;
use crate::store::Listed;
use crate::template::{Serial, Validity};
use config::SpiffeId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

/// The facts of one leaf, as it names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownLeaf {
    pub(crate) serial: Serial,
    pub(crate) id: SpiffeId,
    pub(crate) key: PublicKey,
    /// The key identifier of its issuer.
    pub(crate) issuer: [u8; 20],
    pub(crate) validity: Validity,
}

impl ShownLeaf {
    /// Reads a certificate; `None` if it is none, or has not the form of those that are issued here.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let seconds = |at: i64| u64::try_from(at).ok();
        let names = certificate.subject_alternative_name().ok()??;
        let [GeneralName::URI(uri)] = &names.value.general_names[..] else {
            return None;
        };
        let issuer = certificate.extensions().iter().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                _ => None,
            }
        })?;
        Some(ShownLeaf {
            serial: Serial::from_octets(certificate.raw_serial())?,
            id: SpiffeId::parse(uri).ok()?,
            key: PublicKey::from_spki(certificate.public_key().raw).ok()?,
            issuer: issuer.0.try_into().ok()?,
            validity: Validity {
                not_before_s: seconds(certificate.validity().not_before.timestamp())?,
                not_after_s: seconds(certificate.validity().not_after.timestamp())?,
            },
        })
    }

    /// Whether the record says the same of this serial.
    pub(crate) fn is(&self, recorded: &Listed) -> bool {
        let entry = &recorded.entry;
        entry.serial == self.serial
            && entry.key == self.key_hash()
            && entry.issuer == self.issuer
            && entry.validity == self.validity
            && recorded.id == self.id
    }

    pub(crate) fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.key)
    }
}
