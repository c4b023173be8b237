//! How much strangers may cost, apart for each thing that they can ask for.
//!
//! In: who asks and when. Out: a place, or how long to wait. No clock of its own.
//!
//! 1. Renewals take no place here: a flood of joins cannot delay one.
//! 2. What a stranger can make us remember is bounded; who is forgotten starts with a full measure.

use config::unit::Rate;
use std::collections::HashMap;
use std::hash::Hash;
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
        let used = askers
            .get(asker)
            .map_or(0.0, |level| self.used(*level, now));
        if askers.len() >= ASKERS_MAX && !askers.contains_key(asker) {
            askers.retain(|_, level| self.used(*level, now) > 0.0);
            if askers.len() >= ASKERS_MAX {
                askers.clear();
            }
        }
        let used = (used + 1.0).min(f64::from(self.rate.times));
        askers.insert(asker.clone(), Level { used, at: now });
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
    fn a_crowd_of_askers_is_not_remembered_whole() {
        let (meter, start) = (Meter::new(TEN_A_MINUTE), Instant::now());
        for asker in 0..3 * ASKERS_MAX {
            meter.count(&asker, start);
        }

        let remembered = meter.askers.lock().map_or(0, |askers| askers.len());
        assert!((1..=ASKERS_MAX).contains(&remembered), "{remembered}");
    }
}
