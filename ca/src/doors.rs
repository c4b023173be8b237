//! How many connections may stand, and whose.
//!
//! In: where a connection comes from; once it has shaken hands, whom its certificate names, if it showed one. Out: a place in one
//! of four rooms, or none: handshakes under way from where members have come, handshakes of all others, strangers, members.
//!
//! 1. Each room has its own bound: no number of strangers and of handshakes keeps out who has a certificate.
//! 2. In a full room who holds the most gives up its oldest (see [`daemon::places`]), by network before anybody is known, by
//!    identity afterwards: neither a machine nor a workload fills a room alone.
//! 3. Silence from ever so many networks keeps nobody from shaking hands again where somebody has shown a certificate before.
//! 4. All rooms together leave an eighth of the descriptors that this process may open: `accept` does not run out of them.

use config::SpiffeId;
use daemon::places::{Origin, Place, Places, Source};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections of strangers, each for a minute: some 20 KB, and up to 640 KB of what they are sending.
const STRANGERS_MAX: usize = 10_000;
/// Connections of members.
const MEMBERS_MAX: usize = 20_000;

/// Networks in each half of the memory, some 20 bytes each.
const KNOWN_MAX: usize = 16 * 1024;

/// The four rooms.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    known: Arc<Known>,
    handshakes_known: Places<Source>,
    handshakes: Places<Source>,
    strangers: Places<Source>,
    members: Places<SpiffeId>,
}

/// From where members have come. A stranger can add nothing, so nothing that strangers do makes it forget.
#[derive(Debug, Default)]
struct Known(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    newer: BTreeSet<Source>,
    older: BTreeSet<Source>,
}

/// The place of a connection that has shaken hands.
#[derive(Debug)]
pub(crate) enum Seat {
    Stranger(Place<Source>),
    Member(Place<SpiffeId>),
}

impl Doors {
    /// For so many handshakes at a time, as many again from where members have come, and fewer where this process may not open as many descriptors.
    pub(crate) fn of(handshakes: usize) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::within(
            handshakes,
            usize::try_from(descriptors).unwrap_or(usize::MAX),
        )
    }

    fn within(handshakes: usize, descriptors: usize) -> Self {
        let room = |wanted: usize, share: usize| wanted.min(descriptors / share).max(1);
        Doors {
            known: Arc::default(),
            handshakes_known: Places::new(room(handshakes, 16)),
            handshakes: Places::new(room(handshakes, 16)),
            strangers: Places::new(room(STRANGERS_MAX, 4)),
            members: Places::new(room(MEMBERS_MAX, 2)),
        }
    }

    /// A place to shake hands.
    pub(crate) fn handshake(&self, peer: &SocketAddr) -> Option<Place<Source>> {
        let source = peer.source();
        match self.known.has(source) {
            true => self.handshakes_known.take(source),
            false => self.handshakes.take(source),
        }
    }

    /// A place to stay, for who is known or for a stranger.
    pub(crate) fn seat(&self, peer: &SocketAddr, id: Option<&SpiffeId>) -> Option<Seat> {
        match id {
            Some(id) => {
                self.known.add(peer.source());
                self.members.take(id.clone()).map(Seat::Member)
            }
            None => self.strangers.take(peer.source()).map(Seat::Stranger),
        }
    }
}

impl Known {
    fn has(&self, source: Source) -> bool {
        let halves = self.halves();
        halves.newer.contains(&source) || halves.older.contains(&source)
    }

    /// Until many others have come.
    fn add(&self, source: Source) {
        let mut halves = self.halves();
        halves.newer.insert(source);
        if halves.newer.len() >= KNOWN_MAX {
            halves.older = std::mem::take(&mut halves.newer);
        }
    }

    /// Nothing that happens under this lock can leave it half changed.
    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Resolves when another should have it.
    pub(crate) async fn asked_back(&self) {
        match self {
            Seat::Stranger(place) => place.asked_back().await,
            Seat::Member(place) => place.asked_back().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 7))
    }

    fn id(path: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://shop.example{path}")).unwrap()
    }

    /// All that this one can get.
    fn all<P>(take: impl FnMut() -> Option<P>) -> Vec<P> {
        std::iter::from_fn(take).collect()
    }

    #[test]
    fn strangers_and_handshakes_take_no_place_of_a_member() {
        let doors = Doors::within(500, 80);
        let _handshakes = all(|| doors.handshake(&from(1)));
        let strangers = all(|| doors.seat(&from(1), None));

        let members = all(|| doors.seat(&from(1), Some(&id("/orders"))));

        assert_eq!((strangers.len(), members.len()), (20, 40));
    }

    #[tokio::test]
    async fn neither_a_machine_nor_a_workload_fills_a_room_alone() {
        let doors = Doors::within(500, 80);
        let mut handshakes = all(|| doors.handshake(&from(1)));
        let mut strangers = all(|| doors.seat(&from(1), None));
        let mut members = all(|| doors.seat(&from(1), Some(&id("/orders"))));
        assert_eq!(handshakes.len(), 5);

        assert!(doors.handshake(&from(2)).is_some());
        assert!(doors.seat(&from(2), None).is_some());
        assert!(doors.seat(&from(1), Some(&id("/ledger"))).is_some());

        handshakes.remove(0).asked_back().await;
        strangers.remove(0).asked_back().await;
        members.remove(0).asked_back().await;
    }

    #[test]
    fn silence_from_many_networks_keeps_no_member_from_coming_back() {
        let doors = Doors::within(4, 1024);
        let _seat = doors.seat(&from(1), Some(&id("/orders")));
        let _silent: Vec<_> = (2..9).map(|last| doors.handshake(&from(last))).collect();

        assert!(doors.handshake(&from(9)).is_none());
        assert!(doors.handshake(&from(1)).is_some());
    }

    #[test]
    fn where_members_come_from_is_remembered_until_many_others_have_come() {
        let known = Known::default();
        let other = |number: u32| Source::Network(std::net::Ipv4Addr::from(number).into());
        known.add(from(1).source());
        assert!(known.has(from(1).source()) && !known.has(from(2).source()));

        (0..2 * KNOWN_MAX as u32).for_each(|number| known.add(other(number)));

        assert!(!known.has(from(1).source()));
        let halves = known.halves();
        assert!(halves.newer.len() + halves.older.len() <= 2 * KNOWN_MAX);
    }

    #[test]
    fn rooms_leave_descriptors_for_everything_else() {
        for descriptors in [64, 1024, 20_000] {
            let doors = Doors::within(500, descriptors);
            let held = all(|| doors.handshake(&from(1))).len();
            assert!(held <= descriptors / 8, "{held} of {descriptors}");
        }
    }
}
