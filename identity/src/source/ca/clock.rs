//! The two clocks of a client of the CA: the one on the wall, which may be wrong, and the one that counts from boot.
//!
//! In: the system's clocks, and by how much to be ahead of them (tests; a machine has no other). Out: moments.

use crate::renew::Boot;
use crate::source::chance::boot_now;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clocks, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    wall_ahead_ms: Arc<AtomicI64>,
    boot_ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Clock::default()
    }

    /// From now on the wall's clock is this far ahead of the system's; behind, if negative.
    pub fn set_wall(&self, ahead_ms: i64) {
        self.wall_ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// The machine slept for so long: boot time and the wall went on, timers did not.
    pub fn sleep(&self, slept: Duration) {
        let ms = i64::try_from(slept.as_millis()).unwrap_or(i64::MAX);
        self.boot_ahead_ms.fetch_add(ms, Ordering::Relaxed);
        self.wall_ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Since boot, suspend included.
    pub(super) fn boot(&self) -> Boot {
        let ahead = self.boot_ahead_ms.load(Ordering::Relaxed);
        boot_now().saturating_add(Duration::from_millis(u64::try_from(ahead).unwrap_or(0)))
    }

    /// By the wall, in ms since 1970.
    pub(super) fn unix_ms(&self) -> i64 {
        let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        ms.saturating_add(self.wall_ahead_ms.load(Ordering::Relaxed))
    }

    /// By the wall, for rustls and webpki.
    pub(super) fn unix(&self) -> UnixTime {
        let ms = u64::try_from(self.unix_ms()).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_millis(ms))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.unix())
    }
}
