//! When to renew, and when to try again.
//!
//! In: moments of CLOCK_BOOTTIME, the CA's issue time and end in its reply, the identity. Out: for how long to sleep. Pure:
//! time and randomness are arguments.
//!
//! 1. Life is counted from the receipt of the reply on the clock that goes on in suspend. Neither clock of this machine that
//!    may be wrong is asked, and never notBefore, which is backdated.
//! 2. Nobody sleeps longer than [`SLEEP_MAX`] at once: timers stand still in suspend, so what is due is judged again on waking.
//! 3. A retry comes never later than a tenth of the leaf's life nor 30 s after a failure; nothing comes sooner than after 1 s.

use aws_lc_rs::digest::{SHA256, digest};
use config::SpiffeId;
use std::fmt;
use std::time::Duration;

/// How long to sleep at most before judging again: after a suspend, a renewal is late by no more.
pub const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Between two renewals, and between two attempts, at least: a CA that issues leaves of no life is not asked in a loop.
pub const APART_MIN: Duration = Duration::from_secs(1);

/// Between two attempts at most, however long the leaf lives: when the CA comes back, everybody is well within half a minute.
pub const RETRY_MAX: Duration = Duration::from_secs(30);

/// A moment on CLOCK_BOOTTIME, as time since boot, suspend included.
pub type Boot = Duration;

/// When a leaf is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    at: Boot,
    earliest: Boot,
    life: Duration,
}

impl Due {
    /// For a reply received at `received` that says when its leaf was issued (ms since 1970, by the CA's clock) and when
    /// it ends (s since 1970). Half of that life, ± 10 % by `id`, so that a fleet started at once does not renew at once.
    pub fn of(
        received: Boot,
        issued_at_unix_ms: i64,
        not_after_unix_s: i64,
        id: &SpiffeId,
    ) -> Self {
        let life_ms = not_after_unix_s
            .saturating_mul(1000)
            .saturating_sub(issued_at_unix_ms);
        let life = Duration::from_millis(u64::try_from(life_ms).unwrap_or(0));
        let after = life.mul_f64(0.45 + 0.1 * phase(id)).max(APART_MIN);
        Due {
            at: received.saturating_add(after),
            earliest: received.saturating_add(APART_MIN),
            life,
        }
    }

    /// The same for a leaf that was kept, `age` after its issue: by the wall's clock, since nothing else outlives a boot.
    pub fn of_kept(
        now: Boot,
        age: Duration,
        issued_at_unix_ms: i64,
        not_after_unix_s: i64,
        id: &SpiffeId,
    ) -> Self {
        let due = Due::of(now, issued_at_unix_ms, not_after_unix_s, id);
        Due {
            at: due.at.saturating_sub(age),
            earliest: due.earliest.saturating_sub(age),
            ..due
        }
    }

    /// The same leaf, sooner, if not at once: invariant 3 holds for whoever wishes it, too.
    pub fn or_at(self, sooner: Boot) -> Self {
        Due {
            at: self.at.min(sooner.max(self.earliest)),
            ..self
        }
    }

    /// The moment.
    pub fn at(&self) -> Boot {
        self.at
    }

    /// From the issue to the end.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// For how long to sleep before judging again; `None`: it is due.
    pub fn sleep(&self, now: Boot) -> Option<Duration> {
        sleep_until(self.at, now)
    }
}

/// The share of an identity in the spread, from 0 to 1, always the same.
fn phase(id: &SpiffeId) -> f64 {
    let hash = digest(&SHA256, id.as_str().as_bytes());
    let [high, low, ..] = hash.as_ref() else {
        return 0.5;
    };
    f64::from(u16::from_be_bytes([*high, *low])) / f64::from(u16::MAX)
}

fn sleep_until(at: Boot, now: Boot) -> Option<Duration> {
    at.checked_sub(now)
        .filter(|left| !left.is_zero())
        .map(|left| left.min(SLEEP_MAX))
}

/// When to try again after failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    longest: Duration,
    at: Boot,
}

impl Retry {
    /// Nothing has failed yet. `life` is that of the leaf to renew; `None`: there is none yet.
    pub fn new(life: Option<Duration>) -> Self {
        let longest = life.map_or(RETRY_MAX, |life| (life / 10).clamp(APART_MIN, RETRY_MAX));
        Retry {
            failures: 0,
            longest,
            at: Boot::ZERO,
        }
    }

    /// After one more failure, ended at `now`. `random`, evenly from 0 to 1, spreads those who failed together.
    pub fn failed(self, now: Boot, random: f64) -> Self {
        let step = APART_MIN
            .saturating_mul(1 << self.failures.min(6))
            .min(self.longest);
        let spread = step.saturating_sub(APART_MIN).min(step / 2);
        let wait = step - spread.mul_f64(random.clamp(0.0, 1.0));
        Retry {
            failures: self.failures.saturating_add(1),
            at: now.saturating_add(wait),
            ..self
        }
    }

