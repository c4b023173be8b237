//! Field blocks of HTTP/2, walked for their pseudo-header fields.

use super::bytes::{Rest, cut};
use super::hpack::{Decoder, Field};
use crate::fields::{Block, Fields};
use crate::frame::{Cutter, kind};

/// Of as many blocks as HPACK can read, the walk sees what a decoder sees, however they are cut into frames, padded, and into
/// bytes. Each block: an octet of flags, its length, its bytes.
pub fn check(data: &[u8]) {
    let mut rest = Rest(data);
    let mut decoder = Decoder::new();
    let (mut frames, mut decoded) = (Vec::new(), Vec::new());
    let seed = rest.octet().unwrap_or(0);
    let mut stream = 1;
    while let Some(flags) = rest.octet() {
        let block = rest.piece().unwrap_or_default();
        let Some(fields) = decoder.decode(block) else {
            break; // As it ends the connection.
        };
        let pseudo = |(name, _): &&Field| name.starts_with(b":");
        let mut pseudo = fields.iter().filter(pseudo);
        decoded.push(Block {
            stream,
            ends_stream: flags & 1 != 0,
            has_pseudo: pseudo.clone().next().is_some(),
            is_final: pseudo.any(|(_, value)| !value.starts_with(b"1")),
        });
        frames.extend(framed(block, stream, flags));
        stream += u32::from(flags & 2);
    }
    assert_eq!(walked(std::iter::once(&frames[..])), decoded);
    assert_eq!(walked(cut(&frames, seed)), decoded, "cut otherwise");
}

/// HEADERS, padded or with a priority or not, maybe CONTINUATION, and something between blocks.
fn framed(block: &[u8], stream: u32, flags: u8) -> Vec<u8> {
    let (padded, priority) = (flags & 4 != 0, flags & 8 != 0);
    let first = if flags & 16 == 0 {
        block.len()
    } else {
        block.len() / 2
    };
    let (first, second) = block.split_at(first);
    let mut payload = Vec::new();
    let mut said = flags & kind::END_STREAM;
    if padded {
        said |= 0x8;
        payload.push(3);
    }
    if priority {
        said |= 0x20;
        payload.extend([0, 0, 0, 0, 16]);
    }
    payload.extend_from_slice(first);
    if padded {
        payload.extend([b':'; 3]);
    }
    let continued = flags & 16 != 0;
    said |= if continued { 0 } else { kind::END_HEADERS };
    let mut frames = frame(kind::HEADERS, said, stream, &payload);
    if continued {
        frames.extend(frame(kind::CONTINUATION, kind::END_HEADERS, stream, second));
    }
    frames.extend(frame(kind::DATA, 0, stream, b"\x82:status"));
    frames
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("two octets said it")
        .to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn walked<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Block> {
    let (mut cutter, mut fields, mut found) = (Cutter::of_server(), Fields::new(), Vec::new());
    for mut bytes in pieces {
        loop {
            let payload = cutter.payload(bytes);
            found.extend(fields.payload(&bytes[..payload]));
            let (Some(frame), rest) = cutter.next(bytes) else {
                break;
            };
            bytes = rest;
            fields.begins(frame);
        }
    }
    // Blocks without a byte end when their frame does, of which nothing more comes.
    found.extend(fields.payload(&[]));
    found
}
