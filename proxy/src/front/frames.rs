//! What a client makes an HTTP/2 server do, counted by its frames: which of them carry nothing, and which take back.
//!
//! In: the bytes of both directions as they come, and the time since the connection began. Out: a [`Flood`] when there are too
//! many of one kind, or a head is too large to be looked at, or the first frame is none with which a connection begins. Pure.
//! It reads frame heads, and of field blocks whether they hold pseudo-header fields; whether frames are right otherwise is hyper's
//! to say.
//!
//! 1. Who does honest work is never counted: a frame with a head or data, either way, pays for several that carry nothing
//!    (windows, pings that measure a bandwidth as gRPC's do), and every whole answer pays for a reset.
//! 2. What is not paid for is bounded a second, and as many may come at once.
//! 3. A head, and trailers, have an end: see [`Blocks`].

use super::fields::{Block, Fields};
use super::frame::{Cutter, Frame, kind};
use config::unit::Rate;
use std::time::Duration;

/// Why a connection ends whose trailers hold pseudo-header fields.
const PSEUDO_IN_TRAILERS: &str = "pseudo_headers_in_trailers";

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Streams begun and reset (CVE-2023-44487).
    Resets,
    /// Pings (CVE-2019-9512).
    Pings,
    /// Settings (CVE-2019-9515).
    Settings,
    /// Data without data (CVE-2019-9518).
    EmptyData,
    /// Windows opened for nothing (CVE-2019-9511).
    Windows,
    /// Priorities (CVE-2019-9513).
    Priorities,
    /// Frames of a kind that nobody knows.
    Unknown,
    /// A head, or trailers, of more bytes than are looked at.
    Head,
    /// No flood: pseudo-header fields in trailers (RFC 9113 §8.1), which h2 drops.
    Trailers,
    /// No flood: something before settings (RFC 9113 §3.4), which h2 lets pass.
    Unsettled,
}

impl Flood {
    /// The error of RFC 9113 §7 that it is: PROTOCOL_ERROR or ENHANCE_YOUR_CALM.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Unsettled | Self::Trailers => 0x1,
            _ => 0xb,
        }
    }
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Resets => "reset_flood",
            Self::Pings => "ping_flood",
            Self::Settings => "settings_flood",
            Self::EmptyData => "empty_data_flood",
            Self::Windows => "window_update_flood",
            Self::Priorities => "priority_flood",
            Self::Unknown => "unknown_frame_flood",
            Self::Head => "head_too_large",
            Self::Trailers => PSEUDO_IN_TRAILERS,
            Self::Unsettled => "no_settings",
        }
    }
}

impl std::fmt::Display for Flood {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = match self {
            Self::Trailers => return f.write_str("pseudo-header fields in trailers"),
            Self::Unsettled => return f.write_str("its first frame is not SETTINGS"),
            Self::Resets => "limits.resets",
            Self::Head => "limits.header",
            _ => "limits.pings",
        };
        write!(f, "{}: more than {limit} allows", self.reason())
    }
}

impl std::error::Error for Flood {}

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
    fn came(&mut self, frame: Frame) -> Result<(), TooLarge> {
        match frame.kind {
            kind::HEADERS => self.bytes = frame.length as usize,
            kind::CONTINUATION => self.bytes = self.bytes.saturating_add(frame.length as usize),
            _ => {}
        }
        (self.bytes <= self.max).then_some(()).ok_or(TooLarge)
    }
}

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

/// What hyper found to be too much, by the kind of frame that came last.
pub(crate) fn too_much_of(last: u8) -> &'static str {
    match last {
        kind::CONTINUATION => "continuation_flood",
        kind::HEADERS => "head_too_large",
        kind::DATA => "small_data_flood",
        kind::RST_STREAM => "reset_flood",
        _ => "http2_flood",
    }
}

/// So many frames that carry nothing does one pay for that does: a window for its stream and one for the connection, a ping,
/// and one to spare.
const PAYS_FOR: u32 = 4;
/// Nobody saves up for a flood.
const CREDIT_MAX: u32 = 1000;

/// What one connection's client has done.
#[derive(Debug)]
pub(crate) struct Tally {
    client: Cutter,
    server: Cutter,
    idle_paid: u32,
    resets_paid: u32,
    idle: Bucket,
    resets: Bucket,
    blocks: Blocks,
    fields: Fields,
    /// The highest stream that has begun: fields of it, or of a lower one, are trailers.
    highest: u32,
    /// A head has begun whose end has not come.
    in_head: bool,
    /// Its first frame has come.
    has_begun: bool,
    /// The kind of the last frame of the client.
    last: u8,
}

