//! Whether trailers hold pseudo-header fields, which h2 drops, so that nobody above it could refuse them (RFC 9113 §8.1).
//!
//! In: the frames of one direction. Out: of every field block, whose it is and whether it holds such a field. Pure. Blocks are
//! walked as HPACK (RFC 7541) writes them: of a text no more than its first byte is looked at, nothing is kept but two bits for
//! each entry of the dynamic table. What is no HPACK at all is h2's to refuse.
//!
//! 1. An index counts back from the newest entry, whatever was evicted: the table needs no sizes. It has at most 128 entries, as
//!    each counts 32 bytes and more (§4.1) of the 4096 that a peer may use, which nobody here raises.

use super::frame::{Frame, kind};

/// Why a connection ends whose trailers hold pseudo-header fields.
pub(super) const PSEUDO_IN_TRAILERS: &str = "pseudo_headers_in_trailers";

/// A field block that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Of this stream.
    pub(super) stream: u32,
    /// It ends its stream.
    pub(super) ends_stream: bool,
    /// It holds a pseudo-header field.
    pub(super) has_pseudo: bool,
    /// It holds one that does not begin with `1`, as the status of an interim answer does.
    pub(super) is_final: bool,
}

/// The field blocks of one direction.
#[derive(Debug)]
pub(super) struct Fields {
    table: Table,
    step: Step,
    block: Block,
    /// What of the frame's payload is a part of the block.
    part: Part,
    /// The frame's is the last part.
    ends_block: bool,
}

/// What is known of the entries of the dynamic table: a bit for each, the newest lowest.
#[derive(Debug, Default)]
struct Table {
    pseudo: u128,
    is_final: u128,
}

/// What a payload goes on with.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Nothing of a block.
    Other,
    /// The length of the padding, then so many bytes of a priority; then the rest of so many.
    PadLength { priority: usize, rest: usize },
    /// So many bytes to be passed over, before so many of the block.
    Priority { left: usize, block: usize },
    /// So many bytes of the block; then padding.
    Block(usize),
}

/// How far the walk is within a field.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Before one.
    Begin,
    /// In a number (§5.1).
    Number {
        goal: Goal,
        value: usize,
        shift: u32,
    },
    /// Before a text (§5.2).
    Length(Text),
    /// At its first byte.
    First {
        text: Text,
        left: usize,
        coded: bool,
    },
    /// After that.
    Within { text: Text, left: usize },
}

/// What a number says.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Which entry the field is.
    Entry,
    /// Which entry has its name.
    Name { keep: bool },
    /// How large the table may be.
    Size,
    /// How long a text is.
    Length { text: Text, coded: bool },
}

/// A text of a literal field.
#[derive(Clone, Copy, Debug)]
struct Text {
    /// The name; else the value.
    is_name: bool,
    /// The field goes into the table.
    keep: bool,
    /// Its name is that of a pseudo-header field.
    pseudo: bool,
    /// As in [`Block`].
    is_final: bool,
}

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Entries of the static table (appendix A), of which the first fourteen are pseudo-header fields.
const STATIC: usize = 61;
const STATIC_PSEUDO: usize = 14;

