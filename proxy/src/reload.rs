//! Takes what changed on disk: configuration, policy, key, certificate, bundle. Whole, or not at all.
//!
//! In: the contents of the files, looked at twice a second, and generations of identity as their source takes them. Out: the
//! next snapshot in force, or every finding in the log and the old snapshot still serving. What was refused is tried again
//! at every look: the mistake may be in any file that the configuration names.

use crate::listeners::Listeners;
use crate::pages::Pages;
use crate::snapshot::Snapshot;
use crate::wanted::{StartError, Wanted, about, open_log, texts};
use crate::world::World;
use config::Finding;
use identity::Current;
use identity::source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Contents are compared, not time stamps: every way of replacing a file is seen, and touching one changes nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A refusal is told at this look.
const LOOKS_BEFORE_TELLING: u32 = 2;
/// How long the connections of a listener that is gone may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a running sidecar keeps to reload itself.
pub(crate) struct Reload {
    path: PathBuf,
    wanted: Arc<Wanted>,
    current: Current,
    watching: JoinHandle<()>,
    world: Arc<World>,
    listeners: Arc<Mutex<Listeners>>,
    pages: Arc<Pages>,
    /// What the last look refused, and how many looks in a row did.
    refused: Option<(Vec<Finding>, u32)>,
}

impl Reload {
    pub(crate) fn new(
        path: &Path,
        wanted: Wanted,
        source: Source,
        world: Arc<World>,
        listeners: Arc<Mutex<Listeners>>,
        pages: Arc<Pages>,
    ) -> Self {
        let current = source.current();
        let watching = tokio::spawn(source.run());
        Self {
            path: path.to_owned(),
            wanted: Arc::new(wanted),
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
        let (path, in_force) = (self.path.clone(), self.wanted.clone());
        // A file system that hangs must not stop the thread that serves.
        let looked = tokio::task::spawn_blocking(move || differing(&path, &in_force));
        let outcome = match looked.await {
            Ok(Some(Ok((next, source)))) => self.take(next, source).await,
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => {
                self.refused = None;
                return;
            }
            // The process is ending.
            Err(_) => return,
        };
        match outcome {
            Ok(()) => {
                self.refused = None;
                tracing::info!(
                    generation = self.world.snapshot().number,
                    "new configuration in force"
                );
            }
            Err(error) => self.tell(&error),
        }
    }

    /// Says what was refused when it was refused twice, once: a writer who is not done is no news.
    fn tell(&mut self, error: &StartError) {
        let findings = about(&self.path, error);
        let looks = match self.refused.take() {
            Some((refused, looks)) if refused == findings => looks.saturating_add(1),
            _ => 1,
        };
        if looks == LOOKS_BEFORE_TELLING {
            for finding in &findings {
                tracing::error!("not taken: {finding}");
            }
            tracing::error!("the configuration in force stays as it was");
        }
        self.refused = Some((findings, looks));
    }

    /// Opens everything that can fail, then puts it into force.
    async fn take(&mut self, next: Wanted, source: Option<Source>) -> Result<(), StartError> {
        let access_log = if next.config.telemetry == self.wanted.config.telemetry {
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
        self.wanted = Arc::new(next);
        if let Some(source) = source {
            self.current = source.current();
            self.watching.abort();
            self.watching = tokio::spawn(source.run());
        }
        self.publish(self.current.newer_than(0).await, access_log);
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

/// What is on disk, if it differs from what is in force, read whole and checked; with it the identity's files, if they are
/// other ones.
fn differing(
    path: &Path,
    in_force: &Wanted,
) -> Option<Result<(Wanted, Option<Source>), StartError>> {
    if texts(path, in_force.config.policy.as_deref()).as_ref() == Some(&in_force.texts) {
        return None;
    }
    let read = || {
        let next = Wanted::load(path).map_err(StartError::Config)?;
        let source = (next.config.identity != in_force.config.identity)
            .then(|| Source::open(&next.config.identity).map_err(StartError::Identity))
            .transpose()?;
        Ok((next, source))
    };
    Some(read())
}