    /// The same, but not before `wait` after `now`: who was asked may know better than we.
    pub fn not_before(self, now: Boot, wait: Duration) -> Self {
        Retry {
            at: self.at.max(now.saturating_add(wait)),
            ..self
        }
    }

    /// How many failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// For how long to sleep before judging again; `None`: try now.
    pub fn sleep(&self, now: Boot) -> Option<Duration> {
        sleep_until(self.at, now)
    }
}

/// How far this machine's clock is from the CA's, as measured by one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    ahead_ms: i64,
    error_ms: i64,
}

/// Skew that is worth a word: leaves are backdated by a minute, so that less harms nobody.
const SKEW_TOLD_MS: i64 = 30_000;

impl Skew {
    /// From this machine's clock before and after a call and the CA's clock in its reply, all in milliseconds since 1970.
    pub fn measured(sent_unix_ms: i64, received_unix_ms: i64, server_unix_ms: i64) -> Self {
        let trip = received_unix_ms.saturating_sub(sent_unix_ms).max(0);
        let middle = sent_unix_ms.saturating_add(trip / 2);
        Skew {
            ahead_ms: middle.saturating_sub(server_unix_ms),
            error_ms: trip.saturating_add(1) / 2,
        }
    }

    /// How far this machine's clock is ahead; negative: behind.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// By how much the measurement may be wrong, either way.
    pub fn error_ms(&self) -> i64 {
        self.error_ms
    }

