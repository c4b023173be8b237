//! Frames as they are written, and who has read some: for tests.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::frame::{HEAD_BYTES, kind};
use super::tally::Tally;
use config::unit::Rate;
use std::time::Duration;

pub(super) const HUNDRED: Rate = Rate {
    times: 100,
    per: Duration::from_secs(1),
};

/// Large enough that no other test comes near.
pub(super) const HEADER_BYTES: usize = 64 * 1024;

pub(super) fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let bytes = u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = vec![bytes[1], bytes[2], bytes[3], kind, flags, 0, 0, 0, 1];
    frame.resize(HEAD_BYTES + length, 0);
    frame
}

pub(super) fn begun_with(header_bytes: usize) -> Tally {
    let mut tally = Tally::new(HUNDRED, HUNDRED, header_bytes);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    tally.came(preface, || Duration::ZERO).unwrap();
    let settings = frame(kind::SETTINGS, 0, 0);
    tally.came(&settings, || Duration::ZERO).unwrap();
    tally
}

/// A frame on a stream, with this payload.
pub(super) fn on(stream: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

pub(super) const STATUS_200: &[u8] = &[0x88];
pub(super) const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];
pub(super) const FIELD: &[u8] = &[0x00, 1, b'x', 1, b'y'];
pub(super) const EH: u8 = kind::END_HEADERS;
pub(super) const ES: u8 = kind::END_STREAM;
