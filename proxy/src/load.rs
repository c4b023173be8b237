//! Who holds how much, and who gets no more: connections and requests, in all and by identity.
//!
//! In: who opens a connection, who asks. Out: a [`Holding`] of a connection until it is dropped, a place for a request until
//! [`Holder::ended`], or the reason why there is none. A request costs two atomics when it begins and two when it has ended.
//!
//! 1. A request counts from its head to the last byte of its answer.
//! 2. Calls to the app and calls from the app have room of their own: a call that makes the app call on never takes the place
//!    of that one.
//! 3. The last eighth of the room for requests is for callers that have fewer than their share, and a connection beyond the
//!    last is taken from who holds the most: nobody keeps the others out by holding many.
//! 4. Under pressure of memory who holds the most connections and requests gets no more and gives up its oldest; under the
//!    greatest, nobody gets more.

use crate::memory::Pressure;
use config::sidecar::Limits;
use daemon::places::{Place, Places, Source};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who holds connections and requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    /// Our own app, calling out.
    App,
    /// A caller from the network, by its proven identity.
    Peer(Arc<str>),
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// `limits.connections`.
    Connections,
    /// `limits.perIdentity.connections`.
    ConnectionsOfIdentity,
    /// `limits.inFlight`.
    Requests,
    /// The rest of `limits.inFlight` is for who has fewer.
    RequestsShed,
    /// `limits.perIdentity.inFlight`.
    RequestsOfIdentity,
    /// `limits.memory` is near, and nobody holds more.
    MemoryShed,
    /// `limits.memory` is nearly reached.
    Memory,
    /// [`PROBES_MAX`].
    Probes,
}

impl Full {
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Connections => "connections_full",
            Self::ConnectionsOfIdentity => "connections_of_identity_full",
            Self::Requests => "requests_full",
            Self::RequestsShed => "requests_shed",
            Self::RequestsOfIdentity => "requests_of_identity_full",
            Self::MemoryShed => "memory_shed",
            Self::Memory => "memory_full",
            Self::Probes => "probes_full",
        }
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connections => "as many connections are open as limits.connections allows",
            Self::ConnectionsOfIdentity => {
                "this identity has as many connections as limits.perIdentity.connections allows"
            }
            Self::Requests => "as many requests are in flight as limits.inFlight allows",
            Self::RequestsShed => {
                "nearly as many requests are in flight as limits.inFlight allows, and this caller has more than its share"
            }
            Self::RequestsOfIdentity => {
                "this identity has as many requests in flight as limits.perIdentity.inFlight allows"
            }
            Self::MemoryShed => {
                "the sidecar's memory nears limits.memory, and nobody holds more connections and requests than this caller"
            }
            Self::Memory => "the sidecar's memory is nearly what limits.memory allows",
            Self::Probes => "as many probes wait for the app as there is room for",
        })
    }
}

/// Probes at a time. They have room of their own, since who asks whether an app lives, and is told that there is no room, ends
/// it; and since whoever reaches a listener may send them, it is no more than a crowd of probers needs.
const PROBES_MAX: usize = 64;

/// A probe that has room as long as this lives.
pub(crate) struct Probing(Arc<AtomicUsize>);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Everything that is held in one sidecar.
pub(crate) struct Load {
    bounds: Bounds,
    connections: Places<Who>,
    /// Of callers who have not proven who they are.
    handshakes: Places<Source>,
    /// Calls to the app.
    inbound: Arc<Requests>,
    /// Calls from the app.
    outbound: Arc<Requests>,
    holders: Mutex<HashMap<Who, Arc<Holder>>>,
    memory: Arc<Memory>,
    /// Probes that wait for the app.
    probes: Arc<AtomicUsize>,
}

/// What is known of memory.
#[derive(Default)]
struct Memory {
    /// Who holds as much gets no more: all at 0, nobody at the greatest number.
    held_max: AtomicUsize,
}

/// Whom one look at memory asked for connections.
const ASKED_ONE_IN: usize = 16;

/// What the configuration in force allows of connections.
struct Bounds {
    connections_max: AtomicUsize,
    connections_of_one_max: AtomicUsize,
    handshakes_max: AtomicUsize,
}

