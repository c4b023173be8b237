//! The sockets that are open, and how a new configuration changes them.
//!
//! 1. A listener whose address and use did not change is never rebuilt: a new name is a new name for what is open, too. Where
//!    the use of an address changed, the socket stays, and who calls meanwhile waits.
//! 2. All that are new are bound before anything changes: a taken port refuses the whole reload.
//! 3. One that is gone stops accepting at once; its connections end after what is in flight.
//! 4. What carries traffic listens only in a [`World`], which has an identity and a policy. Before that its port is
//!    reserved, and the kernel refuses whoever calls.
//! 5. A side that was closed stays closed, whatever is configured later.

use crate::connections::Listens;
use crate::description::Description;
use crate::exchange::CUT_BY_DRAIN;
use crate::held::{Held, Hold};
use crate::open::Busy;
use crate::open_listener::Open;
use crate::pages::Pages;
use crate::upstream;
use crate::world::World;
use config::sidecar::Sidecar;
use daemon::bind::{BindError, Gate, Reservation, SocketFile};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Direction;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A bound socket that nobody accepts from yet.
enum Bound {
    /// It waits for a world.
    Reserved(Reservation),
    Gate(Gate),
    /// It is that of a listener which goes.
    Kept,
    /// The admin socket.
    Admin(SocketFile),
}

/// Which of the sockets that are bound listen at once; the others only have their ports until [`Listeners::enter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// All: there is a world, and the configuration enters it now.
    All,
    /// Pages, while there is no world.
    Pages,
    /// None: the configuration waits for its identity, and whoever calls is better refused than left waiting with it.
    Nobody,
}

/// Nobody but our own user opens the admin socket, and root.
const ADMIN_MODE: u32 = 0o600;
/// How long an answer of a page may take once everything else has ended.
const ANSWERED: Duration = Duration::from_millis(500);

/// What was bound for the next configuration.
pub(crate) struct Fresh(Vec<(Description, Bound)>);

/// The listeners of one sidecar.
#[derive(Default)]
pub(crate) struct Listeners {
    own: Arc<upstream::Own>,
    open: Vec<Open>,
    /// What waits for a world.
    reserved: Vec<(Description, Reservation)>,
    /// What is not configured any more and has connections yet.
    leaving: Vec<Arc<Open>>,
    /// They cut what leaves when its time is over.
    cutters: JoinSet<()>,
    /// The sides that take nothing new.
    closed: Vec<Direction>,
}

/// How many came and how many are there, at the listeners of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Listeners that accept, and connections.
    pub(crate) open: usize,
    /// Connections alone.
    pub(crate) connections: usize,
    /// Listeners and connections that ever were: where it has not grown, nobody came.
    pub(crate) begun: u64,
}

