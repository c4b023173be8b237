//! The connections to one endpoint that are kept for the next request.

use super::h1::H1;
use super::h2::H2;
use super::rest::Rest;
use super::{is_ending, lock};
use crate::upstream::names::WEIGHT;
use crate::upstream::{DialError, Opened, Place};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::time::timeout_at;

/// An HTTP/1 connection per request in flight: what a burst leaves behind beyond this many is closed.
const IDLE_H1_MAX: usize = 512;
/// How long the task of a connection may take to be ready for its next request. Longer means that its server does not read
/// what was sent to it; the next request does not wait for that, nor for several of these.
const TURN_WITHIN: Duration = Duration::from_millis(5);
/// Connections to one endpoint over HTTP/2; beyond it streams queue in the last ones.
const H2_CONNECTIONS_MAX: usize = 8;
/// Streams on one connection before another is dialled: below the 250 that a sidecar of ours allows, and more than the 100
/// of most servers, where the rest waits in the connection's own queue.
const H2_STREAMS_MAX: usize = 200;

/// One endpoint and its connections.
pub(super) struct Endpoint {
    pub(super) place: Place,
    /// The least is wanted most.
    pub(super) rank: u16,
    weight: AtomicU32,
    /// Whether the configuration names this very place.
    pub(super) is_written: bool,
    /// As it is logged.
    pub(super) label: Arc<str>,
    /// As what it is written in the configuration: the same, or a name.
    pub(super) written: Arc<str>,
    /// Open to it, by whatever protocol.
    pub(super) connections: Opened,
    /// Requests under way, and what became of some: a WebSocket and a tunnel are under way as long as they are open.
    pub(super) streams: Opened,
    /// Whether there is a `rest`: whoever chooses looks at this first.
    is_marked: AtomicBool,
    rest: Mutex<Option<Rest>>,
    h1: Mutex<Vec<IdleH1>>,
    /// Whether no HTTP/1 connection is kept any more.
    keeps_none: AtomicBool,
    h2: Mutex<Vec<Arc<H2>>>,
    /// Held while an HTTP/2 connection is dialled: who waits for it finds the connection instead of dialling another, or
    /// shares the failure instead of dialling once more after everybody before it.
    pub(super) dialling: tokio::sync::Mutex<Option<Failed>>,
}

/// A dial that failed.
pub(super) struct Failed {
    pub(super) at: Instant,
    pub(super) why: Arc<DialError>,
}

struct IdleH1 {
    link: H1,
    since: Instant,
}

impl Endpoint {
    /// An endpoint without connections.
    pub(super) fn new(place: Place, rank: u16, is_written: bool, written: Arc<str>) -> Self {
        Self {
            label: place.to_string().into(),
            written,
            place,
            rank,
            weight: AtomicU32::new(WEIGHT),
            is_written,
            connections: Opened::default(),
            streams: Opened::default(),
            is_marked: AtomicBool::new(false),
            rest: Mutex::default(),
            h1: Mutex::default(),
            keeps_none: AtomicBool::new(false),
            h2: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
        }
    }
    /// How often its turn comes among those of its rank, from now on.
    pub(super) fn weighs(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }
    /// See [`Endpoint::weighs`].
    pub(super) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }
    /// Whether others come before it.
    pub(super) fn is_resting(&self) -> bool {
        self.is_marked.load(Ordering::Relaxed) && self.resting(Instant::now()).is_some()
    }
    /// Its rest at `now`, if it rests.
    pub(super) fn resting(&self, now: Instant) -> Option<Rest> {
        lock(&self.rest).filter(|rest| now < rest.until)
    }
    /// It failed: others come before it for a while. Says whether it was not resting already.
    pub(super) fn failed(&self, reason: &'static str, is_other: bool) -> bool {
        let now = Instant::now();
        let mut rest = lock(&self.rest);
        let is_news = rest.is_none_or(|rest| rest.until <= now);
        if is_news || is_other {
            *rest = Some(Rest::after(*rest, reason, is_other, now));
        }
        self.is_marked.store(true, Ordering::Relaxed);
        is_news
    }
    /// It took a connection.
    pub(super) fn took(&self) {
        if self.is_marked.swap(false, Ordering::Relaxed) {
            *lock(&self.rest) = None;
        }
    }
    /// What it rested for is mended.
    pub(super) fn ends_rest(&self, reason: &str) {
        if self.is_marked.load(Ordering::Relaxed) {
            let mut rest = lock(&self.rest);
            *rest = rest.filter(|rest| rest.reason != reason);
            // Where it rests for something else it stays marked.
            self.is_marked.store(rest.is_some(), Ordering::Relaxed);
        }
    }
    /// An HTTP/1 connection that nobody uses.
    pub(super) async fn kept_h1(&self) -> Option<H1> {
        let now = SystemTime::now();
        let turned = Instant::now() + TURN_WITHIN;
        loop {
            let IdleH1 { mut link, .. } = lock(&self.h1).pop()?;
            if is_ending(link.ends, now) || link.is_closed() {
                continue;
            }
            // Given back when the last byte of the answer came: its task may still have to turn around.
            if link.is_ready() || matches!(timeout_at(turned.into(), link.ready()).await, Ok(true))
            {
                return Some(link);
            }
        }
    }
    /// The HTTP/2 connection with the fewest streams; `None` when another may be dialled.
    pub(super) fn kept_h2(&self) -> Option<Arc<H2>> {
        let now = SystemTime::now();
        let mut known = lock(&self.h2);
        known.retain(|link| !link.sender.is_closed() && !is_ending(link.ends, now));
        let least = known
            .iter()
            .min_by_key(|link| link.frames.streams.load(Ordering::Relaxed))?;
        let full = least.frames.streams.load(Ordering::Relaxed) >= H2_STREAMS_MAX;
        (!full || known.len() >= H2_CONNECTIONS_MAX).then(|| least.clone())
    }
    /// Keeps an HTTP/1 connection whose answer has ended.
    pub(super) fn keep_h1(&self, link: H1) {
        let mut kept = lock(&self.h1);
        if kept.len() < IDLE_H1_MAX && !self.keeps_none.load(Ordering::Relaxed) {
            kept.push(IdleH1 {
                link,
                since: Instant::now(),
            });
        }
    }
    /// From now on each HTTP/1 request gets a connection of its own.
    pub(super) fn keep_none(&self) {
        self.keeps_none.store(true, Ordering::Relaxed);
        // Under its lock: whoever saw the word too late has put its connection in by then.
        let kept = std::mem::take(&mut *lock(&self.h1));
        drop(kept);
    }
    /// Lets others share an HTTP/2 connection.
    pub(super) fn keep_h2(&self, link: Arc<H2>) {
        lock(&self.h2).push(link);
    }
    /// Nobody takes this connection any more: the next attempt must not come to it before its task knows that it ends.
    pub(super) fn leave(&self, link: &Arc<H2>) {
        lock(&self.h2).retain(|kept| !Arc::ptr_eq(kept, link));
    }
    /// Closes what was kept too long.
    pub(super) fn close_idle(&self, idle: Duration) {
        let now = SystemTime::now();
        lock(&self.h1).retain(|IdleH1 { link, since }| {
            since.elapsed() < idle && !link.is_closed() && !is_ending(link.ends, now)
        });
        lock(&self.h2).retain(|link| {
            let idle = lock(&link.idle_since).elapsed() >= idle || is_ending(link.ends, now);
            let quiet = link.frames.streams.load(Ordering::Relaxed) == 0 && idle;
            !quiet && !link.sender.is_closed()
        });
    }
}