/// Requests of one direction.
#[derive(Default)]
struct Requests {
    open: AtomicUsize,
    open_max: AtomicUsize,
    open_of_one_max: AtomicUsize,
    /// Who has a connection.
    callers: AtomicUsize,
}

/// What one of them holds.
pub(crate) struct Holder {
    connections: AtomicUsize,
    open: AtomicUsize,
    all: Arc<Requests>,
    memory: Arc<Memory>,
}

/// A connection that is counted as long as this lives.
pub(crate) struct Holding {
    load: Arc<Load>,
    who: Who,
    holder: Arc<Holder>,
    place: Place<Who>,
}

impl Load {
    /// Nothing is held yet.
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let load = Self {
            bounds: Bounds {
                connections_max: AtomicUsize::new(0),
                connections_of_one_max: AtomicUsize::new(0),
                handshakes_max: AtomicUsize::new(0),
            },
            connections: Places::new(0),
            handshakes: Places::new(0),
            inbound: Arc::default(),
            outbound: Arc::default(),
            holders: Mutex::default(),
            memory: Arc::new(Memory {
                held_max: AtomicUsize::new(usize::MAX),
            }),
            probes: Arc::default(),
        };
        load.set(limits);
        Arc::new(load)
    }
    /// These limits are in force from now on.
    pub(crate) fn set(&self, limits: &Limits) {
        let one = limits.per_identity;
        self.bounds
            .connections_max
            .store(limits.connections, Relaxed);
        self.bounds
            .connections_of_one_max
            .store(one.connections.unwrap_or(usize::MAX), Relaxed);
        self.bounds.handshakes_max.store(limits.handshakes, Relaxed);
        for requests in [&self.inbound, &self.outbound] {
            requests.open_max.store(limits.in_flight, Relaxed);
        }
        let of_one = one.in_flight.unwrap_or(usize::MAX);
        self.inbound.open_of_one_max.store(of_one, Relaxed);
        // The app is no identity that calls us: what it may have is all that there is for it.
        self.outbound.open_of_one_max.store(usize::MAX, Relaxed);
    }
    /// Room for one more handshake, which may be asked back for one from a source with fewer.
    pub(crate) fn shake_hands(&self, source: Source) -> Option<Place<Source>> {
        let handshakes_max = self.bounds.handshakes_max.load(Relaxed);
        self.handshakes.take_within(handshakes_max, source)
    }
    /// Room for one more connection.
    pub(crate) fn connect(self: &Arc<Self>, who: Who) -> Result<Holding, Full> {
        let of_one_max = match who {
            Who::App => usize::MAX,
            Who::Peer(_) => self.bounds.connections_of_one_max.load(Relaxed),
        };
        let (holder, open) = self.one_more(&who);
        let all_max = self.bounds.connections_max.load(Relaxed);
        let place = if open >= of_one_max {
            Err(Full::ConnectionsOfIdentity)
        } else if let Err(full) = self.memory.admit(open + holder.open.load(Relaxed)) {
            Err(full)
        } else {
            let place = self.connections.take_within(all_max, who.clone());
            place.ok_or(Full::Connections)
        };
        match place {
            Ok(place) => Ok(Holding {
                load: self.clone(),
                who,
                holder,
                place,
            }),
            Err(full) => {
                self.gone(&who, &holder);
                Err(full)
            }
        }
    }
    /// Room for one more probe of the app, whatever else is in flight.
    pub(crate) fn probe(&self) -> Result<Probing, Full> {
        let before = self.probes.fetch_add(1, Relaxed);
        let probing = Probing(self.probes.clone());
        (before < PROBES_MAX).then_some(probing).ok_or(Full::Probes)
    }
    /// Counts one more connection of this holder's; says how many there were before it.
    fn one_more(&self, who: &Who) -> (Arc<Holder>, usize) {
        let mut holders = self.holders();
        if let Some(holder) = holders.get(who) {
            return (holder.clone(), holder.connections.fetch_add(1, Relaxed));
        }
        // Those whose last request outlived their last connection have ended it by now.
        holders.retain(|_, holder| !holder.leaves());
        let all = match who {
            Who::App => &self.outbound,
            Who::Peer(_) => &self.inbound,
        };
        all.callers.fetch_add(1, Relaxed);
        let holder = Arc::new(Holder {
            connections: AtomicUsize::new(1),
            open: AtomicUsize::new(0),
            all: all.clone(),
            memory: self.memory.clone(),
        });
        holders.insert(who.clone(), holder.clone());
        (holder, 0)
    }
    /// One connection of this holder's is no more.
    fn gone(&self, who: &Who, holder: &Holder) {
        let mut holders = self.holders();
        if holder.connections.fetch_sub(1, Relaxed) == 1 && holder.leaves() {
            holders.remove(who);
        }
    }
    /// Memory is so short from now on.
    pub(crate) fn press(&self, pressure: Pressure) {
        let held_max = match pressure {
            Pressure::None => usize::MAX,
            Pressure::High => {
                let holders = self.holders();
                let most = holders.values().map(|holder| holder.held()).max();
                // Who holds nothing yet is let in.
                most.unwrap_or(0).max(1)
            }
            Pressure::Full => 0,
        };
        self.memory.held_max.store(held_max, Relaxed);
    }
    /// Asks who holds the most connections for its oldest; says how many were asked back.
    pub(crate) fn ask_back(&self) -> usize {
        self.connections.ask_back_one_in(ASKED_ONE_IN)
    }
    fn holders(&self) -> MutexGuard<'_, HashMap<Who, Arc<Holder>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holding {
    /// Who holds it.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }
    /// Resolves when another should have its place: it ends soon then. Cancel safe.
    pub(crate) async fn asked_back(&self) {
        self.place.asked_back().await;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.load.gone(&self.who, &self.holder);
    }
}

