//! PEM (RFC 7468), written.

/// One PEM section.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for triple in line.chunks(3) {
            let byte = |at: usize| u32::from(triple.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let six = (bits >> (18 - 6 * at)) & 0x3f;
                text.push(if at > triple.len() {
                    '='
                } else {
                    char::from(ALPHABET[six as usize])
                });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
