//! How many retries of a service there may be: a fifth of its requests, and three a second.
//!
//! A request costs one atomic addition; only a retry takes the lock.
//!
//! 1. In any stretch of time there are at most 20 % of the requests of that stretch, 3 for each of its seconds, and what one
//!    second before it had saved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many requests pay for one retry.
const REQUESTS_A_RETRY: u64 = 5;
/// Retries that are there however few requests there are: with none of them one lost request in a quiet hour would fail.
const RETRIES_A_SECOND: u64 = 3;
/// What was not spent for this long is gone: an hour without trouble does not pay for a storm.
const SAVED_FOR: Duration = Duration::from_secs(1);
/// What a retry costs, so that shares of it are whole numbers: five requests and a third of a second each pay for one.
const RETRY: u64 = 15_000;
const PER_REQUEST: u64 = RETRY / REQUESTS_A_RETRY;
const PER_MILLISECOND: u64 = RETRY * RETRIES_A_SECOND / 1_000;

/// What one service may spend.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: AtomicU64,
    purse: Mutex<Purse>,
}

impl Budget {
    /// As if a second without requests had passed.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            requests: AtomicU64::new(0),
            purse: Mutex::new(Purse {
                has: RETRY * RETRIES_A_SECOND,
                requests: 0,
                at: now,
            }),
        }
    }
    /// A request was sent for the first time.
    pub(crate) fn earn(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
    /// Takes one retry, if there is one left.
    pub(crate) fn spend(&self, now: Instant) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        // A panic elsewhere leaves it whole: it is numbers.
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        purse.spend(requests, now)
    }
}

/// The same, with nothing shared.
#[derive(Debug)]
struct Purse {
    has: u64,
    /// How many requests had been when it was last looked into.
    requests: u64,
    at: Instant,
}

impl Purse {
    fn spend(&mut self, requests: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at);
        let new = requests.saturating_sub(self.requests);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let whole = Duration::from_millis(millis);
        // What came longer ago than is saved for: taken as spread evenly.
        let lately = u64::try_from(SAVED_FOR.min(since).as_millis()).unwrap_or(u64::MAX);
        let recent = if whole <= SAVED_FOR {
            new
        } else {
            let share = u128::from(new) * u128::from(lately) / u128::from(millis.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        // A part of a millisecond counts next time.
        self.at = (self.at + whole).max(self.at);
        self.requests = requests.max(self.requests);
        let earned = recent
            .saturating_mul(PER_REQUEST)
            .saturating_add(lately.saturating_mul(PER_MILLISECOND));
        self.has = self.kept(whole).saturating_add(earned);
        if self.has < RETRY {
            return false;
        }
        self.has -= RETRY;
        true
    }
    /// What is left of what it had, so long after: less and less, nothing after [`SAVED_FOR`].
    fn kept(&self, since: Duration) -> u64 {
        let saved = SAVED_FOR.as_micros();
        let left = saved.saturating_sub(since.as_micros());
        u64::try_from(u128::from(self.has) * left / saved).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    /// What so many requests in so many equal steps of time may spend at most, when all fail and ask again and again.
    fn spent(steps: u64, requests_a_step: u64, step: Duration) -> u64 {
        let mut now = Instant::now();
        let budget = Budget::new(now);
        let mut spent = 0;
        for _ in 0..steps {
            now += step;
            for _ in 0..requests_a_step {
                budget.earn();
                for _ in 0..3 {
                    spent += u64::from(budget.spend(now));
                }
            }
        }
        spent
    }

    #[test]
    fn a_fifth_of_the_requests_and_three_a_second_are_there_and_no_more() {
        // Three to begin with, of which not all is kept until it is asked for, a fifth of a thousand, and three in a second.
        assert_eq!(spent(1_000, 1, Duration::from_millis(1)), 2 + 200 + 3);
        assert_eq!(spent(1, 1_000, Duration::ZERO), 3 + 200);
        assert_eq!(
            spent(10, 1, Duration::from_secs(10)),
            // Three, and each later request after ten quiet seconds asks three times: there is enough.
            30
        );
    }

    #[test]
    fn an_hour_without_trouble_does_not_pay_for_a_storm() {
        let start = Instant::now();
        let budget = Budget::new(start);
        for _ in 0..3_600_000 {
            budget.earn();
        }
        let storm = start + Duration::from_secs(3_600);
        let spent = (0..10_000).filter(|_| budget.spend(storm)).count();
        // What one second of a thousand requests saved.
        assert_eq!(spent, 203);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing_away() {
        let start = Instant::now() + Duration::from_secs(10);
        let budget = Budget::new(start);
        let before = start.checked_sub(Duration::from_secs(5)).unwrap();
        let spent = (0..10).filter(|_| budget.spend(before)).count();
        assert_eq!(spent, 3);
    }

    proptest! {
        #[test]
        fn no_stretch_of_failures_spends_more_than_its_share(
            steps in prop::collection::vec((0_u64..2_000, 0_u64..50, 0_usize..50), 1..200),
        ) {
            let start = Instant::now();
            let (mut now, budget, mut requests, mut spent) = (start, Budget::new(start), 0_u64, 0_u64);
            for (millis, new, asks) in steps {
                now += Duration::from_millis(millis);
                for _ in 0..new {
                    budget.earn();
                }
                requests += new;
                for _ in 0..asks {
                    spent += u64::from(budget.spend(now));
                }
                let seconds = now.duration_since(start).as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let (share, spent) = (requests as f64 / 5.0 + 3.0 * seconds + 3.0, spent as f64);
                prop_assert!(spent <= share + 1e-6, "{spent} of {share}");
            }
        }
    }
}
