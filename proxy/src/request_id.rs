//! The id by which apps and their logs tell one request from another: `x-request-id`, given to those that come without one.
//!
//! The first sidecar gives it, so that every sending of a request has the same one. It names a request and vouches for nothing:
//! what came stays, whatever it is. Costs two hashes of sixteen bytes and one small allocation, where none came.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where it stands.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of a head one of ours takes, counted as RFC 9113 §6.5.2 does.
pub(crate) const REQUEST_ID_BYTES: usize = "x-request-id".len() + LENGTH + 32;
const LENGTH: usize = 36;

/// Gives a request an id, if it came without one.
pub(crate) fn identify(headers: &mut HeaderMap) {
    if headers.contains_key(&REQUEST_ID) {
        return;
    }
    let id = Bytes::copy_from_slice(&fresh());
    if let Ok(mut value) = HeaderValue::from_maybe_shared(id) {
        // It differs from request to request: it must not drive others out of HPACK's table.
        value.set_sensitive(true);
        headers.insert(REQUEST_ID.clone(), value);
    }
}

/// A UUID (RFC 9562 §5.4). Of a counter under a keyed hash, whose key is the process's own: it tells nobody how many requests lie
/// between two.
fn fresh() -> [u8; LENGTH] {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let halves = [KEY.hash_one((count, 0u64)), KEY.hash_one((count, 1u64))];
    let random = u128::from(halves[0]) << 64 | u128::from(halves[1]);
    // Version 4, and the variant of the RFC.
    let id = random & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut left = 128;
    std::array::from_fn(|place| {
        if matches!(place, 8 | 13 | 18 | 23) {
            return b'-';
        }
        left -= 4;
        HEX[(id >> left) as usize & 15]
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_id_is_a_uuid_and_none_comes_twice() {
        let ids: HashSet<[u8; LENGTH]> = (0..100_000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 100_000);
        for id in ids.iter().take(100) {
            let text = std::str::from_utf8(id).unwrap();
            let parts: Vec<_> = text.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{text}");
            assert_eq!(&text[14..15], "4", "{text}");
            assert!("89ab".contains(&text[19..20]), "{text}");
        }
    }

    #[test]
    fn what_came_stays_and_what_is_given_has_its_size() {
        let mut headers = HeaderMap::new();
        identify(&mut headers);
        let given = headers[&REQUEST_ID].clone();
        assert_eq!(given.len(), LENGTH);
        identify(&mut headers);
        assert_eq!(
            headers.get_all(&REQUEST_ID).iter().collect::<Vec<_>>(),
            [&given]
        );
        headers.insert(REQUEST_ID.clone(), HeaderValue::from_static(""));
        identify(&mut headers);
        assert_eq!(headers[&REQUEST_ID], "");
    }
}
