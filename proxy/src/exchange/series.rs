//! How long the requests of one connection took, by what is said of each in the metrics.
//!
//! A connection uses few series, so a look-up is a short scan instead of a hash of seven labels.

use crate::whom::Whom;
use http::Method;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::{Direction, RequestLabels, RequestSeries, SidecarMetrics, Verdict};

/// What tells the requests of one connection apart.
#[derive(Clone, PartialEq)]
pub(super) struct Key {
    /// To whom it went, on an outbound listener.
    pub(super) to: Option<Arc<Whom>>,
    /// Its method.
    pub(super) method: Method,
    /// The status that its caller got; 0: none.
    pub(super) code: u16,
    /// What policy said of it.
    pub(super) verdict: Verdict,
}

/// What all requests of one connection have in common.
pub(super) struct Common<'a> {
    /// Where they are counted.
    pub(super) metrics: &'a SidecarMetrics,
    /// Which way their listener looks.
    pub(super) direction: Direction,
    /// Its name.
    pub(super) listener: &'a str,
    /// Who asks, on inbound connections.
    pub(super) peer_id: Option<&'a str>,
}

/// The series that one connection used.
#[derive(Default)]
pub(super) struct Known(Mutex<Vec<(Key, RequestSeries)>>);

/// They are forgotten beyond this many: methods are the caller's to invent.
const SERIES_KEPT_MAX: usize = 64;

impl Known {
    /// One took so long.
    pub(super) fn observe(&self, common: &Common<'_>, key: &Key, took: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, series)) = known.iter().find(|(have, _)| have == key) {
            series.observe(took);
            return;
        }
        let series = common.metrics.requests(&key.labels(common));
        series.observe(took);
        if known.len() >= SERIES_KEPT_MAX {
            known.clear();
        }
        known.push((key.clone(), series));
    }
    /// They are looked up again when they are next used.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }
}

impl Key {
    fn labels<'a>(&'a self, common: &Common<'a>) -> RequestLabels<'a> {
        RequestLabels {
            direction: common.direction,
            listener: common.listener,
            service: self.to.as_ref().map_or("", |to| &*to.service),
            peer: match (common.peer_id, &self.to) {
                (Some(peer), _) => peer,
                (None, Some(to)) => to.peer_id(),
                (None, None) => "",
            },
            method: self.method.as_str(),
            code: self.code,
            verdict: self.verdict,
        }
    }
}
