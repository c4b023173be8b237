//! What an HTTP/2 server answers, looked at before h2 makes something else of it.
//!
//! In: the bytes of both directions. Out: what the server sends, the same but for two, or what is [`Wrong`]. Pure. Frame heads are
//! read, of field blocks whether they hold pseudo-header fields, and of what ends a stream or a connection its first four bytes.

use super::blocks::{Blocks, TooLarge};
use super::fields::{Block, Fields, PSEUDO_IN_TRAILERS};
use super::frame::{Cutter, Frame, HEAD_BYTES, Words, kind};

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
/// Bytes pass unchanged but for two. hyper takes a stream that is reset with NO_ERROR for one that ended well, also in the
/// middle of an answer (RFC 9113 §8.1 means those that are whole): there the code becomes CANCEL. And a request that waits for
/// its stream because there are as many as may be is dropped with any GOAWAY, while h2 goes on to send its head. A notice that
/// none will be taken some time (§6.8), which names a last stream above all that there are, can be kept from h2: then it becomes
/// a frame that means nothing, and requests under way are as good as before.
#[derive(Debug)]
pub(crate) struct Answers {
    server: Cutter,
    client: Cutter,
    /// The highest stream that the client has opened.
    opened: u32,
    /// Whether notices are kept from h2, and whether this frame is.
    keeps_notices: bool,
    is_kept: bool,
    notice: Notice,
    blocks: Blocks,
    fields: Fields,
    /// Streams whose answers have begun and not ended.
    open: Vec<u32>,
    /// The frame whose payload comes, and what is read of that.
    now: Option<Frame>,
    words: Words,
    has_begun: bool,
    has_settled: bool,
}

/// Whether a server has said that it will end its connection, of no stream in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It has not.
    #[default]
    None,
    /// h2 has not seen it.
    Kept,
    /// h2 has seen it.
    Passed,
}

/// So many answers are watched at once, far more than streams are open: those of streams that we reset ourselves stay.
const OPEN_MAX: usize = 4096;

impl Answers {
    /// Nothing yet, of a server whose heads may have so many bytes.
    pub(crate) fn new(header_bytes: usize) -> Self {
        Self {
            server: Cutter::of_server(),
            client: Cutter::of_client(),
            opened: 0,
            keeps_notices: false,
            is_kept: false,
            notice: Notice::None,
            blocks: Blocks::new(header_bytes),
            fields: Fields::new(),
            open: Vec::new(),
            now: None,
            words: Words::default(),
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
            self.is_kept = self.keeps_notices && self.keeps(frame, bytes, at);
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
    /// The client sent these bytes.
    pub(crate) fn went(&mut self, mut bytes: &[u8]) {
        while let (Some(frame), rest) = self.client.next(bytes) {
            bytes = rest;
            if frame.kind == kind::HEADERS {
                self.opened = self.opened.max(frame.stream);
            }
        }
    }
    /// Whether notices that come are kept from h2.
    pub(crate) fn keeps_notices(&mut self, keeps: bool) {
        self.keeps_notices = keeps;
    }
    /// Whether one came.
    pub(crate) fn notice(&self) -> Notice {
        self.notice
    }
    /// Whether its first frame, which says its settings (RFC 9113 §3.4), came whole.
    pub(crate) fn has_settled(&self) -> bool {
        self.has_settled
    }
    /// Makes a notice, whose head ends `at` these bytes, one that means nothing. One that comes in pieces passes.
    fn keeps(&self, frame: Frame, bytes: &mut [u8], at: usize) -> bool {
        let is_right = frame.kind == kind::GOAWAY && frame.stream == 0 && frame.length >= 8;
        let last = bytes.get(at..).and_then(<[u8]>::first_chunk);
        let last = last.map(|last| u32::from_be_bytes(*last) & LAST);
        let kind = (at + KIND_AT).checked_sub(HEAD_BYTES);
        let kind = kind.and_then(|kind| bytes.get_mut(kind));
        match (last, kind) {
            (Some(last), Some(kind)) if is_right && last > self.opened => {
                *kind = MEANS_NOTHING;
                true
            }
            _ => false,
        }
    }
    fn begins(&mut self, frame: Frame) {
        self.fields.begins(frame);
        self.words = Words::default();
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
            let Some((0, value)) = self.words.add(*byte) else {
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
                    let last = value & LAST;
                    if last > self.opened && self.notice != Notice::Passed {
                        self.notice = match self.is_kept {
                            true => Notice::Kept,
                            false => Notice::Passed,
                        };
                    }
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

/// Without the bit that is reserved.
const LAST: u32 = 0x7fff_ffff;
/// Where in the head of a frame its kind is (RFC 9113 §4.1).
const KIND_AT: usize = 3;
/// A kind of no frame, which whoever does not know it ignores (RFC 9113 §5.5).
const MEANS_NOTHING: u8 = 0xff;
/// RFC 9113 §7.
const NO_ERROR: u32 = 0;
/// It has one byte that is not nought.
const CANCEL: u8 = 8;

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