impl Fields {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            table: Table::default(),
            step: Step::Begin,
            block: Block {
                stream: 0,
                ends_stream: false,
                has_pseudo: false,
                is_final: false,
            },
            part: Part::Other,
            ends_block: false,
        }
    }
    /// A frame begins.
    pub(super) fn begins(&mut self, frame: Frame) {
        let length = frame.length as usize;
        let padded = frame.has(PADDED);
        let priority = if frame.has(PRIORITY) { 5 } else { 0 };
        self.part = match frame.kind {
            kind::HEADERS => {
                self.step = Step::Begin;
                self.block = Block {
                    stream: frame.stream,
                    ends_stream: frame.has(kind::END_STREAM),
                    has_pseudo: false,
                    is_final: false,
                };
                match padded {
                    true => Part::PadLength {
                        priority,
                        rest: length.saturating_sub(1),
                    },
                    false => Part::before(priority, length),
                }
            }
            kind::CONTINUATION => Part::Block(length),
            _ => Part::Other,
        };
        self.ends_block = frame.has(kind::END_HEADERS);
    }
    /// More of its payload, which may be none; a block, when that ends it.
    pub(super) fn payload(&mut self, mut bytes: &[u8]) -> Option<Block> {
        loop {
            match self.part {
                Part::Other => return None,
                Part::PadLength { priority, rest } => {
                    let (length, after) = bytes.split_first()?;
                    bytes = after;
                    self.part = Part::before(priority, rest.saturating_sub(usize::from(*length)));
                }
                Part::Priority { left: 0, block } => self.part = Part::Block(block),
                Part::Priority { left, block } => {
                    let taken = bytes.len().min(left);
                    bytes = bytes.get(taken..).filter(|_| taken > 0)?;
                    let left = left - taken;
                    self.part = Part::Priority { left, block };
                }
                Part::Block(left) => {
                    let taken = bytes.len().min(left);
                    self.walk(&bytes[..taken]);
                    self.part = Part::Block(left - taken);
                    if taken < left {
                        return None;
                    }
                    self.part = Part::Other;
                    return self.ends_block.then_some(self.block);
                }
            }
        }
    }
    fn walk(&mut self, mut bytes: &[u8]) {
        while let Some((first, after)) = bytes.split_first() {
            let next = match self.step {
                Step::Within { text, left } => {
                    let taken = bytes.len().min(left);
                    bytes = &bytes[taken..];
                    match left - taken {
                        0 => self.text_ended(text),
                        left => Step::Within { text, left },
                    }
                }
                step => {
                    bytes = after;
                    self.stepped(step, *first)
                }
            };
            self.step = next;
        }
    }
    /// One byte that is looked at.
    fn stepped(&mut self, step: Step, byte: u8) -> Step {
        match step {
            Step::Begin => match byte {
                0x80.. => self.number(Goal::Entry, byte, 7),
                0x40.. => self.number(Goal::Name { keep: true }, byte, 6),
                0x20.. => self.number(Goal::Size, byte, 5),
                _ => self.number(Goal::Name { keep: false }, byte, 4),
            },
            Step::Length(text) => {
                let coded = byte & 0x80 != 0;
                self.number(Goal::Length { text, coded }, byte, 7)
            }
            Step::Number { goal, value, shift } => {
                let more = usize::from(byte & 0x7f)
                    .checked_shl(shift)
                    .unwrap_or(usize::MAX);
                let value = value.saturating_add(more);
                match byte & 0x80 {
                    0 => self.said(goal, value),
                    _ => Step::Number {
                        goal,
                        value,
                        shift: shift.saturating_add(7),
                    },
                }
            }
            Step::First { text, left, coded } => {
                let text = text.beginning(byte, coded);
                match left - 1 {
                    0 => self.text_ended(text),
                    left => Step::Within { text, left },
                }
            }
            Step::Within { .. } => step,
        }
    }
    fn number(&mut self, goal: Goal, first: u8, bits: u32) -> Step {
        let most = (1 << bits) - 1;
        let value = usize::from(first) & most;
        match value < most {
            true => self.said(goal, value),
            false => Step::Number {
                goal,
                value,
                shift: 0,
            },
        }
    }
    fn said(&mut self, goal: Goal, value: usize) -> Step {
        match goal {
            Goal::Size => Step::Begin,
            Goal::Entry => {
                self.holds(self.table.pseudo(value), self.table.is_final(value));
                Step::Begin
            }
            Goal::Name { keep } => Step::Length(Text {
                is_name: value == 0,
                keep,
                pseudo: self.table.pseudo(value),
                is_final: true,
            }),
            Goal::Length { text, coded } => match value {
                0 => self.text_ended(text),
                left => Step::First { text, left, coded },
            },
        }
    }
    fn text_ended(&mut self, text: Text) -> Step {
        if text.is_name {
            let is_name = false;
            return Step::Length(Text { is_name, ..text });
        }
        let is_final = text.pseudo && text.is_final;
        if text.keep {
            self.table.add(text.pseudo, is_final);
        }
        self.holds(text.pseudo, is_final);
        Step::Begin
    }
    fn holds(&mut self, pseudo: bool, is_final: bool) {
        self.block.has_pseudo |= pseudo;
        self.block.is_final |= is_final;
    }
}

impl Text {
    /// With what its first byte says: in Huffman's code `:` is 1011100, and `1` is 00001 (appendix B).
    fn beginning(self, byte: u8, coded: bool) -> Self {
        match (self.is_name, coded) {
            (true, false) => Self {
                pseudo: byte == b':',
                ..self
            },
            (true, true) => Self {
                pseudo: byte >> 1 == 0b101_1100,
                ..self
            },
            (false, false) => Self {
                is_final: byte != b'1',
                ..self
            },
            (false, true) => Self {
                is_final: byte >> 3 != 1,
                ..self
            },
        }
    }
}

impl Part {
    fn before(priority: usize, length: usize) -> Self {
        let block = length.saturating_sub(priority);
        match priority {
            0 => Self::Block(block),
            left => Self::Priority { left, block },
        }
    }
}

impl Table {
    fn add(&mut self, pseudo: bool, is_final: bool) {
        self.pseudo = self.pseudo << 1 | u128::from(pseudo);
        self.is_final = self.is_final << 1 | u128::from(is_final);
    }
    fn pseudo(&self, index: usize) -> bool {
        match index {
            0..=STATIC => (1..=STATIC_PSEUDO).contains(&index),
            index => bit(self.pseudo, index - STATIC - 1),
        }
    }
    /// No entry of the static table is an interim status.
    fn is_final(&self, index: usize) -> bool {
        match index {
            0..=STATIC => (1..=STATIC_PSEUDO).contains(&index),
            index => bit(self.is_final, index - STATIC - 1),
        }
    }
}

fn bit(bits: u128, at: usize) -> bool {
    at < 128 && bits >> at & 1 == 1
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
