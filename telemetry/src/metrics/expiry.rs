//! How long the certificates in use still hold, computed when asked.
use super::labels::Labels;
use crate::names::Metric;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The end of each kind of certificate in use.
#[derive(Debug)]
pub(super) struct Expiries {
    metric: &'static Metric,
    ends: Mutex<BTreeMap<&'static str, SystemTime>>,
}

impl Expiries {
    /// Shown under the name of this metric.
    pub(super) fn of(metric: &'static Metric) -> Self {
        Expiries {
            metric,
            ends: Mutex::default(),
        }
    }

    pub(super) fn set(&self, what: &'static str, at: SystemTime) {
        self.ends().insert(what, at);
    }

    pub(super) fn unset(&self, what: &'static str) {
        self.ends().remove(what);
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<&'static str, SystemTime>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds from `now` to `at`, negative when that has passed.
fn seconds_left(at: SystemTime, now: SystemTime) -> f64 {
    match at.duration_since(now) {
        Ok(left) => left.as_secs_f64(),
        Err(ended) => -ended.duration().as_secs_f64(),
    }
}

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ends = self.ends().clone();
        let now = SystemTime::now();
        let mut family = encoder.encode_descriptor(
            self.metric.family(),
            self.metric.help,
            None,
            MetricType::Gauge,
        )?;
        for (what, at) in ends {
            let labels = Labels::new(self.metric, [what.into()]);
            ConstGauge::new(seconds_left(at, now)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_time_left_is_negative_after_the_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(seconds_left(now + Duration::from_secs(30), now), 30.0);
        assert_eq!(seconds_left(now - Duration::from_secs(30), now), -30.0);
    }
}
