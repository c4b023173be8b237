//! What is bounded a second. Pure: time comes in as an argument.

use config::unit::Rate;
use std::time::Duration;

/// A rate, as many at once.
#[derive(Debug)]
pub(super) struct Bucket {
    /// One takes so long to come back.
    each: Duration,
    /// All of them do.
    all: Duration,
    /// When all will be back.
    full_at: Duration,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            each: rate.per / rate.times.max(1),
            all: rate.per,
            full_at: Duration::ZERO,
        }
    }
    /// Takes one. `false`: there is none.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let full_at = self.full_at.max(now) + self.each;
        let has = full_at <= now + self.all;
        if has {
            self.full_at = full_at;
        }
        has
    }
}
