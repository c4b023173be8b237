//! DER becomes PEM (RFC 7468 §3): lines of 64 characters.
//!
//! In: a label and DER. Out: text that is wiped on drop, since it may be a key. Reading PEM is left to `rustls-pki-types`.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const LINE_BYTES: usize = 48;

/// The PEM text of one object.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    // Room for all of it at once: a buffer that grows leaves copies of the key behind.
    let room = der.len().div_ceil(3) * 4 + der.len() / LINE_BYTES + 2 * label.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(LINE_BYTES) {
        line.chunks(3).for_each(|three| base64(three, &mut text));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The PEM text of certificates, in their order.
pub(crate) fn certificates<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> String {
    ders.into_iter()
        .map(|der| encode("CERTIFICATE", der).to_string())
        .collect()
}

fn base64(three: &[u8], text: &mut String) {
    let at = |n: usize| three.get(n).map_or(0, |byte| u32::from(*byte));
    let bits = at(0) << 16 | at(1) << 8 | at(2);
    for n in 0..4 {
        let sextet = (bits >> (18 - 6 * n)) & 0x3f;
        text.push(if n > three.len() {
            '='
        } else {
            char::from(ALPHABET[sextet as usize])
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

    #[test]
    fn every_length_reads_back_without_growing_the_buffer() {
        for length in 0..200u8 {
            let der: Vec<u8> = (0..length).collect();
            let text = encode("PRIVATE KEY", &der);
            let room = text.capacity();
            assert!(
                text.len() <= room && room < text.len() + 64,
                "{length}: {} of {room}",
                text.len()
            );
            let read = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap();
            assert_eq!(read.secret_pkcs8_der(), der);
        }
    }
}
