//! How long an endpoint that failed is left alone while there are others.
//!
//! An endpoint that rests is still tried when nothing else is left: a server that was mended is found by the next request,
//! and one with the wrong identity is refused by every handshake, not by this.

use crate::upstream::DialError;
use std::time::{Duration, Instant};

/// After the first failure in a row; twice as long after each that follows.
const FIRST: Duration = Duration::from_secs(1);
/// The longest; at once for whoever is not whom the name stands for, which no waiting mends.
const LONGEST: Duration = Duration::from_secs(30);

/// An endpoint left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Until when.
    pub(super) until: Instant,
    /// A label that never changes.
    pub(super) reason: &'static str,
    /// Failures in a row.
    failures: u32,
}

impl Rest {
    /// The rest after one more failure at `now`.
    pub(super) fn after(
        before: Option<Self>,
        reason: &'static str,
        is_other: bool,
        now: Instant,
    ) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let doubled = FIRST.saturating_mul(1 << (failures - 1).min(16));
        let rests = if is_other {
            LONGEST
        } else {
            doubled.min(LONGEST)
        };
        Self {
            until: now + rests,
            reason,
            failures,
        }
    }
}

/// Whether what was reached is not what the name stands for, so that waiting does not help, but looking the name up may.
pub(super) fn is_other(error: &DialError) -> bool {
    matches!(
        error,
        DialError::Identity(_) | DialError::Prohibited(_) | DialError::Own(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_rests_longer_up_to_a_bound() {
        let now = Instant::now();
        let mut rest = None;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let next = Rest::after(rest, "connection_refused", false, now);
            assert_eq!(next.until - now, Duration::from_secs(seconds));
            rest = Some(next);
        }
        let other = Rest::after(None, "wrong_identity", true, now);
        assert_eq!(other.until - now, LONGEST);
    }
}
