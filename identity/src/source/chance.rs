//! What sources read of the machine besides files and the wall clock: the clock that goes on in suspend, and chance.

use crate::Boot;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, on the clock that goes on in suspend.
pub(super) fn boot_now() -> Boot {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    // Elsewhere this one goes on in suspend.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Evenly from 0 to 1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 2];
    // Without randomness everybody waits alike, which harms nobody at once.
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX)
}
