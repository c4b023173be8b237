//! What every upstream of a sidecar is made with, and what outlives each of them.

use super::names::Names;
use super::own::Own;
use config::sidecar::Dns;
use std::sync::Arc;
use telemetry::SidecarMetrics;

/// Shared by the upstreams of one sidecar.
pub(crate) struct Means {
    /// Where everything is counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    /// Where we listen ourselves.
    pub(crate) own: Arc<Own>,
    /// What names stand for: known to the upstreams of the next generation as it was to those of the last.
    pub(crate) names: Names,
    dns: Dns,
}

impl Means {
    /// Means that ask the DNS so.
    pub(crate) fn new(metrics: Arc<SidecarMetrics>, own: Arc<Own>, dns: &Dns) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            own,
            names: Names::new(dns.servers.clone()),
            dns: dns.clone(),
        })
    }
    /// These, if they ask the DNS so, else others.
    pub(crate) fn asking(self: &Arc<Self>, dns: &Dns) -> Arc<Self> {
        match self.dns == *dns {
            true => self.clone(),
            false => Self::new(self.metrics.clone(), self.own.clone(), dns),
        }
    }
}
