//! A signing request.

use crate::csr::Csr;
use crate::der;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use x509_parser::prelude::FromDer;

/// The key that is taken stands where RFC 2986 puts it, and the signature over what it stands in is by it.
pub fn check(data: &[u8]) {
    let _ = Csr::from_pem_or_der(data);
    let claimed = Csr::claimed_key(data);
    let Ok(csr) = Csr::from_der(data) else {
        return;
    };
    assert_eq!(claimed.as_ref(), Ok(csr.key()), "two readings of one key");
    let holds = verifies(data, csr.key().spki());
    assert_eq!(holds, Some(true), "its key is taken without proof");
}

fn verifies(request: &[u8], key: &[u8]) -> Option<bool> {
    let mut parts = der::only(request, der::SEQUENCE)?.content;
    let info = der::take(&mut parts, der::SEQUENCE)?;
    let algorithm = der::take(&mut parts, der::SEQUENCE)?.content;
    let signature = der::only(parts, der::BIT_STRING)?.content;
    let mut fields = info.content;
    der::take(&mut fields, der::INTEGER)?;
    der::take(&mut fields, der::SEQUENCE)?;
    if der::take(&mut fields, der::SEQUENCE)?.whole != key {
        return Some(false);
    }
    let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(key).ok()?;
    let bytes = spki.subject_public_key.data.as_ref();
    let algorithm = verification(algorithm, bytes.len())?;
    let key = UnparsedPublicKey::new(algorithm, bytes);
    Some(
        key.verify(info.whole, signature.strip_prefix(&[0])?)
            .is_ok(),
    )
}

/// By the name of the signature's algorithm, and on which curve by the length of the point.
fn verification(mut name: &[u8], key: usize) -> Option<&'static dyn VerificationAlgorithm> {
    let oid = der::take(&mut name, der::OID)?.content;
    Some(match (oid, key) {
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], 65) => &ECDSA_P256_SHA256_ASN1,
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], 65) => &ECDSA_P256_SHA384_ASN1,
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], 97) => &ECDSA_P384_SHA256_ASN1,
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], 97) => &ECDSA_P384_SHA384_ASN1,
        ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], _) => &RSA_PKCS1_2048_8192_SHA256,
        ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], _) => &RSA_PKCS1_2048_8192_SHA384,
        ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], _) => &RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}
