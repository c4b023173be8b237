//! Our roots as other implementations read them: a SPIFFE bundle.
//!
//! In: a bundle and its sequence. Out: the JSON text of a JWKS (RFC 7517) with SPIFFE's two fields. Signed by nobody: whoever
//! takes it must have it from somewhere that he trusts. Our own sidecars read statements instead.
//!
//! Per root: `use` x509-svid and `x5c` with the root alone (SPIFFE X509-SVID §6.1), and the public key (RFC 7518 §6), which
//! readers of JWKS expect although SPIFFE reads only `x5c`.

use crate::der;
use crate::key::{KeyType, PublicKey};
use crate::signer::{AuthorityCertificate, SignerUnfit};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use identity::Bundle;
use serde_json::{Value, json};

/// How often others should look for a newer one, in seconds.
pub const REFRESH_HINT_S: u64 = 300;

/// The document.
pub fn spiffe_bundle(bundle: &Bundle, sequence: u64) -> Result<String, SignerUnfit> {
    let keys = bundle
        .roots()
        .iter()
        .map(|der| {
            let root = AuthorityCertificate::read(der.clone())?;
            let mut key = public_key(root.key()).ok_or(SignerUnfit::Unreadable)?;
            key["use"] = json!("x509-svid");
            key["x5c"] = json!([BASE64.encode(der)]);
            Ok(key)
        })
        .collect::<Result<Vec<Value>, _>>()?;
    let document = json!({
        "keys": keys,
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": REFRESH_HINT_S,
    });
    Ok(format!("{document:#}\n"))
}

/// `None` cannot happen: a [`PublicKey`] is in its one canonical encoding.
fn public_key(key: &PublicKey) -> Option<Value> {
    let mut parts = der::only(key.spki(), der::SEQUENCE)?.content;
    let _algorithm = der::take(&mut parts, der::SEQUENCE)?;
    let (_unused_bits, key_bits) = der::only(parts, der::BIT_STRING)?.content.split_first()?;
    let curve = match key.key_type() {
        KeyType::P256 => "P-256",
        KeyType::P384 => "P-384",
        KeyType::Rsa { .. } => return rsa(key_bits),
    };
    let (_uncompressed, point) = key_bits.split_first()?;
    let (x, y) = point.split_at(point.len() / 2);
    let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
    Some(json!({"kty": "EC", "crv": curve, "x": x, "y": y}))
}

fn rsa(key: &[u8]) -> Option<Value> {
    let mut parts = der::only(key, der::SEQUENCE)?.content;
    let modulus = der::take(&mut parts, der::INTEGER)?.content;
    let exponent = der::only(parts, der::INTEGER)?.content;
    // Without the octet that only says that the number is positive (RFC 7518 §2).
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let [n, e] = [modulus, exponent].map(|number| BASE64URL_NOPAD.encode(number));
    Some(json!({"kty": "RSA", "n": n, "e": e}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::authority::{Algorithm, Authority};
    use config::TrustDomain;
    use std::time::SystemTime;

    #[test]
    fn every_root_is_there_with_its_certificate_and_its_key() {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let made = |algorithm| Authority::create(&domain, algorithm, SystemTime::now()).unwrap();
        let roots: Vec<_> = [Algorithm::P256, Algorithm::P384]
            .into_iter()
            .map(|algorithm| made(algorithm).bundle().roots()[0].clone())
            .collect();
        let bundle = Bundle::from_roots(domain, roots.clone()).unwrap();

        let document: Value =
            serde_json::from_str(&spiffe_bundle(&bundle, 1_790_000_000).unwrap()).unwrap();

        assert_eq!(document["spiffe_sequence"], 1_790_000_000_u64);
        assert_eq!(document["spiffe_refresh_hint"], 300);
        let keys = document["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        for ((key, root), (curve, octets)) in
            keys.iter().zip(&roots).zip([("P-256", 32), ("P-384", 48)])
        {
            let x5c = key["x5c"].as_array().unwrap();
            let der = BASE64.decode(x5c[0].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!((x5c.len(), der.as_slice()), (1, root.as_ref()));
            assert_eq!(
                (&key["use"], &key["crv"]),
                (&json!("x509-svid"), &json!(curve))
            );
            let point: Vec<u8> = ["x", "y"]
                .iter()
                .flat_map(|name| {
                    let number = key[name].as_str().unwrap().as_bytes();
                    let number = BASE64URL_NOPAD.decode(number).unwrap();
                    assert_eq!(number.len(), octets);
                    number
                })
                .collect();
            let read = AuthorityCertificate::read(root.clone()).unwrap();
            assert!(read.key().spki().ends_with(&point), "{curve}");
        }
    }
}
