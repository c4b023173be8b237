//! Which error codes a server sends: streams that it resets, and the end of its connection (RFC 9113 §7).
//!
//! In: the frames of one direction. Out: what they end, and with which code. Pure.

use super::frame::{Frame, Words, kind};

/// What is ended, and with which code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A stream.
    Stream(u32),
    /// The connection.
    Connection(u32),
}

/// The frame that comes.
#[derive(Debug, Default)]
pub(super) struct Ending {
    kind: u8,
    words: Words,
}

impl Ending {
    /// A frame has begun.
    pub(super) fn begins(&mut self, frame: Frame) {
        (self.kind, self.words) = (frame.kind, Words::default());
    }
    /// These bytes of its payload came: what it ends, where they hold the last byte of its code.
    pub(super) fn payload(&mut self, bytes: &[u8]) -> Option<Ends> {
        let (code_at, ends): (u32, fn(u32) -> Ends) = match self.kind {
            kind::RST_STREAM => (0, Ends::Stream),
            kind::GOAWAY => (1, Ends::Connection),
            _ => return None,
        };
        bytes.iter().find_map(|byte| {
            let (at, code) = self.words.add(*byte)?;
            (at == code_at).then(|| ends(code))
        })
    }
}

/// Why h2 ends something by itself with this code: a label that never changes. `None`: it is no error, or ours to tell.
pub(super) fn reason(code: u32) -> Option<&'static str> {
    match code {
        0x1 => Some("http2_protocol_error"),
        0x2 => Some("http2_internal_error"),
        0x3 => Some("http2_flow_control_error"),
        0x5 => Some("http2_stream_closed"),
        0x6 => Some("http2_frame_size_error"),
        0x7 => Some(TOO_MANY_STREAMS),
        0x9 => Some("http2_compression_error"),
        // 0, 8 and 0xb: good ends, requests that were cut, and floods, which are told where they are seen.
        _ => None,
    }
}

/// What a limit refuses: `limits.streams`.
pub(super) const TOO_MANY_STREAMS: &str = "too_many_streams";

#[cfg(test)]
mod tests {
    use super::super::tally::Tally;
    use super::super::written::{EH, begun_with, on};
    use super::*;

    fn ended(tally: &mut Tally, bytes: &[u8], pieces: usize) -> Vec<Ends> {
        let mut all = Vec::new();
        for piece in bytes.chunks(pieces) {
            tally.went(piece, |ends| all.push(ends));
        }
        all
    }

    #[test]
    fn codes_are_read_wherever_the_bytes_are_cut() {
        let frames = [
            on(1, kind::HEADERS, EH, &[0x88]),
            on(1, kind::RST_STREAM, 0, &[0, 0, 0, 1]),
            on(0, kind::PING, 0, &[0, 0, 0, 2, 0, 0, 0, 2]),
            on(3, kind::RST_STREAM, 0, &[0, 0, 1, 2]),
            on(0, kind::GOAWAY, 0, &[0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1]),
        ];
        let expected = [Ends::Stream(1), Ends::Stream(0x102), Ends::Connection(9)];
        for pieces in [1, 2, 3, 7, 1000] {
            let seen = ended(&mut begun_with(1024), &frames.concat(), pieces);
            assert_eq!(seen, expected, "{pieces}");
        }
    }
}
