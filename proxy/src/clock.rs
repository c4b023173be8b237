//! Moments of the wall clock, awaited.
//!
//! Certificates end by the wall clock, and tokio's timers count another one: they stand still in suspend, and know nothing of
//! a clock that was set.
//!
//! 1. What has passed is seen at most [`LOOK_MAX`] after the clock says so, however it came to say so.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, Sleep};

/// How long to sleep at most before looking at the wall clock again.
pub(crate) const LOOK_MAX: Duration = Duration::from_secs(5);

/// For how long to sleep before looking again; `None`: it has passed.
pub(crate) fn wait(until: SystemTime, now: SystemTime) -> Option<Duration> {
    let left = until
        .duration_since(now)
        .ok()
        .filter(|left| !left.is_zero());
    left.map(|left| left.min(LOOK_MAX))
}

/// When what is open on a connection is ended: so long after an identity on it has. `None`: later than can be counted.
pub(crate) fn cut_at(ends: SystemTime, after_expiry: Duration) -> Option<SystemTime> {
    ends.checked_add(after_expiry)
}

/// Resolves once a moment has passed; never, if there is none.
#[derive(Debug)]
pub(crate) struct Passed {
    waiting: Option<(SystemTime, Pin<Box<Sleep>>)>,
}

impl Passed {
    /// Needs a tokio runtime.
    pub(crate) fn at(moment: Option<SystemTime>) -> Self {
        let sleep = |moment| {
            let first = wait(moment, SystemTime::now()).unwrap_or_default();
            (moment, Box::pin(tokio::time::sleep(first)))
        };
        Self {
            waiting: moment.map(sleep),
        }
    }
}

impl Future for Passed {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some((moment, sleep)) = &mut self.waiting else {
            return Poll::Pending;
        };
        loop {
            ready!(sleep.as_mut().poll(cx));
            match wait(*moment, SystemTime::now()) {
                Some(left) => sleep.as_mut().reset(Instant::now() + left),
                None => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sleeps_past_a_moment_nor_longer_than_five_seconds() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for (until_ms, now_ms, sleeps_ms) in [
            (10_000, 9_000, Some(1_000)),
            (10_000, 9_999, Some(1)),
            (10_000, 10_000, None),
            // After a suspend, or where the clock was set forward: it is seen at the next look.
            (10_000, 9_000_000, None),
            // Where it was set back: not before its time.
            (10_000, 1_000, Some(5_000)),
        ] {
            let sleeps = sleeps_ms.map(Duration::from_millis);
            assert_eq!(
                wait(at(until_ms), at(now_ms)),
                sleeps,
                "{until_ms} {now_ms}"
            );
        }
    }

    #[tokio::test]
    async fn what_has_passed_resolves_at_once_and_what_never_comes_does_not() {
        Passed::at(Some(SystemTime::UNIX_EPOCH)).await;
        let soon = SystemTime::now() + Duration::from_millis(30);
        Passed::at(Some(soon)).await;
        assert!(SystemTime::now() >= soon);
        let never = tokio::time::timeout(Duration::from_millis(30), Passed::at(None));
        assert!(never.await.is_err());
    }
}
