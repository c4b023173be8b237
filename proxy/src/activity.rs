//! What a connection is doing, so that silence can be told from work.
//!
//! A connection between requests ends after `idle`; one that began a head and does not finish it ends after `head`. The
//! reader of the socket, the requests and the watchdog share this one value; all of it is atomics.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    origin: Instant,
    /// Answers that are awaited or under way, and bodies of requests that are being sent on.
    in_flight: AtomicU64,
    /// Milliseconds after `origin`, plus one, when the first byte after the last request came; 0: none came yet.
    head_began_ms: AtomicU64,
    /// Milliseconds after `origin` when the last work ended.
    idle_since_ms: AtomicU64,
    /// Whether nothing has come yet.
    silent: AtomicBool,
    /// Grows with whatever is read or written (HTTP/1: there it is the one request's).
    moves: AtomicU64,
    /// The kind of the last frame that came (HTTP/2).
    last_frame: AtomicU8,
    /// Whether what was asked is answered, and nothing came since (HTTP/1).
    rests: AtomicBool,
}

/// What the watchdog has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Look again after this long.
    LookAgain(Duration),
    /// Nothing was asked for `idle`.
    Idle,
    /// A head was begun and not finished within `head`.
    HeadTooSlow,
    /// Not a byte came within `first_byte`.
    Silent,
}

/// How long silence may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// In a head.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// Before anything came.
    pub(crate) first_byte: Duration,
}

/// One request on a connection that carries many: told apart from the others by whoever watches it.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Bytes of its body that were read.
    pub(crate) uploaded: AtomicU64,
    /// It was ended because nothing moved.
    pub(crate) is_stalled: AtomicBool,
}

thread_local! {
    /// From who begins a request to who spawns it. hyper calls both, one after the other, and hands nothing from the one to the
    /// other; it does so in one poll of the connection, so on one thread.
    static BEGUN: Cell<Option<Arc<Stream>>> = const { Cell::new(None) };
}

impl Stream {
    /// For a request that begins, and for whoever spawns it now.
    pub(crate) fn begin() -> Arc<Self> {
        let stream = Arc::new(Self::default());
        BEGUN.set(Some(stream.clone()));
        stream
    }
    /// That of the request which began just now on this thread and is spawned: once.
    pub(crate) fn begun() -> Option<Arc<Self>> {
        BEGUN.take()
    }
}

