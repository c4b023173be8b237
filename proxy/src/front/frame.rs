//! Where the frames of one direction of an HTTP/2 connection begin, and what their heads say (RFC 9113 §4.1).
//!
//! In: bytes as they come. Out: the head of each frame, and which of the bytes are its payload. Pure.

/// A frame's kind and flags (RFC 9113 §6).
pub(super) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Of its payload, in bytes.
    pub(super) length: u32,
    /// See [`kind`].
    pub(super) kind: u8,
    /// See [`kind`].
    pub(super) flags: u8,
    /// Without the bit that is reserved.
    pub(super) stream: u32,
}

impl Frame {
    /// Whether it has this flag.
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
    /// Whether it carries a head or data.
    pub(super) fn works(self) -> bool {
        self.kind == kind::HEADERS || self.kind == kind::DATA && self.length > 0
    }
}

/// The numbers of four bytes of which a payload is made, as far as that is so.
#[derive(Debug, Default)]
pub(super) struct Words {
    value: u32,
    bytes: u32,
}

impl Words {
    /// One more byte; which number it ends, from 0, and that number, where it ends one.
    pub(super) fn add(&mut self, byte: u8) -> Option<(u32, u32)> {
        let number = self.bytes / 4;
        self.value = self.value << 8 | u32::from(byte);
        self.bytes = self.bytes.saturating_add(1);
        let ends = self.bytes.is_multiple_of(4);
        ends.then_some((number, self.value))
    }
}

/// How long the head of a frame is.
pub(super) const HEAD_BYTES: usize = 9;
/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE_BYTES: u32 = 24;

/// Finds the frames in one direction's bytes.
#[derive(Debug)]
pub(super) struct Cutter {
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Of the payload, or of the preface.
    left: u32,
}

impl Cutter {
    /// Of what a client sends.
    pub(super) fn of_client() -> Self {
        Self {
            left: PREFACE_BYTES,
            ..Self::of_server()
        }
    }
    /// Of what a server sends.
    pub(super) fn of_server() -> Self {
        Self {
            head: [0; HEAD_BYTES],
            have: 0,
            left: 0,
        }
    }
    /// Whether a frame could begin here.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
    /// Whether a part of the head of a frame came.
    pub(super) fn is_in_head(&self) -> bool {
        self.have > 0
    }
    /// How many of these bytes are the payload of the frame whose head came last.
    pub(super) fn payload(&self, bytes: &[u8]) -> usize {
        bytes.len().min(self.left as usize)
    }
    /// Whether all of that payload came.
    pub(super) fn is_whole(&self) -> bool {
        self.left == 0
    }
    /// The next frame whose head ends in these bytes, and what follows that head.
    pub(super) fn next<'b>(&mut self, mut bytes: &'b [u8]) -> (Option<Frame>, &'b [u8]) {
        let skipped = bytes.len().min(self.left as usize);
        // At most as many as are left, which fit.
        self.left -= u32::try_from(skipped).unwrap_or(self.left);
        bytes = &bytes[skipped..];
        let taken = bytes.len().min(HEAD_BYTES - self.have);
        self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        bytes = &bytes[taken..];
        if self.have < HEAD_BYTES {
            return (None, bytes);
        }
        self.have = 0;
        let [a, b, c, kind, flags, s1, s2, s3, s4] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]);
        let frame = Frame {
            length: self.left,
            kind,
            flags,
            stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]),
        };
        (Some(frame), bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::written::frame;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_found_wherever_the_bytes_are_cut(
            frames in proptest::collection::vec((any::<u8>(), any::<u8>(), 0usize..300), 0..20),
            sizes in proptest::collection::vec(1usize..64, 1..50),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
            let (mut cutter, mut found, mut rest) = (Cutter::of_server(), Vec::new(), &bytes[..]);
            for size in sizes.iter().cycle() {
                let (part, after) = rest.split_at((*size).min(rest.len()));
                let mut part = part;
                while let (Some(frame), left) = cutter.next(part) {
                    found.push((frame.kind, frame.flags, frame.length as usize));
                    part = left;
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert!(cutter.is_between());
        }
    }
}
