//! What a connection is doing, so that silence can be told from work.
//!
//! A connection between requests ends after `idle`; one that began a head and does not finish it ends after `head`. The
//! reader of the socket, the requests and the watchdog share this one value; all of it is atomics.

use std::sync::atomic::{AtomicU64, Ordering};
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
}

impl Activity {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            in_flight: AtomicU64::new(0),
            head_began_ms: AtomicU64::new(0),
            idle_since_ms: AtomicU64::new(0),
        }
    }
    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
    /// Bytes came from the peer.
    pub(crate) fn bytes_came(&self) {
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
    /// Judges silence.
    pub(crate) fn watch(&self, head: Duration, idle: Duration) -> Watch {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Watch::LookAgain(head.min(idle));
        }
        let now = self.now_ms();
        let since = |ms: u64| Duration::from_millis(now.saturating_sub(ms));
        match self.head_began_ms.load(Ordering::Relaxed) {
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

    fn at(in_flight: u64, head_began_ms: u64, idle_since_ms: u64, now: Duration) -> Watch {
        let activity = Activity {
            origin: Instant::now().checked_sub(now).unwrap_or_else(Instant::now),
            in_flight: in_flight.into(),
            head_began_ms: head_began_ms.into(),
            idle_since_ms: idle_since_ms.into(),
        };
        activity.watch(HEAD, IDLE)
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
        assert!(
            matches!(at(0, 5_001, 0, Duration::from_secs(14)), Watch::LookAgain(left) if left <= Duration::from_secs(1))
        );
    }
}
