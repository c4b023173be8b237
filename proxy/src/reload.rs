//! Keeps a sidecar what its files and its source of identity say it is. Whole, or not at all.
//!
//! In: the contents of the files, looked at twice a second, and generations of identity as their source gives them. Out: the
//! next snapshot in force, or every finding in the log and the old snapshot still serving. What was refused is tried again
//! at every look: the mistake may be in any file that the configuration names.
//!
//! 1. Nothing carries traffic before there is an identity; with the first one everything opens.
//! 2. A configuration whose identity comes from elsewhere waits for its first one, and the old serves until then.
//! 3. A source is told what new handshakes use after they do, never before.

use crate::attached::Attached;
use crate::listeners::{Fresh, Listeners, Listening};
use crate::outlook::{Outlook, shared_state};
use crate::pages::{Pages, Shown};
use crate::snapshot::Snapshot;
use crate::start_error::{StartError, about};
use crate::wanted::{Texts, Wanted, open_log, texts};
use crate::world::World;
use config::Finding;
use identity::Generation;
use identity::source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::AccessLog;
use tokio::sync::{Mutex, watch};

/// Contents are compared, not time stamps: every way of replacing a file is seen, and touching one changes nothing. How our
/// identity stands is judged as often, so that neither a suspend nor a clock that was set goes unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A refusal is told at this look.
const LOOKS_BEFORE_TELLING: u32 = 2;
/// How long the connections of a listener that is gone may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a running sidecar keeps to change itself.
pub(crate) struct Reload {
    path: PathBuf,
    wanted: Arc<Wanted>,
    source: Attached,
    /// The generation of the source that was last put into force, or tried; 0: none.
    seen: u64,
    access_log: Option<AccessLog>,
    world: Option<Arc<World>>,
    /// Taken, and waiting for the first identity of its source.
    next: Option<Next>,
    numbers: watch::Sender<u64>,
    listeners: Arc<Mutex<Listeners>>,
    pages: Arc<Pages>,
    /// What the last look refused, and how many looks in a row did.
    refused: Option<(Vec<Finding>, u32)>,
    /// How our identity stood when that was last logged.
    told: Option<Outlook>,
}

/// A configuration on its way into force: all of it that can fail has not.
struct Next {
    wanted: Wanted,
    /// `None`: the identity comes from where it came from before.
    source: Option<Attached>,
    access_log: Option<AccessLog>,
    fresh: Fresh,
}

