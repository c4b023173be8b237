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

use super::blocks::{Blocks, TooLarge};
use super::bucket::Bucket;
use super::ends::{Ending, Ends};
use super::fields::{Block, Fields};
use super::flood::Flood;
use super::frame::{Cutter, Frame, kind};
use config::unit::Rate;
use std::time::Duration;

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
    ending: Ending,
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
            ending: Ending::default(),
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
    /// The server sent these bytes; `ends` is told of what they end with an error.
    pub(crate) fn went(&mut self, mut bytes: &[u8], mut ends: impl FnMut(Ends)) {
        loop {
            let payload = self.server.payload(bytes);
            self.ending.payload(&bytes[..payload]).map(&mut ends);
            let (Some(frame), rest) = self.server.next(bytes) else {
                return;
            };
            bytes = rest;
            self.ending.begins(frame);
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

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
