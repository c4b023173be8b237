//! Keeps a sidecar what its files and its source of identity say it is. Whole, or not at all.
//!
//! In: the contents of the files, looked at twice a second, and generations of identity as their source gives them. Out: the
//! next snapshot in force, or every finding in the log and the old snapshot still serving. What was refused is tried again
//! at every look: the mistake may be in any file that the configuration names.
//!
//! 1. Nothing carries traffic before there is an identity; with the first one everything opens.
//! 2. A configuration whose identity comes from elsewhere waits for its first one, and the old serves until then.
//! 3. Where another source takes over the state directory of the one in force, it does so with the identity in it, or not at
//!    all.
//! 4. A source is told what new handshakes use after they do, never before.

use crate::attached::Attached;
use crate::listeners::{Fresh, Listeners, Listening};
use crate::look::{Look, Origin, look};
use crate::outlook::Outlook;
use crate::pages::{Pages, Shown};
use crate::reloaded::Reloaded;
use crate::snapshot::Snapshot;
use crate::start_error::{StartError, about};
use crate::upstream::Means;
use crate::wanted::{Texts, Wanted, open_log};
use crate::world::World;
use config::Finding;
use identity::Generation;
use identity::source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use telemetry::AccessLog;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

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
    /// What upstreams are made with.
    means: Arc<Means>,
    pages: Arc<Pages>,
    /// What could not go on with the state directory of what is in force, when it was tried.
    untaken: Option<Texts>,
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

/// What a sidecar starts with.
pub(crate) struct Begun {
    /// What its files ask for.
    pub(crate) wanted: Arc<Wanted>,
    /// Where its identity comes from.
    pub(crate) source: Attached,
    /// Where access is logged.
    pub(crate) access_log: Option<AccessLog>,
    /// What upstreams are made with.
    pub(crate) means: Arc<Means>,
}

