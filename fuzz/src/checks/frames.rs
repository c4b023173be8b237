//! Frames of HTTP/2, as they are counted.

use super::bytes::{Rest, cut};
use crate::answers::{Answers, Wrong};
use crate::blocks::{Blocks, TooLarge};
use crate::tally::Tally;
use config::unit::Rate;
use std::time::Duration;

/// Both sides of a connection are judged alike however their bytes arrive; and of a server, as a model does.
pub fn check(data: &[u8]) {
    let mut rest = Rest(data);
    let header_bytes = 1024 * usize::from(rest.octet().unwrap_or(0));
    let rate = Rate {
        times: u32::from(rest.octet().unwrap_or(0)),
        per: Duration::from_secs(1),
    };
    let seed = rest.octet().unwrap_or(0);
    answers(rest.0, header_bytes, seed);

    let new = || Tally::new(rate, rate, header_bytes);
    let (mut whole, mut parts) = (new(), new());
    let mut now = Duration::ZERO;
    while let Some(from) = rest.octet() {
        let Some(bytes) = rest.piece() else { break };
        // The first bytes of a client are its preface.
        if from & 1 == 0 {
            let (mut ended, mut other) = (Vec::new(), Vec::new());
            whole.went(bytes, |ends| ended.push(ends));
            cut(bytes, seed).for_each(|piece| parts.went(piece, |ends| other.push(ends)));
            assert_eq!(ended, other, "cut otherwise");
        } else {
            now += Duration::from_millis(u64::from(from));
            let judged = whole.came(bytes, || now);
            let other = cut(bytes, seed).try_for_each(|piece| parts.came(piece, || now));
            assert_eq!(judged, other, "cut otherwise");
            if judged.is_err() {
                return;
            }
        }
        assert_eq!(whole.in_head(), parts.in_head());
        assert_eq!(whole.last(), parts.last());
        assert_eq!(whole.server_is_between(), parts.server_is_between());
    }
}

fn answers(bytes: &[u8], header_bytes: usize, seed: u8) {
    let (mut whole, mut parts) = (Answers::new(header_bytes), Answers::new(header_bytes));
    let mut came = bytes.to_vec();
    let judged = whole.came(&mut came);
    let mut otherwise = Vec::new();
    let other = cut(bytes, seed).try_for_each(|piece| {
        let mut piece = piece.to_vec();
        let judged = parts.came(&mut piece);
        otherwise.extend(piece);
        judged
    });
    assert_eq!(judged, other, "cut otherwise");
    let too_large = model(bytes, Blocks::encoded_max(header_bytes));
    match judged {
        Ok(()) => assert_eq!(too_large, Ok(())),
        Err(Wrong::TooLarge) => assert_eq!(too_large, Err(TooLarge)),
        Err(Wrong::Trailers | Wrong::TakenBack) => {}
    }
    if judged.is_ok() {
        assert_eq!(came, otherwise, "cut otherwise");
    }
    if judged.is_ok() {
        let first = bytes.split_at_checked(9);
        let settled = first.is_some_and(|(head, payload)| payload.len() >= length(head));
        assert_eq!(whole.has_settled(), settled);
        assert_eq!(parts.has_settled(), settled);
    }
}

fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

/// Whether a head (HEADERS, then CONTINUATIONs) has more bytes than may be.
fn model(mut bytes: &[u8], max: usize) -> Result<(), TooLarge> {
    let mut block = 0;
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        match head[3] {
            1 => block = length(head),
            9 => block += length(head),
            _ => {}
        }
        if block > max {
            return Err(TooLarge);
        }
        bytes = &rest[length(head).min(rest.len())..];
    }
    Ok(())
}
