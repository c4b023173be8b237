//! Certificate requests (PKCS#10, RFC 2986), hostile ones too.

use crate::Key;
use crate::der::{self, oid, sequence, tag, tlv};
use crate::extension::Extension;

/// Every part of a request. The default of [`CsrDraft::of`] asks for nothing but a signature on its key.
#[derive(Clone, Debug)]
pub struct CsrDraft {
    /// 0 is the only right one.
    pub version: u8,
    /// The subject's Name in DER.
    pub subject: Vec<u8>,
    /// SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// What the certificate is asked to hold; none: no attribute.
    pub extensions: Vec<Extension>,
    /// Further attributes in DER, as they are.
    pub attributes: Vec<Vec<u8>>,
    /// The AlgorithmIdentifier that it claims to be signed with; `None`: the signing key's.
    pub algorithm: Option<Vec<u8>>,
    /// Whether to spoil the signature.
    pub spoil_signature: bool,
    /// Octets behind the request.
    pub trailing: Vec<u8>,
}

impl CsrDraft {
    /// A request for a certificate of this key.
    pub fn of(key: &Key) -> Self {
        CsrDraft {
            version: 0,
            subject: der::name(""),
            spki: key.spki(),
            extensions: Vec::new(),
            attributes: Vec::new(),
            algorithm: None,
            spoil_signature: false,
            trailing: Vec::new(),
        }
    }

    /// The request, signed by `signer`, whosever key it holds.
    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        let signed = self.to_be_signed();
        let mut signature = signer.sign(&signed);
        if self.spoil_signature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let algorithm = self.algorithm.clone().unwrap_or_else(|| signer.algorithm());
        let mut whole = sequence(&[&signed, &algorithm, &der::bit_string(&signature)]);
        whole.extend_from_slice(&self.trailing);
        whole
    }

    /// The same in PEM.
    pub fn sign_pem(&self, signer: &Key) -> String {
        crate::pem("CERTIFICATE REQUEST", &self.sign(signer))
    }

    fn to_be_signed(&self) -> Vec<u8> {
        let mut attributes = self.attributes.concat();
        if !self.extensions.is_empty() {
            let wanted: Vec<u8> = self.extensions.iter().flat_map(Extension::der).collect();
            let wanted = tlv(tag::SET, &tlv(tag::SEQUENCE, &wanted));
            attributes.extend(sequence(&[&oid("1.2.840.113549.1.9.14"), &wanted]));
        }
        sequence(&[
            &der::integer(&[self.version]),
            &self.subject,
            &self.spki,
            &der::explicit(0, &attributes),
        ])
    }
}