impl Reload {
    pub(crate) fn new(
        path: &Path,
        begun: Begun,
        numbers: watch::Sender<u64>,
        listeners: Arc<Mutex<Listeners>>,
        pages: Arc<Pages>,
    ) -> Self {
        let Begun {
            wanted,
            source,
            access_log,
            means,
        } = begun;
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
            means,
            pages,
            untaken: None,
            refused: None,
            told: None,
        }
    }

    /// Keeps it what it is to be, and looks at once for whoever `asks`.
    pub(crate) async fn run(mut self, mut asks: mpsc::Receiver<oneshot::Sender<Reloaded>>) {
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
                Some(asked) = asks.recv() => {
                    let reloaded = self.look(Telling::AtOnce).await;
                    // Whoever asked may have left.
                    let _ = asked.send(reloaded);
                }
                _ = look.tick() => drop(self.look(Telling::OnceItLasts).await),
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

    async fn look(&mut self, telling: Telling) -> Reloaded {
        if self.world.is_some()
            && self.pages.health.is_down("listeners")
            && self.open().await.is_ok()
        {
            tracing::info!("started");
        }
        let outcome = match self.differing().await {
            Some(Look::Differs(read)) => {
                // What was to come is not wanted any more; its source lets go of what the next one may need.
                self.next = None;
                match *read {
                    Ok((next, _)) if self.is_untaken(&next, telling) => {
                        return Reloaded::Refused(Vec::new());
                    }
                    Ok((next, origin)) => self.take(next, origin).await,
                    Err(error) => Err(error),
                }
            }
            Some(Look::InForce) => {
                self.next = None;
                self.refused = None;
                self.untaken = None;
                self.take_back().await;
                return Reloaded::Unchanged;
            }
            Some(Look::Awaited) => return Reloaded::Waiting,
            None => return Reloaded::Ending,
        };
        match outcome {
            Ok(()) => {
                self.refused = None;
                self.taken()
            }
            Err(error) => Reloaded::Refused(self.tell(&error, telling)),
        }
    }

    /// What was taken just now, or waits.
    fn taken(&self) -> Reloaded {
        match (&self.world, &self.next) {
            (Some(world), None) => Reloaded::Taken {
                generation: world.snapshot().number,
            },
            _ => Reloaded::Waiting,
        }
    }

    /// What is on disk; `None`: the process is ending.
    async fn differing(&self) -> Option<Look> {
        let (path, in_force) = (self.path.clone(), self.wanted.clone());
        let awaited = self.next.as_ref().map(|next| next.wanted.texts.clone());
        let released = self.source.is_released();
        // A file system that hangs must not stop the thread that serves.
        tokio::task::spawn_blocking(move || look(&path, &in_force, awaited, released))
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
            Err(error) => drop(self.tell(&error, Telling::OnceItLasts)),
        }
    }

    /// Says what was refused when it was refused twice, once: a writer who is not done is no news. Whoever asked is told at once.
    fn tell(&mut self, error: &StartError, telling: Telling) -> Vec<Finding> {
        let findings = about(&self.path, error);
        let looks = match self.refused.take() {
            Some((refused, looks)) if refused == findings => looks.saturating_add(1),
            _ => 1,
        };
        let looks = match telling {
            Telling::AtOnce => LOOKS_BEFORE_TELLING,
            Telling::OnceItLasts => looks,
        };
        if looks == LOOKS_BEFORE_TELLING {
            for finding in &findings {
                tracing::error!("not taken: {finding}");
            }
            tracing::error!("the configuration in force stays as it was");
        }
        self.refused = Some((findings.clone(), looks));
        findings
    }

    /// Opens everything that can fail, then puts it into force, at once or as soon as there is an identity for it.
    async fn take(&mut self, wanted: Wanted, origin: Origin) -> Result<(), StartError> {
        let access_log = if wanted.config.telemetry == self.wanted.config.telemetry {
            self.access_log.clone()
        } else {
            open_log(
                wanted.config.telemetry.access_log.as_ref(),
                &self.pages.metrics,
            )
            .map_err(|(path, error)| StartError::AccessLog(path, error))?
        };
        let waits = match &origin {
            Origin::Opened(source) => self.world.is_some() && !is_identified(source),
            Origin::Same | Origin::Held(_) => false,
        };
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
        let source = match origin {
            Origin::Same => None,
            Origin::Opened(source) => Some(source),
            // Last, since everything else can be refused without a word to who renews what is in force.
            Origin::Held(folder) => Some(self.take_over(&wanted, folder).await?),
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

    /// The source of another configuration, which goes on with the state directory of the one in force; or that one goes on
    /// itself. To be cut while it renews is nothing new to a source: its processes end at any moment, too.
    async fn take_over(&mut self, wanted: &Wanted, folder: PathBuf) -> Result<Source, StartError> {
        self.source.release().await;
        let identity = wanted.config.identity.clone();
        let opened = tokio::task::spawn_blocking(move || Source::open(&identity)).await;
        let why = match opened {
            // Where nobody has an identity yet there is nothing to go on with.
            Ok(Ok(source)) if self.world.is_none() || is_identified(&source) => return Ok(source),
            Ok(Err(error)) => StartError::Identity(error),
            Ok(Ok(_)) | Err(_) => StartError::StateHeld(folder),
        };
        self.untaken = Some(wanted.texts.clone());
        self.take_back().await;
        Err(why)
    }

    /// Whether it was refused after the source in force had let go for it: that is not tried twice a second.
    fn is_untaken(&self, next: &Wanted, telling: Telling) -> bool {
        matches!(telling, Telling::OnceItLasts) && self.untaken.as_ref() == Some(&next.texts)
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
        self.listeners.lock().await.hold_back(&self.wanted.config);
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
        self.means = self.means.asking(&self.wanted.config.dns);
        let ingredients = self.wanted.ingredients(identity, self.access_log.clone());
        match &self.world {
            Some(world) => {
                let previous = Arc::clone(&world.snapshot());
                world.publish(Snapshot::build(ingredients, Some(&previous), &self.means));
            }
            None => {
                let first = Snapshot::build(ingredients, None, &self.means);
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

fn is_identified(source: &Source) -> bool {
    source.current().load().is_some()
}

/// Resolves when the first identity is there; never, if none is awaited.
async fn first(awaited: Option<identity::Current>) {
    match awaited {
        Some(current) => drop(current.newer_than(0).await),
        None => std::future::pending().await,
    }
}

/// When a refusal is told.
#[derive(Clone, Copy)]
enum Telling {
    /// Somebody asked.
    AtOnce,
    /// Nobody did.
    OnceItLasts,
}
