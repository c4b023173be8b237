//! `Host` and `:authority`.

use crate::authority::Authority;
use http::HeaderValue;

/// An authority that is read says the host and the port that the `http` crate finds in the same bytes.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let Ok(read) = Authority::read(&value) else {
        return;
    };
    let lower = data.to_ascii_lowercase();
    assert_eq!(read.text().as_bytes(), lower);
    let other: http::uri::Authority = match data.try_into() {
        Ok(other) => other,
        Err(why) => panic!("{} is read, and to others is: {why}", data.escape_ascii()),
    };
    let host = other.host().to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    assert_eq!(read.host(), host.strip_suffix('.').unwrap_or(host));
    assert!(!read.host().is_empty());
    assert_eq!(read.port(), other.port_u16(), "{}", data.escape_ascii());
    let again = Authority::read(read.text());
    assert_eq!(again.as_ref(), Ok(&read), "what was read is read otherwise");
}
