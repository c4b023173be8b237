//! What an HTTP/2 server answers, looked at before h2 makes something else of it.
//!
//! In: the bytes that it sends. Out: the same but for one, or what is [`Wrong`]. Pure. Frame heads are read, of field blocks
//! whether they hold pseudo-header fields, and of what ends a stream or a connection its first four bytes.

use super::blocks::{Blocks, TooLarge};
use super::fields::{Block, Fields, PSEUDO_IN_TRAILERS};
use super::frame::{Cutter, Frame, kind};

/// Why a connection ends of whose answers h2 would make others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// See [`TooLarge`].
    TooLarge,
    /// Pseudo-header fields in trailers (RFC 9113 §8.1), which h2 drops.
    Trailers,
    /// The server says that it did not look at a stream which it is answering (RFC 9113 §6.8): h2 would call that a good end.
    TakenBack,
}

impl Wrong {
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "upstream_head_too_large",
            Self::Trailers => PSEUDO_IN_TRAILERS,
            Self::TakenBack => "answer_taken_back",
        }
    }
}

/// What one connection's server answers: looked at for the size of its blocks, for what h2 does not show of them, for the
/// settings that it begins with, and for answers that break off.
///
/// Bytes pass unchanged but for one: hyper takes a stream that is reset with NO_ERROR for one that ended well, also in the
/// middle of an answer (RFC 9113 §8.1 means those that are whole). There the code becomes CANCEL.
#[derive(Debug)]
pub(crate) struct Answers {
    server: Cutter,
    blocks: Blocks,
    fields: Fields,
    /// Streams whose answers have begun and not ended.
    open: Vec<u32>,
    /// The frame whose payload comes, and what is read of that.
    now: Option<Frame>,
    first: First,
    has_begun: bool,
    has_settled: bool,
}

/// The first four bytes of a payload.
#[derive(Debug, Default)]
struct First {
    value: u32,
    have: u8,
}

/// So many answers are watched at once, far more than streams are open: those of streams that we reset ourselves stay.
const OPEN_MAX: usize = 4096;

impl Answers {
    /// Nothing yet, of a server whose heads may have so many bytes.
    pub(crate) fn new(header_bytes: usize) -> Self {
        Self {
            server: Cutter::of_server(),
            blocks: Blocks::new(header_bytes),
            fields: Fields::new(),
            open: Vec::new(),
            now: None,
            first: First::default(),
            has_begun: false,
            has_settled: false,
        }
    }
    /// The server sent these bytes.
    pub(crate) fn came(&mut self, mut bytes: &mut [u8]) -> Result<(), Wrong> {
        let mut judged = Ok(());
        loop {
            let (payload, _) = bytes.split_at_mut(self.server.payload(bytes));
            judged = judged.and(self.payload(payload));
            let (frame, rest) = self.server.next(bytes);
            let at = bytes.len() - rest.len();
            let Some(frame) = frame else { break };
            bytes = &mut bytes[at..];
            // Where a second frame begins the first has ended.
            self.has_settled |= self.has_begun;
            self.has_begun = true;
            judged = judged.and(self.blocks.came(frame).map_err(|TooLarge| Wrong::TooLarge));
            self.begins(frame);
        }
        self.has_settled |= self.has_begun && self.server.is_whole();
        judged
    }
    /// Whether its first frame, which says its settings (RFC 9113 §3.4), came whole.
    pub(crate) fn has_settled(&self) -> bool {
        self.has_settled
    }
    fn begins(&mut self, frame: Frame) {
        self.fields.begins(frame);
        self.first = First::default();
        self.now = Some(frame);
        if frame.kind == kind::DATA && frame.has(kind::END_STREAM) {
            self.ended(frame.stream);
        }
    }
    fn payload(&mut self, bytes: &mut [u8]) -> Result<(), Wrong> {
        if let Some(block) = self.fields.payload(bytes) {
            return self.block(block);
        }
        let Some(frame) = self.now else {
            return Ok(());
        };
        if !matches!(frame.kind, kind::RST_STREAM | kind::GOAWAY) {
            return Ok(());
        }
        for byte in bytes {
            let Some(value) = self.first.add(*byte) else {
                continue;
            };
            match frame.kind {
                kind::RST_STREAM => {
                    if self.ended(frame.stream) && value == NO_ERROR {
                        // The last of four bytes that are nought.
                        *byte = CANCEL;
                    }
                }
                _ => {
                    let last = value & 0x7fff_ffff;
                    if self.open.iter().any(|stream| *stream > last) {
                        return Err(Wrong::TakenBack);
                    }
                }
            }
        }
        Ok(())
    }
    fn block(&mut self, block: Block) -> Result<(), Wrong> {
        let is_open = self.open.contains(&block.stream);
        if is_open && block.has_pseudo {
            return Err(Wrong::Trailers);
        }
        if block.ends_stream {
            self.ended(block.stream);
        } else if !is_open && block.is_final {
            if self.open.len() >= OPEN_MAX {
                self.open.swap_remove(0);
            }
            self.open.push(block.stream);
        }
        Ok(())
    }
    /// An answer has ended; whether it had begun.
    fn ended(&mut self, stream: u32) -> bool {
        let place = self.open.iter().position(|open| *open == stream);
        place.map(|place| self.open.swap_remove(place)).is_some()
    }
}

impl First {
    /// One more byte; the four of them, when it is the last.
    fn add(&mut self, byte: u8) -> Option<u32> {
        self.have = self.have.saturating_add(1);
        match self.have {
            ..=3 => {
                self.value = self.value << 8 | u32::from(byte);
                None
            }
            4 => Some(self.value << 8 | u32::from(byte)),
            _ => None,
        }
    }
}

/// RFC 9113 §7.
const NO_ERROR: u32 = 0;
/// It has one byte that is not nought.
const CANCEL: u8 = 8;

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
