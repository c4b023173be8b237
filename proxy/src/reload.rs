//! Takes what changed on disk: configuration, policy, key, certificate, bundle. Whole, or not at all.
//!
//! In: the contents of the files, looked at twice a second, and generations of identity as their source takes them. Out: the
//! next snapshot in force, or every finding in the log and the old snapshot still serving.

use crate::listeners::Listeners;
use crate::pages::Pages;
use crate::snapshot::Snapshot;
use crate::wanted::{StartError, Texts, Wanted, about, open_log, texts};
use crate::world::World;
use identity::Current;
use identity::source::files::FilesSource;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Contents are compared, not time stamps: every way of replacing a file is seen, and touching one changes nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the connections of a listener that is gone may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a running sidecar keeps to reload itself.
pub(crate) struct Reload {
    path: PathBuf,
    wanted: Wanted,
    current: Current,
    watching: JoinHandle<()>,
    world: Arc<World>,
    listeners: Arc<Mutex<Listeners>>,
    pages: Arc<Pages>,
    /// What was refused last: said once, not twice a second.
    refused: Option<Texts>,
}

impl Reload {
    pub(crate) fn new(
        path: &Path,
        wanted: Wanted,
        source: FilesSource,
        world: Arc<World>,
        listeners: Arc<Mutex<Listeners>>,
        pages: Arc<Pages>,
    ) -> Self {
        let current = source.current();
        let watching = watch(source);
        Self {
            path: path.to_owned(),
            wanted,
            current,
            watching,
            world,
            listeners,
            pages,
            refused: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let in_force = self.world.snapshot().identity.number();
            tokio::select! {
                identity = self.current.newer_than(in_force) => {
                    tracing::info!(generation = identity.number(), serial = %identity.svid().leaf().serial, "new identity in force");
                    self.publish(identity, self.world.snapshot().access_log.clone());
                }
                _ = look.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let Some(seen) = texts(&self.path, self.wanted.config.policy.as_deref()) else {
            return;
        };
        if seen == self.wanted.texts || self.refused.as_ref() == Some(&seen) {
            return;
        }
        match self.take().await {
            Ok(()) => {
                self.refused = None;
                tracing::info!(
                    generation = self.world.snapshot().number,
                    "new configuration in force"
                );
            }
            Err(error) => {
                for finding in about(&self.path, &error) {
                    tracing::error!("not taken: {finding}");
                }
                tracing::error!("the configuration in force stays as it was");
                self.refused = Some(seen);
            }
        }
    }

    /// Builds everything that can fail, then puts it into force.
    async fn take(&mut self) -> Result<(), StartError> {
        let next = Wanted::load(&self.path).map_err(StartError::Config)?;
        let before = self.wanted.config.clone();
        let source = if next.config.identity == before.identity {
            None
        } else {
            Some(FilesSource::open(&next.config.identity).map_err(StartError::Identity)?)
        };
        let access_log = if next.config.telemetry == before.telemetry {
            self.world.snapshot().access_log.clone()
        } else {
            open_log(
                next.config.telemetry.access_log.as_ref(),
                &self.world.metrics,
            )?
        };
        let mut listeners = self.listeners.lock().await;
        let fresh = listeners
            .bind(&next.config)
            .await
            .map_err(StartError::Listen)?;
        self.wanted = next;
        if let Some(source) = source {
            self.current = source.current();
            self.watching.abort();
            self.watching = watch(source);
        }
        self.publish(self.current.load(), access_log);
        listeners.apply(
            fresh,
            &self.wanted.config,
            &self.world,
            &self.pages,
            PATIENCE,
        );
        Ok(())
    }

    fn publish(
        &self,
        identity: Arc<identity::Generation>,
        access_log: Option<telemetry::AccessLog>,
    ) {
        let previous = Arc::clone(&self.world.snapshot());
        let next = Snapshot::build(
            self.wanted.ingredients(identity, access_log),
            Some(&previous),
            &self.world.metrics,
        );
        self.world.publish(next);
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn watch(source: FilesSource) -> JoinHandle<()> {
    tokio::spawn(source.watch(|outcome| match outcome {
        Ok(generation) => tracing::debug!(generation, "identity files taken"),
        Err(error) => tracing::warn!("identity files not taken: {error}"),
    }))
}
