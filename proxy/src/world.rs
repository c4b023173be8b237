//! The snapshot in force, and what outlives it.

use crate::answer::{Cause, Refusal};
use crate::exposure::Exposure;
use crate::files;
use crate::load::Load;
use crate::news::News;
use crate::passthrough::Passthrough;
use crate::snapshot::Snapshot;
use crate::trail::Trail;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use telemetry::SidecarMetrics;
use tokio::sync::watch;

/// Shared by every listener of one sidecar.
pub(crate) struct World {
    snapshot: ArcSwap<Snapshot>,
    number: watch::Sender<u64>,
    /// The key of what it leaves on requests.
    pub(crate) trail: Trail,
    /// Where everything is counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    /// Which apps are reached only through us.
    pub(crate) exposure: Exposure,
    /// Where requests go that name no service.
    pub(crate) passthrough: Passthrough,
    /// Who holds how much.
    pub(crate) load: Arc<Load>,
}

impl World {
    /// The world of a sidecar that begins with this snapshot; `number` hears of every one after it, and of it from who opens.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        number: watch::Sender<u64>,
        metrics: Arc<SidecarMetrics>,
    ) -> Arc<Self> {
        let world = Self {
            load: Load::new(&snapshot.config.limits),
            snapshot: ArcSwap::new(snapshot.clone()),
            number,
            trail: Trail::new(),
            metrics,
            exposure: Exposure::default(),
            passthrough: Passthrough::default(),
        };
        world.tell(&snapshot);
        snapshot.warn_of_clear_text(None);
        files::warn_of_few(&snapshot.config, None);
        Arc::new(world)
    }
    /// The snapshot in force: a few nanoseconds. Not to be held across an await.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }
    /// Puts the next snapshot into force.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.tell(&snapshot);
        self.load.set(&snapshot.config.limits);
        snapshot.warn_of_clear_text(Some(&self.snapshot()));
        self.passthrough.keep_for(&snapshot);
        files::warn_of_few(&snapshot.config, Some(&self.snapshot().config));
        let number = snapshot.number;
        self.snapshot.store(snapshot);
        self.number.send_replace(number);
    }
    /// Whether an app may be called whose port must be closed to everybody else.
    pub(crate) fn app_is_closed(&self, port: Option<u16>) -> Result<(), Refusal> {
        match port {
            Some(port) if !self.exposure.is_closed(port) => {
                Err(Refusal::unsent(Cause::Unavailable, "app_exposed"))
            }
            Some(_) | None => Ok(()),
        }
    }
    /// What hears of every snapshot after the one of this number.
    pub(crate) fn news(&self, seen: u64) -> News {
        News::since(seen, self.number.subscribe())
    }
    fn tell(&self, snapshot: &Snapshot) {
        self.metrics.set_generation(snapshot.number);
        let expiry = snapshot.identity.expiry();
        self.metrics.set_expiry("leaf", Some(expiry.leaf));
        self.metrics.set_expiry("issuer", expiry.issuer);
        self.metrics.set_expiry("root", expiry.root);
    }
}
