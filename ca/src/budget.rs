//! How much strangers may cost, apart for each thing that they can ask for.
//!
//! In: who asks and when. Out: a place, or how long to wait. No clock of its own.
//!
//! 1. Renewals take no place here: a flood of joins cannot delay one.
//! 2. What a stranger can make us remember is bounded; who is forgotten starts with a full measure.

use crate::refusal::Refusal;
use config::unit::Rate;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many askers one meter remembers: some 100 bytes each.
const ASKERS_MAX: usize = 16 * 1024;

/// Measures each asker against one rate.
#[derive(Debug)]
pub(crate) struct Meter<K> {
    rate: Rate,
    askers: Mutex<HashMap<K, Level>>,
}

/// What an asker had used at a moment, in times.
#[derive(Clone, Copy, Debug)]
struct Level {
    used: f64,
    at: Instant,
}

/// How somebody can fail before it is known who it is. Each has its own measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// What was sent cannot be read.
    Malformed,
    /// A token that does not admit.
    Join,
    /// A proof of a key that does not hold.
    Proof,
}

/// Failures of one source, apart by kind: bad joins from an address do not keep out who proves a key there.
#[derive(Debug)]
pub(crate) struct Failures([Meter<IpAddr>; 3]);

impl Failures {
    pub(crate) fn new(rate: Rate) -> Self {
        Failures([Meter::new(rate), Meter::new(rate), Meter::new(rate)])
    }

    /// Begins an attempt, unless too many failed before.
    pub(crate) fn begin(
        &self,
        how: Failed,
        source: &IpAddr,
        now: Instant,
    ) -> Result<Attempt<'_>, Refusal> {
        let meter = &self.0[how as usize];
        let fits = meter.fits(source, now);
        fits.map_err(|retry| Refusal::Source { retry })?;
        Ok(Attempt {
            meter,
            source: *source,
            fails: true,
        })
    }

    /// Counts a failure, or says that there were too many before.
    pub(crate) fn take(&self, how: Failed, source: &IpAddr, now: Instant) -> Result<(), Refusal> {
        let taken = self.0[how as usize].take(source, now);
        taken.map_err(|retry| Refusal::Source { retry })
    }
}

/// An attempt under way. It counts as a failure unless it ended as none: also when who asked went away meanwhile, which would
/// otherwise make trying free.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<'a> {
    meter: &'a Meter<IpAddr>,
    source: IpAddr,
    fails: bool,
}

impl Attempt<'_> {
    /// It has ended, and says how.
    pub(crate) fn ended(mut self, failed: bool) {
        self.fails = failed;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.fails {
            self.meter.count(&self.source, Instant::now());
        }
    }
}

/// What counts as one source: an address of IPv4, a network of 64 bits of IPv6, which is the least that anybody gets.
pub(crate) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

impl<K: Eq + Hash + Clone> Meter<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Meter {
            rate,
            askers: Mutex::default(),
        }
    }

    /// Whether one more fits; takes nothing.
    pub(crate) fn fits(&self, asker: &K, now: Instant) -> Result<(), Duration> {
        let askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let used = askers
            .get(asker)
            .map_or(0.0, |level| self.used(*level, now));
        let over = used + 1.0 - f64::from(self.rate.times);
        if over <= 0.0 {
            return Ok(());
        }
        Err(Duration::from_secs_f64(over / self.per_second()))
    }

    /// Takes one, or says when there will be one.
    pub(crate) fn take(&self, asker: &K, now: Instant) -> Result<(), Duration> {
        self.fits(asker, now)?;
        self.count(asker, now);
        Ok(())
    }

    /// Takes one whether it fits or not; more than the measure is not held against the asker.
    pub(crate) fn count(&self, asker: &K, now: Instant) {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = askers.get(asker);
        let used = before.map_or(0.0, |level| self.used(*level, now));
        // Who began earlier may be counted later: what was counted meanwhile is not forgotten for that.
        let at = before.map_or(now, |level| level.at.max(now));
        if askers.len() >= ASKERS_MAX && !askers.contains_key(asker) {
            askers.retain(|_, level| self.used(*level, now) > 0.0);
            if askers.len() >= ASKERS_MAX {
                askers.clear();
            }
        }
        let used = (used + 1.0).min(f64::from(self.rate.times));
        askers.insert(asker.clone(), Level { used, at });
    }

    fn used(&self, level: Level, now: Instant) -> f64 {
        let since = now.saturating_duration_since(level.at).as_secs_f64();
        (level.used - since * self.per_second()).max(0.0)
    }

    fn per_second(&self) -> f64 {
        f64::from(self.rate.times) / self.rate.per.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TEN_A_MINUTE: Rate = Rate {
        times: 10,
        per: Duration::from_secs(60),
    };

    #[test]
    fn an_asker_has_its_measure_at_once_and_then_one_at_a_time() {
        let (meter, start) = (Meter::new(TEN_A_MINUTE), Instant::now());
        for _ in 0..10 {
            assert_eq!(meter.take(&"a", start), Ok(()));
        }

        assert_eq!(meter.take(&"a", start), Err(Duration::from_secs(6)));
        assert_eq!(meter.take(&"b", start), Ok(()));
        let later = start + Duration::from_millis(6001);
        assert_eq!(meter.take(&"a", later), Ok(()));
        assert!(meter.take(&"a", later).is_err());
    }

    #[test]
    fn failures_beyond_the_measure_do_not_lengthen_the_wait() {
        let (meter, start) = (Meter::new(TEN_A_MINUTE), Instant::now());
        for _ in 0..1000 {
            meter.count(&"a", start);
        }

        assert_eq!(meter.fits(&"a", start), Err(Duration::from_secs(6)));
        assert_eq!(meter.fits(&"a", start + Duration::from_secs(7)), Ok(()));
    }

    #[test]
    fn an_attempt_that_nobody_waits_for_any_more_has_failed() {
        let failures = Failures::new(TEN_A_MINUTE);
        let source = source_of(IpAddr::from([10, 0, 0, 1]));
        let begin = || failures.begin(Failed::Join, &source, Instant::now());
        for _ in 0..100 {
            begin().unwrap().ended(false);
        }
        for _ in 0..10 {
            drop(begin().unwrap());
        }

        assert_eq!(begin().unwrap_err().reason(), "source_limit");
        let other = failures.begin(Failed::Proof, &source, Instant::now());
        assert!(other.is_ok(), "each kind has its own measure");
    }

    #[test]
    fn what_began_long_ago_does_not_wipe_out_what_failed_since() {
        let (meter, start) = (Meter::new(TEN_A_MINUTE), Instant::now());
        let now = start + Duration::from_secs(60);
        for _ in 0..10 {
            meter.count(&"a", now);
        }

        meter.count(&"a", start);

        assert!(meter.fits(&"a", now).is_err());
    }

    #[test]
    fn a_crowd_of_askers_is_not_remembered_whole() {
        let (meter, start) = (Meter::new(TEN_A_MINUTE), Instant::now());
        for asker in 0..3 * ASKERS_MAX {
            meter.count(&asker, start);
        }

        let remembered = meter.askers.lock().map_or(0, |askers| askers.len());
        assert!((1..=ASKERS_MAX).contains(&remembered), "{remembered}");
    }
}
