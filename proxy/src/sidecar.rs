//! A whole sidecar: from a configuration file to what runs.

use crate::listeners::Listeners;
use crate::pages::Pages;
use crate::reload::Reload;
use crate::snapshot::Snapshot;
use crate::wanted::{StartError, Wanted, open_log};
use crate::world::World;
use daemon::health::Health;
use identity::source::Source;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telemetry::SidecarMetrics;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A sidecar that runs. Dropping it cuts everything; [`Running::end`] ends it well.
pub struct Running {
    world: Arc<World>,
    health: Arc<Health>,
    listeners: Arc<Mutex<Listeners>>,
    reload: JoinHandle<()>,
}

/// Starts a sidecar from its configuration file.
///
/// Serves only when certificate, policy and every listener are there; otherwise says everything that is wrong and leaves
/// nothing running. Needs a tokio runtime.
pub async fn start(path: &Path) -> Result<Running, StartError> {
    let wanted = Wanted::load(path).map_err(StartError::Config)?;
    let source = Source::open(&wanted.config.identity).map_err(StartError::Identity)?;
    let metrics = SidecarMetrics::new();
    let access_log = open_log(wanted.config.telemetry.access_log.as_ref(), &metrics)?;
    let mut listeners = Listeners::default();
    let fresh = listeners
        .bind(&wanted.config)
        .await
        .map_err(StartError::Listen)?;

    let health = Arc::new(Health::waiting_for(&[("listeners", "not open yet")]));
    let first = source.current().newer_than(0).await;
    let id = first.svid().leaf().id.clone();
    let snapshot = Snapshot::build(wanted.ingredients(first, access_log), None, &metrics);
    let world = World::new(snapshot, metrics);
    let pages = Pages::new(world.clone(), health.clone());
    listeners.apply(fresh, &wanted.config, &world, &pages, Duration::ZERO);
    health.up("listeners");
    tracing::info!(%id, "started");

    let listeners = Arc::new(Mutex::new(listeners));
    let reload = Reload::new(
        path,
        wanted,
        source,
        world.clone(),
        listeners.clone(),
        pages,
    );
    let reload = tokio::spawn(reload.run());
    Ok(Running {
        world,
        health,
        listeners,
        reload,
    })
}

impl Running {
    /// Where a listener listens, by its name in the configuration, or `metrics`, `health`, `admin`.
    pub async fn address(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.lock().await.address(name)
    }
    /// The number of the snapshot in force: grows with every reload and every new identity.
    pub fn generation(&self) -> u64 {
        self.world.snapshot().number
    }
    /// Resolves when a snapshot newer than `seen` is in force.
    pub async fn newer_than(&self, seen: u64) {
        // The sender lives in `world`.
        let _ = self.world.numbers().wait_for(|number| *number > seen).await;
    }
    /// Stops accepting, lets what is in flight end within `patience`, cuts the rest; returns how many connections were cut.
    pub async fn end(self, patience: Duration) -> usize {
        self.health.drain();
        self.reload.abort();
        let cut = self.listeners.lock().await.end(patience).await;
        if let Some(access_log) = &self.world.snapshot().access_log {
            access_log.flush();
        }
        cut
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reload.abort();
    }
}
