//! What the holder of an ended certificate signs to have it renewed.
//!
//! In: the certificate, the request for the new key, and when the proof is made. Out: the bytes to sign. Pure.
//!
//! 1. The bytes begin with what they are for, so that no signature made for TLS, a certificate or a statement is ever one.
//! 2. Every part stands behind its length: no two triples give the same bytes.
//! 3. The new key is in them: who overhears a proof cannot use it for a key of its own.

/// What the bytes are for. The last byte ends it: no other context of ours begins with all of it.
const CONTEXT: &[u8] = b"countersign.ca.v1 renewal by proof of key\0";

/// How far a proof's time may be from the CA's clock, to either side.
pub const TIME_WINDOW_MS: i64 = 5 * 60 * 1000;

/// The bytes that are signed: the context, the length of the certificate (8 bytes, big-endian), the certificate, the length of
/// the request, the request, the time (8 bytes, big-endian, two's complement).
pub fn message(leaf: &[u8], csr: &[u8], made_at_unix_ms: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CONTEXT.len() + 3 * 8 + leaf.len() + csr.len());
    bytes.extend_from_slice(CONTEXT);
    for part in [leaf, csr] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&made_at_unix_ms.to_be_bytes());
    bytes
}

/// Whether a proof made at this time is taken now.
pub fn is_timely(made_at_unix_ms: i64, now_unix_ms: i64) -> bool {
    made_at_unix_ms.abs_diff(now_unix_ms) <= TIME_WINDOW_MS.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_bytes_are_laid_out_as_documented() {
        let mut expected = b"countersign.ca.v1 renewal by proof of key\0".to_vec();
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, b'l', b'f']);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, b'c']);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 4]);

        assert_eq!(message(b"lf", b"c", 260), expected);
    }

    #[test]
    fn no_two_triples_give_the_same_bytes() {
        let parts: [&[u8]; 5] = [b"", b"a", b"aa", &[0], &[0; 8]];
        let mut seen = BTreeSet::new();
        for leaf in parts {
            for csr in parts {
                for time in [-1, 0, 1, i64::MAX] {
                    assert!(
                        seen.insert(message(leaf, csr, time)),
                        "{leaf:?} {csr:?} {time}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_proof_is_taken_five_minutes_to_either_side() {
        let now = 1_790_000_000_000;
        for (made_at, timely) in [
            (now, true),
            (now - 300_000, true),
            (now + 300_000, true),
            (now - 300_001, false),
            (now + 300_001, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(is_timely(made_at, now), timely, "{made_at}");
        }
    }
}