impl Memory {
    /// One more, for whom holds so much?
    fn admit(&self, held: usize) -> Result<(), Full> {
        match self.held_max.load(Relaxed) {
            0 => Err(Full::Memory),
            held_max if held >= held_max => Err(Full::MemoryShed),
            _ => Ok(()),
        }
    }
}

impl Holder {
    /// Connections and requests.
    fn held(&self) -> usize {
        self.connections.load(Relaxed) + self.open.load(Relaxed)
    }
    /// Is no caller any more if it holds nothing. Asked under the lock, since connections begin under it.
    fn leaves(&self) -> bool {
        let leaves = self.connections.load(Relaxed) == 0 && self.open.load(Relaxed) == 0;
        if leaves {
            self.all.callers.fetch_sub(1, Relaxed);
        }
        leaves
    }
    /// Room for one more request, until [`Self::ended`] is called.
    pub(crate) fn began(&self) -> Result<(), Full> {
        let all = self.all.open.fetch_add(1, Relaxed);
        let own = self.open.fetch_add(1, Relaxed);
        let room = Room {
            all_max: self.all.open_max.load(Relaxed),
            own_max: self.all.open_of_one_max.load(Relaxed),
            callers: self.all.callers.load(Relaxed),
        };
        let admitted = room
            .admit(all, own)
            .and_then(|()| self.memory.admit(self.connections.load(Relaxed) + own));
        if admitted.is_err() {
            self.ended();
        }
        admitted
    }
    /// A request that had room has ended.
    pub(crate) fn ended(&self) {
        self.open.fetch_sub(1, Relaxed);
        self.all.open.fetch_sub(1, Relaxed);
    }
}

/// How many requests there may be.
#[derive(Clone, Copy, Debug)]
struct Room {
    all_max: usize,
    own_max: usize,
    callers: usize,
}

impl Room {
    /// One more, where all have so many and the caller so many of them?
    fn admit(self, all: usize, own: usize) -> Result<(), Full> {
        // The two are counted one after the other, while others begin and end: a caller may seem to have more than all.
        let all = all.max(own);
        let is_nearly_full = all >= self.all_max - self.all_max / 8;
        if own >= self.own_max {
            Err(Full::RequestsOfIdentity)
        } else if all >= self.all_max {
            Err(Full::Requests)
        } else if is_nearly_full && own.saturating_mul(self.callers) > all {
            Err(Full::RequestsShed)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
