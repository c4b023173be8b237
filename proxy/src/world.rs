//! The snapshot in force, and what outlives it.

use crate::snapshot::Snapshot;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use telemetry::SidecarMetrics;
use tokio::sync::watch;

/// Shared by every listener of one sidecar.
pub(crate) struct World {
    snapshot: ArcSwap<Snapshot>,
    number: watch::Sender<u64>,
    /// Where everything is counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
}

impl World {
    /// The world of a sidecar that begins with this snapshot; `number` hears of every one after it, and of it from who opens.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        number: watch::Sender<u64>,
        metrics: Arc<SidecarMetrics>,
    ) -> Arc<Self> {
        let world = Self {
            snapshot: ArcSwap::new(snapshot.clone()),
            number,
            metrics,
        };
        world.tell(&snapshot);
        Arc::new(world)
    }
    /// The snapshot in force: a few nanoseconds. Not to be held across an await.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }
    /// Puts the next snapshot into force.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.tell(&snapshot);
        let number = snapshot.number;
        self.snapshot.store(snapshot);
        self.number.send_replace(number);
    }
    fn tell(&self, snapshot: &Snapshot) {
        self.metrics.set_generation(snapshot.number);
        let expiry = snapshot.identity.expiry();
        self.metrics.set_expiry("leaf", Some(expiry.leaf));
        self.metrics.set_expiry("issuer", expiry.issuer);
        self.metrics.set_expiry("root", expiry.root);
    }
}