impl Reload {
    pub(crate) fn new(
        path: &Path,
        wanted: Arc<Wanted>,
        source: Attached,
        access_log: Option<AccessLog>,
        numbers: watch::Sender<u64>,
        listeners: Arc<Mutex<Listeners>>,
        pages: Arc<Pages>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            wanted,
            source,
            seen: 0,
            access_log,
            world: None,
            next: None,
            numbers,
            listeners,
            pages,
            refused: None,
            told: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.say();
            let (current, standing) = (self.source.current.clone(), self.source.standing.clone());
            let state = standing.load();
            let awaited = self.next.as_ref().and_then(|next| next.source.as_ref());
            let awaited = awaited.map(|source| source.current.clone());
            tokio::select! {
                identity = current.newer_than(self.seen) => self.take_identity(identity).await,
                () = first(awaited) => self.take_next().await,
                _ = standing.changed(&state) => {}
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Says how our identity stands: health always, the log what is news.
    pub(crate) fn say(&mut self) {
        let outlook = self.pages.outlook();
        self.pages.say(&outlook);
        outlook.log(self.told.as_ref());
        self.told = Some(outlook);
    }

    /// Puts the identity that is there into force, if one is: with the first one everything opens.
    pub(crate) async fn begin(&mut self) -> Result<(), StartError> {
        match self.source.current.load() {
            Some(identity) => self.enter(identity).await,
            None => Ok(()),
        }
    }

    async fn take_identity(&mut self, identity: Arc<Generation>) {
        if self.world.is_none() {
            if let Err(error) = self.enter(identity).await {
                tracing::error!("not open: {error}; it is tried again");
            }
            return;
        }
        let leaf = identity.svid().leaf();
        tracing::info!(generation = identity.number(), serial = %leaf.serial, "new identity in force");
        self.publish(identity);
    }

    /// The first identity: from here on there is something in force.
    async fn enter(&mut self, identity: Arc<Generation>) -> Result<(), StartError> {
        self.seen = identity.number();
        let id = identity.svid().leaf().id.clone();
        self.publish(identity);
        let opened = self.open().await;
        // Only now: who waited for it may call at once.
        if let Some(world) = &self.world {
            self.numbers.send_replace(world.snapshot().number);
        }
        opened?;
        tracing::info!(%id, "started");
        Ok(())
    }

    /// Opens what waited for an identity.
    async fn open(&mut self) -> Result<(), StartError> {
        let Some(world) = &self.world else {
            return Ok(());
        };
        let mut listeners = self.listeners.lock().await;
        let opened = listeners
            .enter(&self.wanted.config, world, &self.pages)
            .await;
        match &opened {
            Ok(()) => self.pages.health.up("listeners"),
            Err(error) => self.pages.health.down("listeners", error.to_string()),
        }
        opened.map_err(StartError::Listen)
    }

    async fn look(&mut self) {
        if self.world.is_some()
            && self.pages.health.is_down("listeners")
            && self.open().await.is_ok()
        {
            tracing::info!("started");
        }
        let mut looked = self.differing().await;
        if let Some(Look::Differs(read)) = &looked
            && matches!(**read, Err(StartError::StateHeld(_)))
            && self.world.is_none()
        {
            // What it holds brought nobody an identity yet: who comes after it may have it.
            self.source.release().await;
            looked = self.differing().await;
        }
        let outcome = match looked {
            Some(Look::Differs(read)) => {
                // What was to come is not wanted any more; its source lets go of what the next one may need.
                self.next = None;
                match *read {
                    Ok((next, source)) => self.take(next, source).await,
                    Err(error) => Err(error),
                }
            }
            Some(Look::InForce) => {
                self.next = None;
                self.refused = None;
                return self.take_back().await;
            }
            Some(Look::Awaited) | None => return,
        };
        match outcome {
            Ok(()) => self.refused = None,
            Err(error) => self.tell(&error),
        }
    }

    /// What is on disk; `None`: the process is ending.
    async fn differing(&self) -> Option<Look> {
        let (path, in_force) = (self.path.clone(), self.wanted.clone());
        let awaited = self.next.as_ref().map(|next| next.wanted.texts.clone());
        let released = self.source.is_released();
        // A file system that hangs must not stop the thread that serves.
        tokio::task::spawn_blocking(move || differing(&path, &in_force, awaited, released))
            .await
            .ok()
    }

    /// What was released for another configuration is wanted again.
    async fn take_back(&mut self) {
        if !self.source.is_released() {
            return;
        }
        let wanted = self.wanted.clone();
        let opened = tokio::task::spawn_blocking(move || Source::open(&wanted.config.identity));
        let opened = match opened.await {
            Ok(opened) => opened.map_err(StartError::Identity),
            Err(_) => return,
        };
        match opened {
            Ok(source) => {
                self.source = Attached::start(source);
                self.pages.show(Shown {
                    wanted: self.wanted.clone(),
                    standing: self.source.standing.clone(),
                });
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

    /// Opens everything that can fail, then puts it into force, at once or as soon as there is an identity for it.
    async fn take(&mut self, wanted: Wanted, source: Option<Source>) -> Result<(), StartError> {
        let access_log = if wanted.config.telemetry == self.wanted.config.telemetry {
            self.access_log.clone()
        } else {
            open_log(
                wanted.config.telemetry.access_log.as_ref(),
                &self.pages.metrics,
            )
            .map_err(|(path, error)| StartError::AccessLog(path, error))?
        };
        let identified = |source: &Source| source.current().load().is_some();
        let waits = self.world.is_some() && !source.as_ref().is_none_or(identified);
        let listening = match (waits, &self.world) {
            (true, _) => Listening::Nobody,
            (false, Some(_)) => Listening::All,
            (false, None) => Listening::Pages,
        };
        let fresh = {
            let listeners = self.listeners.lock().await;
            let bound = listeners.bind(&wanted.config, listening).await;
            bound.map_err(StartError::Listen)?
        };
        self.next = Some(Next {
            wanted,
            source: source.map(Attached::start),
            access_log,
            fresh,
        });
        if waits {
            tracing::info!("new configuration read; it waits for its first identity");
            return Ok(());
        }
        self.take_next().await;
        Ok(())
    }

    /// Puts what was taken into force.
    async fn take_next(&mut self) {
        let Some(next) = self.next.take() else {
            return;
        };
        self.wanted = Arc::new(next.wanted);
        self.access_log = next.access_log;
        if let Some(source) = next.source {
            self.source = source;
            self.seen = 0;
        }
        self.pages.show(Shown {
            wanted: self.wanted.clone(),
            standing: self.source.standing.clone(),
        });
        let identity = self.source.current.load();
        if let (Some(_), Some(identity)) = (&self.world, identity) {
            self.publish(identity);
        }
        self.listeners.lock().await.apply(
            next.fresh,
            &self.wanted.config,
            self.world.as_ref(),
            &self.pages,
            PATIENCE,
        );
        if let Err(error) = self.open().await {
            tracing::error!("not open: {error}; it is tried again");
        }
        tracing::info!(
            generation = *self.numbers.borrow(),
            "new configuration in force"
        );
    }

    /// Puts a snapshot with this identity into force, and tells its source.
    fn publish(&mut self, identity: Arc<Generation>) {
        self.seen = identity.number();
        let ingredients = self.wanted.ingredients(identity, self.access_log.clone());
        match &self.world {
            Some(world) => {
                let previous = Arc::clone(&world.snapshot());
                world.publish(Snapshot::build(
                    ingredients,
                    Some(&previous),
                    &self.pages.metrics,
                ));
            }
            None => {
                let first = Snapshot::build(ingredients, None, &self.pages.metrics);
                let metrics = self.pages.metrics.clone();
                let world = World::new(first, self.numbers.clone(), metrics);
                self.pages.enter(&world);
                self.world = Some(world);
            }
        }
        self.source
            .standing
            .enforces(self.seen, self.wanted.policy_sha256());
    }
}

/// Resolves when the first identity is there; never, if none is awaited.
async fn first(awaited: Option<identity::Current>) {
    match awaited {
        Some(current) => drop(current.newer_than(0).await),
        None => std::future::pending().await,
    }
}

/// What is on disk.
enum Look {
    /// What is in force, or cannot be read now.
    InForce,
    /// What was taken already and waits for its identity.
    Awaited,
    /// Something else: read whole and checked, with the source of its identity, if that is another one.
    Differs(Box<Result<(Wanted, Option<Source>), StartError>>),
}

fn differing(path: &Path, in_force: &Wanted, awaited: Option<Texts>, released: bool) -> Look {
    let now = texts(path, in_force.config.policy.as_deref());
    if now.as_ref() == Some(&in_force.texts) {
        return Look::InForce;
    }
    let read = || {
        let next = Wanted::load(path).map_err(StartError::Config)?;
        if awaited.is_some_and(|awaited| awaited == next.texts) {
            return Ok(None);
        }
        let (wanted, held) = (&next.config.identity, &in_force.config.identity);
        if wanted == held {
            return Ok(Some((next, None)));
        }
        if !released && let Some(folder) = shared_state(&wanted.source, &held.source) {
            return Err(StartError::StateHeld(folder));
        }
        let source = Source::open(wanted).map_err(StartError::Identity)?;
        Ok(Some((next, Some(source))))
    };
    match read() {
        Ok(None) => Look::Awaited,
        Ok(Some(read)) => Look::Differs(Box::new(Ok(read))),
        Err(error) => Look::Differs(Box::new(Err(error))),
    }
}