impl Tally {
    /// Nothing yet: so many resets, so many frames that carry nothing, and so many bytes of a head.
    pub(crate) fn new(resets: Rate, idle: Rate, header_bytes: usize) -> Self {
        Self {
            client: Cutter::of_client(),
            server: Cutter::of_server(),
            idle_paid: 0,
            resets_paid: 0,
            idle: Bucket::new(idle),
            resets: Bucket::new(resets),
            blocks: Blocks::new(header_bytes),
            fields: Fields::new(),
            highest: 0,
            in_head: false,
            has_begun: false,
            last: kind::SETTINGS,
        }
    }
    /// The client sent these bytes; `now` is asked only where it matters.
    pub(crate) fn came(
        &mut self,
        mut bytes: &[u8],
        now: impl Fn() -> Duration,
    ) -> Result<(), Flood> {
        let mut judged = Ok(());
        loop {
            let payload = self.client.payload(bytes);
            if let Some(block) = self.fields.payload(&bytes[..payload]) {
                judged = judged.and(self.block(block));
            }
            let (Some(frame), rest) = self.client.next(bytes) else {
                return judged;
            };
            bytes = rest;
            judged = judged.and(self.judge(frame, &now));
            self.fields.begins(frame);
        }
    }
    fn block(&mut self, block: Block) -> Result<(), Flood> {
        if block.stream <= self.highest && block.has_pseudo {
            return Err(Flood::Trailers);
        }
        self.highest = self.highest.max(block.stream);
        Ok(())
    }
    /// The server sent these bytes.
    pub(crate) fn went(&mut self, mut bytes: &[u8]) {
        while let (Some(frame), rest) = self.server.next(bytes) {
            bytes = rest;
            if frame.works() {
                self.idle_paid = (self.idle_paid + PAYS_FOR).min(CREDIT_MAX);
            }
            if matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.has(kind::END_STREAM) {
                self.resets_paid = (self.resets_paid + 1).min(CREDIT_MAX);
            }
        }
    }
    /// Whether a head has begun and not ended: the rest of its frame, or a frame that continues it, is still to come. So has
    /// what comes before the first frame.
    pub(crate) fn in_head(&self) -> bool {
        self.in_head || self.client.is_in_head() || !self.has_begun
    }
    /// The kind of the client's last frame.
    pub(crate) fn last(&self) -> u8 {
        self.last
    }
    /// Whether the server has sent whole frames so far.
    pub(crate) fn server_is_between(&self) -> bool {
        self.server.is_between()
    }
    fn judge(&mut self, frame: Frame, now: impl Fn() -> Duration) -> Result<(), Flood> {
        self.last = frame.kind;
        let settles = frame.kind == kind::SETTINGS && !frame.has(kind::ACK);
        if !std::mem::replace(&mut self.has_begun, true) {
            return settles.then_some(()).ok_or(Flood::Unsettled);
        }
        if frame.works() {
            self.idle_paid = (self.idle_paid + PAYS_FOR).min(CREDIT_MAX);
        }
        let flood = match frame.kind {
            kind::HEADERS | kind::CONTINUATION => {
                self.in_head = !frame.has(kind::END_HEADERS);
                return self.blocks.came(frame).map_err(|TooLarge| Flood::Head);
            }
            kind::DATA if frame.length > 0 || frame.has(kind::END_STREAM) => return Ok(()),
            // An unasked one is an error, which hyper sees.
            kind::SETTINGS if frame.has(kind::ACK) => return Ok(()),
            kind::GOAWAY => return Ok(()),
            kind::RST_STREAM => {
                return pay(&mut self.resets_paid, &mut self.resets, now, Flood::Resets);
            }
            kind::DATA => Flood::EmptyData,
            kind::SETTINGS => Flood::Settings,
            kind::PING => Flood::Pings,
            kind::PRIORITY => Flood::Priorities,
            kind::WINDOW_UPDATE => Flood::Windows,
            _ => Flood::Unknown,
        };
        pay(&mut self.idle_paid, &mut self.idle, now, flood)
    }
}

/// From what was earned, else from what everybody has.
fn pay(
    earned: &mut u32,
    bucket: &mut Bucket,
    now: impl Fn() -> Duration,
    flood: Flood,
) -> Result<(), Flood> {
    if let Some(left) = earned.checked_sub(1) {
        *earned = left;
        return Ok(());
    }
    bucket.take(now()).then_some(()).ok_or(flood)
}

/// A rate, as many at once.
#[derive(Debug)]
struct Bucket {
    /// One takes so long to come back.
    each: Duration,
    /// All of them do.
    all: Duration,
    /// When all will be back.
    full_at: Duration,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self {
            each: rate.per / rate.times.max(1),
            all: rate.per,
            full_at: Duration::ZERO,
        }
    }
    fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + self.each;
        let has = full_at <= now + self.all;
        if has {
            self.full_at = full_at;
        }
        has
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