impl Activity {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            in_flight: AtomicU64::new(0),
            head_began_ms: AtomicU64::new(0),
            idle_since_ms: AtomicU64::new(0),
            silent: AtomicBool::new(true),
            moves: AtomicU64::new(0),
            last_frame: AtomicU8::new(0),
            rests: AtomicBool::new(false),
        }
    }
    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
    /// Something was read or written.
    pub(crate) fn moved(&self) {
        // One task at a time reads and writes: no need for more than a load and a store.
        let moves = self.moves.load(Ordering::Relaxed);
        self.moves.store(moves.wrapping_add(1), Ordering::Relaxed);
    }
    /// How much was read and written so far.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }
    /// Frames came from the peer, the last of this kind; and a head may have begun whose end did not.
    pub(crate) fn frames_came(&self, last_frame: u8, in_head: bool) {
        self.silent.store(false, Ordering::Relaxed);
        self.last_frame.store(last_frame, Ordering::Relaxed);
        let is_known = self.head_began_ms.load(Ordering::Relaxed) > 0;
        match (in_head, is_known) {
            (true, false) => self
                .head_began_ms
                .store(self.now_ms() + 1, Ordering::Relaxed),
            (false, true) => self.head_began_ms.store(0, Ordering::Relaxed),
            _ => {}
        }
    }
    /// The kind of the last frame that came.
    pub(crate) fn last_frame(&self) -> u8 {
        self.last_frame.load(Ordering::Relaxed)
    }
    /// Bytes came from the peer.
    pub(crate) fn bytes_came(&self) {
        self.silent.store(false, Ordering::Relaxed);
        self.moved();
        if self.in_flight.load(Ordering::Relaxed) == 0
            && self.head_began_ms.load(Ordering::Relaxed) == 0
        {
            self.head_began_ms
                .store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }
    /// A whole head was read, or a body is to be sent on: once more, `work_ended` will be called.
    pub(crate) fn work_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_began_ms.store(0, Ordering::Relaxed);
    }
    /// The last byte of an answer or of a request's body was handed on, or given up.
    pub(crate) fn work_ended(&self) {
        if self.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle_since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }
    /// For how long nothing has been in flight; `None`: something is.
    pub(crate) fn quiet(&self) -> Option<Duration> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since_ms = self.idle_since_ms.load(Ordering::Relaxed);
        Some(Duration::from_millis(
            self.now_ms().saturating_sub(since_ms),
        ))
    }
    /// What was asked is answered, or something comes.
    pub(crate) fn rests(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }
    /// Whether nothing has been asked for so long, and nothing is left of what was.
    pub(crate) fn has_rested(&self, long: Duration) -> bool {
        self.rests.load(Ordering::Relaxed) && self.quiet() >= Some(long)
    }
    /// Whether something is in flight.
    pub(crate) fn is_at_work(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }
    /// Judges silence.
    pub(crate) fn watch(&self, patience: Patience) -> Watch {
        let Patience {
            head,
            idle,
            first_byte,
        } = patience;
        let now = self.now_ms();
        let since = |ms: u64| Duration::from_millis(now.saturating_sub(ms));
        match self.head_began_ms.load(Ordering::Relaxed) {
            0 if self.in_flight.load(Ordering::Relaxed) > 0 => Watch::LookAgain(head.min(idle)),
            0 if self.silent.load(Ordering::Relaxed) => {
                let silent = since(0);
                if silent >= first_byte {
                    Watch::Silent
                } else {
                    Watch::LookAgain(head.min(first_byte - silent))
                }
            }
            0 => {
                let quiet = since(self.idle_since_ms.load(Ordering::Relaxed));
                // A head may begin at any moment: never sleep past its own deadline.
                if quiet >= idle {
                    Watch::Idle
                } else {
                    Watch::LookAgain(head.min(idle - quiet))
                }
            }
            began => {
                let busy = since(began - 1);
                if busy >= head {
                    Watch::HeadTooSlow
                } else {
                    Watch::LookAgain(head - busy)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    const FIRST_BYTE: Duration = Duration::from_secs(30);

    fn at(in_flight: u64, head_began_ms: u64, idle_since_ms: u64, now: Duration) -> Watch {
        seen(false, in_flight, head_began_ms, idle_since_ms, now)
    }

    fn seen(
        silent: bool,
        in_flight: u64,
        head_began_ms: u64,
        idle_since_ms: u64,
        now: Duration,
    ) -> Watch {
        let activity = Activity {
            origin: Instant::now().checked_sub(now).unwrap_or_else(Instant::now),
            in_flight: in_flight.into(),
            head_began_ms: head_began_ms.into(),
            idle_since_ms: idle_since_ms.into(),
            silent: silent.into(),
            moves: 0.into(),
            last_frame: 0.into(),
            rests: false.into(),
        };
        activity.watch(Patience {
            head: HEAD,
            idle: IDLE,
            first_byte: FIRST_BYTE,
        })
    }

    #[test]
    fn silence_is_told_from_work() {
        assert_eq!(
            at(1, 0, 0, Duration::from_secs(3600)),
            Watch::LookAgain(HEAD),
            "a request may take its time"
        );
        assert_eq!(at(0, 0, 0, Duration::from_secs(75)), Watch::Idle);
        assert_eq!(at(0, 0, 1_000, Duration::from_secs(76)), Watch::Idle);
        assert!(
            matches!(at(0, 0, 1_000, Duration::from_secs(75)), Watch::LookAgain(left) if left <= Duration::from_secs(1))
        );
        assert_eq!(at(0, 1, 0, Duration::from_secs(10)), Watch::HeadTooSlow);
        assert_eq!(
            at(3, 1, 0, Duration::from_secs(10)),
            Watch::HeadTooSlow,
            "beside other requests"
        );
        assert_eq!(seen(true, 0, 0, 0, Duration::from_secs(30)), Watch::Silent);
        assert!(
            matches!(at(0, 5_001, 0, Duration::from_secs(14)), Watch::LookAgain(left) if left <= Duration::from_secs(1))
        );
    }
}