impl Listeners {
    /// Where they listen, for whoever must never dial that.
    pub(crate) fn own(&self) -> &Arc<upstream::Own> {
        &self.own
    }
    /// Port 0 is a port by now, and what is reserved is ours already.
    fn tell(&self, pages: &Pages) {
        let open = self.open.iter();
        let open = open.filter_map(|open| Some((&open.description, open.local?)));
        let reserved = self.reserved.iter();
        let reserved = reserved.filter_map(|(it, bound)| Some((it, bound.local_addr()?)));
        let listening = open.chain(reserved).map(|(it, at)| upstream::Listening {
            at,
            inbound: matches!(it, Description::Inbound(..)),
        });
        let sockets = self.all().filter_map(Description::socket);
        self.own.listens(listening.collect(), sockets.collect());
        let open = self.open.iter().filter_map(|open| open.shown(false));
        let leaving = self.leaving.iter().filter_map(|open| open.shown(true));
        let reserved = self.reserved.iter().filter_map(|(it, bound)| {
            let direction = it.direction()?;
            Some(Listens {
                name: it.name().into(),
                direction,
                at: bound.local_addr(),
                leaves: false,
                opened: Arc::default(),
            })
        });
        pages.listens(open.chain(leaving).chain(reserved).collect());
    }
    /// Binds what a configuration asks for beyond what is bound.
    pub(crate) async fn bind(
        &self,
        config: &Sidecar,
        listening: Listening,
    ) -> Result<Fresh, BindError> {
        let mut fresh = Vec::new();
        for description in Description::all(config) {
            let closed = description
                .direction()
                .is_some_and(|direction| self.closed.contains(&direction));
            if closed || self.all().any(|bound| bound.is_same(&description)) {
                continue;
            }
            if self.keeps(&description) {
                fresh.push((description, Bound::Kept));
                continue;
            }
            let bound = match (&description, description.address()) {
                (Description::AdminSocket(path), _) => {
                    SocketFile::listen(path, ADMIN_MODE).map(Bound::Admin)
                }
                (_, Some(address)) => match listening {
                    Listening::Pages if description.carries_traffic() => {
                        Reservation::take(address).await.map(Bound::Reserved)
                    }
                    Listening::Nobody => Reservation::take(address).await.map(Bound::Reserved),
                    Listening::All | Listening::Pages => {
                        Gate::listen(address).await.map(Bound::Gate)
                    }
                },
                (_, None) => continue,
            };
            fresh.push((description, bound?));
        }
        Ok(Fresh(fresh))
    }
    fn all(&self) -> impl Iterator<Item = &Description> {
        let open = self.open.iter().map(|open| &open.description);
        open.chain(self.reserved.iter().map(|(description, _)| description))
    }
    /// Whether the socket at its address is ours, and another use of it ends.
    fn keeps(&self, description: &Description) -> bool {
        let open = self.open.iter();
        let mut open = open.filter(|open| open.description.is_where(description));
        let mut reserved = self.reserved.iter().map(|(reserved, _)| reserved);
        open.any(|open| open.hold.as_ref().is_some_and(Hold::is_open))
            || reserved.any(|reserved| reserved.is_where(description))
    }
    /// What a configuration changes the use of accepts nobody from now on, until [`Listeners::apply`]: who calls waits.
    pub(crate) fn hold_back(&self, config: &Sidecar) {
        let wanted = Description::all(config);
        for open in &self.open {
            let stays = wanted.iter().any(|it| it.is_same(&open.description));
            let is_kept = wanted.iter().any(|it| it.is_where(&open.description));
            if let Some(hold) = open.hold.as_ref().filter(|_| !stays && is_kept) {
                hold.stop();
            }
        }
    }
    /// Opens what listens, keeps what is reserved, closes what the configuration no longer asks for. `patience` is how long the connections of a closed listener may take.
    pub(crate) fn apply(
        &mut self,
        fresh: Fresh,
        config: &Sidecar,
        world: Option<&Arc<World>>,
        pages: &Arc<Pages>,
        patience: Duration,
    ) {
        for (description, bound) in fresh.0 {
            if description
                .direction()
                .is_some_and(|it| self.closed.contains(&it))
            {
                continue;
            }
            match bound {
                Bound::Reserved(reserved) => self.reserved.push((description, reserved)),
                Bound::Gate(gate) => {
                    let open = Open::gate(description, Held::new(gate), world, pages);
                    self.open.extend(open);
                }
                Bound::Kept => self.keep(description, world, pages),
                Bound::Admin(listener) => {
                    self.open.push(Open::admin(description, listener, pages));
                }
            }
        }
        let wanted = Description::all(config);
        let now = |then: &Description| wanted.iter().find(|it| it.is_same(then)).cloned();
        self.reserved.retain_mut(|(description, _)| {
            let now = now(description);
            now.map(|now| *description = now).is_some()
        });
        let (kept, gone): (Vec<Open>, Vec<Open>) = self
            .open
            .drain(..)
            .partition(|open| now(&open.description).is_some());
        self.open = kept;
        for open in &mut self.open {
            if let Some(now) = now(&open.description) {
                open.rename(now);
            }
        }
        self.leaving.retain(|open| open.drain.open() > 0);
        for open in gone.into_iter().map(Arc::new) {
            tracing::info!(listener = open.description.name(), "closed");
            self.leaving.push(open.clone());
            self.cutters.spawn(async move { open.end(patience).await });
        }
        self.tell(pages);
    }
    /// Takes the socket over that is at its address.
    fn keep(&mut self, description: Description, world: Option<&Arc<World>>, pages: &Arc<Pages>) {
        let mut open = self.open.iter();
        let held = open.find(|open| open.description.is_where(&description));
        if let Some(held) = held.and_then(|open| open.hold.as_ref()?.take()) {
            self.open
                .extend(Open::gate(description, held, world, pages));
            return;
        }
        let mut reserved = self.reserved.iter();
        let at = reserved.position(|(reserved, _)| reserved.is_where(&description));
        // One that closed meanwhile is bound anew by whoever enters.
        let Some(at) = at else { return };
        let (_, reserved) = self.reserved.swap_remove(at);
        if world.is_some() || description.carries_traffic() {
            return self.reserved.push((description, reserved));
        }
        match reserved.listen() {
            Ok(gate) => {
                let open = Open::gate(description, Held::new(gate), world, pages);
                self.open.extend(open);
            }
            Err(error) => tracing::error!("not open: {error}"),
        }
    }
    /// Listens wherever traffic waited for this world. What cannot, because somebody else took the port meanwhile, is bound
    /// anew at the next call; the first of them is told.
    pub(crate) async fn enter(
        &mut self,
        config: &Sidecar,
        world: &Arc<World>,
        pages: &Arc<Pages>,
    ) -> Result<(), BindError> {
        let mut first_error = None;
        for (description, reserved) in std::mem::take(&mut self.reserved) {
            match reserved.listen() {
                Ok(gate) => {
                    let open = Open::gate(description, Held::new(gate), Some(world), pages);
                    self.open.extend(open);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        let fresh = self.bind(config, Listening::All).await?;
        self.apply(fresh, config, Some(world), pages, Duration::ZERO);
        Ok(())
    }
    /// Where a listener listens, or will, by its name in the configuration, or `metrics`, `health`, `admin`.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        let open = self
            .open
            .iter()
            .find(|open| open.description.name() == name);
        let reserved = || self.reserved.iter().find(|(it, _)| it.name() == name);
        match open {
            Some(open) => open.local,
            None => reserved().and_then(|(_, reserved)| reserved.local_addr()),
        }
    }
    /// How many are at the listeners of one side, those that leave included.
    pub(crate) fn crowd(&self, direction: Direction) -> Crowd {
        let mut crowd = Crowd {
            open: 0,
            connections: 0,
            begun: 0,
        };
        for open in self.of(direction) {
            let tasks = open.drain.open();
            crowd.open += tasks;
            // One of them is the loop that accepts, until it is told to end.
            crowd.connections += match open.drain.is_started() {
                true => tasks,
                false => tasks.saturating_sub(1),
            };
            crowd.begun += open.drain.begun();
        }
        crowd
    }
    /// What is under way at all listeners.
    pub(crate) fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        self.all_open().for_each(|open| busy += open.opened.count());
        busy
    }
    /// One side takes nothing new from now on, and lets what is open end.
    pub(crate) fn close(&mut self, direction: Direction) {
        if !self.closed.contains(&direction) {
            self.closed.push(direction);
        }
        self.reserved
            .retain(|(description, _)| description.direction() != Some(direction));
        self.of(direction).for_each(|open| open.drain.start());
    }
    /// Waits until nothing is open that carries traffic, but no longer than this.
    pub(crate) async fn ended(&self, at_most: Duration) {
        let ends = Instant::now() + at_most;
        for open in self
            .all_open()
            .filter(|it| it.description.carries_traffic())
        {
            open.drain.ended(ends).await;
        }
    }
    /// Cuts one side; returns what was under way, by listener.
    pub(crate) async fn cut(&mut self, direction: Direction) -> Vec<(Arc<str>, Busy)> {
        self.close(direction);
        let mut cut = Vec::new();
        for open in self.of(direction) {
            cut.push((
                open.description.name().into(),
                open.opened.condemn(CUT_BY_DRAIN),
            ));
            open.drain.cut();
        }
        for open in self.of(direction) {
            open.drain.gone().await;
        }
        cut.retain(|(_, busy)| busy.total() > 0);
        cut
    }
    /// Ends the pages; an answer under way may end first.
    pub(crate) async fn end_pages(&mut self) {
        for open in &self.open {
            open.drain.start_and_wait(ANSWERED).await;
        }
    }
    fn all_open(&self) -> impl Iterator<Item = &Open> {
        let leaving = self.leaving.iter().map(|open| &**open);
        self.open.iter().chain(leaving)
    }
    fn of(&self, direction: Direction) -> impl Iterator<Item = &Open> {
        self.all_open()
            .filter(move |open| open.description.direction() == Some(direction))
    }
}
