//! A value that is shown only while it is known.
use crate::names::Metric;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A gauge without labels that may have no value: zero would be one.
#[derive(Debug)]
pub(super) struct Known {
    metric: &'static Metric,
    value: Mutex<Option<f64>>,
}

impl Known {
    /// Shown under the name of this metric.
    pub(super) fn of(metric: &'static Metric) -> Self {
        Known {
            metric,
            value: Mutex::default(),
        }
    }

    pub(super) fn set(&self, value: Option<f64>) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let value = *self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = value else {
            return Ok(());
        };
        let metric = encoder.encode_descriptor(
            self.metric.family(),
            self.metric.help,
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(value).encode(metric)
    }
}
