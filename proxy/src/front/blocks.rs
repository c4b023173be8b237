//! How large a head, or trailers, may be as HTTP/2 writes them, whoever sends them.

use super::frame::{Frame, kind};

/// How large a field block is, that is a head or trailers as HPACK writes them, over all of its frames.
///
/// h2 shows trailers that are larger than it was told to accept as if their last fields had not been sent. What is larger than
/// `limits.header` is refused by ourselves, and so h2 is told to accept more ([`Blocks::listed_max`]), and nobody may send so
/// much ([`Blocks::encoded_max`]) that what h2 leaves over could look small enough. It could only if one field were larger than
/// what h2 accepts but for `limits.header`. A field comes from a table, whose entries have at most 4096 bytes, or as a literal,
/// which Huffman's code makes shorter by three eighths at most (RFC 7541 appendix B: no code is shorter than five bits). So a
/// field has at most 32 + 4096 + 8/5 of the block's bytes, and 8/5 of 4 and 1 are less than 8.
#[derive(Debug)]
pub(crate) struct Blocks {
    bytes: usize,
    max: usize,
}

/// A block has more bytes than are looked at: its connection must end, since what comes later on it cannot be read without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Blocks {
    /// Of a peer whose heads may have so many bytes.
    pub(crate) fn new(header_bytes: usize) -> Self {
        Self {
            bytes: 0,
            max: Self::encoded_max(header_bytes),
        }
    }
    /// So many bytes may a block have before its connection ends, where heads may have `header_bytes`.
    pub(crate) fn encoded_max(header_bytes: usize) -> usize {
        header_bytes.saturating_mul(4).saturating_add(8 * 1024)
    }
    /// So many, counted as RFC 9113 §6.5.2 does, h2 is told to accept. Those beyond `header_bytes` are ours to refuse.
    pub(crate) fn listed_max(header_bytes: usize) -> u32 {
        let listed = header_bytes.saturating_mul(8).saturating_add(32 * 1024);
        u32::try_from(listed).unwrap_or(u32::MAX)
    }
    /// A frame came.
    pub(super) fn came(&mut self, frame: Frame) -> Result<(), TooLarge> {
        match frame.kind {
            kind::HEADERS => self.bytes = frame.length as usize,
            kind::CONTINUATION => self.bytes = self.bytes.saturating_add(frame.length as usize),
            _ => {}
        }
        (self.bytes <= self.max).then_some(()).ok_or(TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::Answers;
    use super::super::flood::Flood;
    use super::super::written::{begun_with, frame};
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_block_is_refused_by_the_bytes_of_all_its_frames_whoever_sends_it() {
        // Of a limit of 1 KiB: 12 KiB.
        let max = Blocks::encoded_max(1024);
        let check = |what: &str, frames: &[(u8, usize)], ok: bool| {
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|(kind, length)| frame(*kind, 0, *length))
                .collect();
            let mut answers = Answers::new(1024);
            assert_eq!(
                answers.came(&mut bytes.clone()).is_ok(),
                ok,
                "{what}, of a server"
            );
            let mut tally = begun_with(1024);
            let expected = if ok { Ok(()) } else { Err(Flood::Head) };
            let judged = tally.came(&bytes, || Duration::ZERO);
            assert_eq!(judged, expected, "{what}, of a client");
        };
        let (head, more, data) = (kind::HEADERS, kind::CONTINUATION, kind::DATA);
        check("as many as may be", &[(head, max)], true);
        check("one more", &[(head, max + 1)], false);
        check("in parts", &[(head, 1), (more, max - 1)], true);
        check(
            "one more in parts",
            &[(head, 1), (more, max), (more, 0)],
            false,
        );
        check("one after the other", &[(head, max), (head, max)], true);
        check(
            "between data",
            &[(head, 1), (data, 2 * max), (head, max)],
            true,
        );
    }

    #[test]
    fn what_h2_leaves_over_of_a_block_is_never_small_enough() {
        for header_bytes in [0, 1, 1024, 64 * 1024, 16 << 20] {
            let block = Blocks::encoded_max(header_bytes) as u64;
            let largest_field = 32 + 4096 + block * 8 / 5;
            let left_over = u64::from(Blocks::listed_max(header_bytes)) - largest_field;
            assert!(left_over > header_bytes as u64 + 1024, "{header_bytes}");
        }
    }
}