    /// Whether it is large enough, beyond doubt, to refuse certificates that are good.
    pub fn is_harmful(&self) -> bool {
        self.ahead_ms.saturating_abs().saturating_sub(self.error_ms) > SKEW_TOLD_MS
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.ahead_ms < 0 {
            true => "behind",
            false => "ahead of",
        };
        let seconds = self.ahead_ms.unsigned_abs() / 1000;
        write!(
            f,
            "this machine's clock is {seconds} s {way} the CA's; set it right (NTP)"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn id(path: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://shop.example/{path}")).unwrap()
    }

    /// A leaf of `life_s`, received at 1000 s.
    fn due(life_s: i64) -> Due {
        Due::of(S(1000), 7_000, 7 + life_s, &id("orders"))
    }

    proptest! {
        #[test]
        fn a_leaf_is_renewed_within_a_tenth_of_its_half_life_whatever_the_clock_says(
            life_s in 10i64..100_000, issued in any::<i32>(), path in "[a-z]{1,12}", at_s in 0u64..1_000_000,
        ) {
            let issued = i64::from(issued);
            let due = Due::of(S(at_s), issued * 1000, issued + life_s, &id(&path));
            let after = (due.at() - S(at_s)).as_secs_f64() / life_s as f64;
            prop_assert!((0.4499..=0.5501).contains(&after), "after {after} of its life");
        }

        #[test]
        fn nothing_comes_sooner_than_a_second(issued in any::<i64>(), end in any::<i64>(), now_s in 0u64..1_000_000) {
            let due = Due::of(S(now_s), issued, end, &id("orders"));
            prop_assert!(due.at() >= S(now_s) + APART_MIN);
        }

        #[test]
        fn a_retry_comes_after_a_second_and_before_a_tenth_of_life_or_half_a_minute(
            life_s in 10u64..1_000_000, failures in 1usize..100, random in 0.0..=1.0f64,
        ) {
            let longest = (S(life_s) / 10).min(RETRY_MAX);
            let mut retry = Retry::new(Some(S(life_s)));
            for _ in 0..failures {
                retry = retry.failed(S(50), random);
                let wait = retry.at - S(50);
                prop_assert!(wait >= APART_MIN && wait <= longest.max(APART_MIN), "{wait:?}");
            }
        }

        #[test]
        fn nobody_sleeps_longer_than_five_seconds(at_s in 0u64..1_000_000, now_s in 0u64..1_000_000) {
            let slept = sleep_until(S(at_s), S(now_s));
            prop_assert_eq!(slept, (at_s > now_s).then(|| S(at_s - now_s).min(SLEEP_MAX)));
        }
    }

    #[test]
    fn a_kept_leaf_is_due_when_it_would_have_been_without_the_restart() {
        let whole = due(3600);
        let kept = |now_s, age_s| Due::of_kept(S(now_s), S(age_s), 7_000, 3607, &id("orders"));

        assert_eq!(kept(1600, 600), whole);
        // Also after a boot, which began to count anew.
        assert_eq!(kept(5, 600).at(), whole.at() - S(1595));
        assert_eq!(kept(5, 5000).at(), S(0));
        assert_eq!(whole.or_at(S(1001)).at(), S(1001));
        assert_eq!(whole.or_at(S(99_999)), whole);
    }

    #[test]
    fn who_was_asked_to_wait_waits() {
        let failed = Retry::new(None).failed(S(50), 0.0);
        assert_eq!(failed.not_before(S(50), S(7)).sleep(S(50)), Some(S(5)));
        assert_eq!(failed.not_before(S(50), S(7)).sleep(S(57)), None);
        assert_eq!(failed.not_before(S(50), S(0)), failed);
    }

    #[test]
    fn a_fleet_started_at_once_does_not_renew_at_once() {
        let mut seconds: Vec<u64> = (0..1000)
            .map(|number| {
                Due::of(S(0), 0, 3600, &id(&format!("w{number}")))
                    .at()
                    .as_secs()
            })
            .collect();
        seconds.sort_unstable();
        let busiest = seconds
            .chunk_by(|one, next| one == next)
            .map(<[u64]>::len)
            .max();
        assert!(
            busiest.unwrap() <= 15,
            "{busiest:?} of 1000 within a second of 360"
        );
    }

    #[test]
    fn waits_grow_and_are_spread() {
        let check = |life_s: Option<u64>, random, waits_ms: &[u128]| {
            let mut retry = Retry::new(life_s.map(S));
            for wait_ms in waits_ms {
                retry = retry.failed(S(9), random);
                assert_eq!(
                    (retry.at - S(9)).as_millis(),
                    *wait_ms,
                    "after {}",
                    retry.failures()
                );
            }
        };
        check(
            Some(3600),
            0.0,
            &[1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
        );
        check(
            Some(3600),
            1.0,
            &[1000, 1000, 2000, 4000, 8000, 15_000, 15_000],
        );
        check(Some(30), 0.0, &[1000, 2000, 3000, 3000]);
        check(Some(10), 0.5, &[1000, 1000]);
        check(Some(1), 0.5, &[1000, 1000]);
        check(None, 0.0, &[1000, 2000, 4000, 8000, 16_000, 30_000]);
    }

    /// Timers stand still in suspend, boot time does not: what they slept and what passed are two columns.
    #[test]
    fn after_a_suspend_a_renewal_is_late_by_no_more_than_one_sleep() {
        let due = due(3600);
        let after_s = (due.at() - S(1000)).as_secs();
        // (suspended from, for how long): seconds after receipt.
        for (from_s, for_s) in [
            (0, 0),
            (0, 10),
            (100, 1000),
            (100, 10_000),
            (after_s - 1, 86_400),
        ] {
            let (mut now, mut awake_late) = (S(1000), Duration::ZERO);
            let mut suspended = false;
            while let Some(sleep) = due.sleep(now) {
                let wake = now + sleep;
                if !suspended && wake > S(1000 + from_s) {
                    // The timer counts on only after the suspend.
                    suspended = true;
                    now = wake + S(for_s);
                    awake_late = now.saturating_sub(due.at()).min(sleep);
                } else {
                    now = wake;
                }
            }
            let resumed = S(1000 + from_s + for_s);
            let possible = due.at().max(resumed);
            assert!(
                now <= possible + SLEEP_MAX,
                "{from_s}+{for_s}: due at {possible:?}, awake at {now:?}"
            );
            assert!(awake_late <= SLEEP_MAX);
        }
    }

    #[test]
    fn skew_is_measured_in_the_middle_of_the_call_and_named() {
        let check = |sent, received, server, ahead, error, harmful, text: &str| {
            let skew = Skew::measured(sent, received, server);
            assert_eq!(
                (skew.ahead_ms(), skew.error_ms(), skew.is_harmful()),
                (ahead, error, harmful)
            );
            assert_eq!(
                skew.to_string(),
                format!("this machine's clock is {text}; set it right (NTP)")
            );
        };
        check(0, 0, 0, 0, 0, false, "0 s ahead of the CA's");
        check(1000, 1200, 1100, 0, 100, false, "0 s ahead of the CA's");
        check(
            181_000,
            181_200,
            1100,
            180_000,
            100,
            true,
            "180 s ahead of the CA's",
        );
        check(
            1000,
            1200,
            181_100,
            -180_000,
            100,
            true,
            "180 s behind the CA's",
        );
        check(
            0,
            100_000,
            10_000,
            40_000,
            50_000,
            false,
            "40 s ahead of the CA's",
        );
        // Clocks of no sense at all are no reason to fall over.
        assert!(Skew::measured(i64::MAX, i64::MAX, i64::MIN).is_harmful());
        assert!(!Skew::measured(i64::MIN, i64::MAX, 0).is_harmful());
    }
}
