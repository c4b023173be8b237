//! How many connections may stand, and whose.
//!
//! In: where a connection comes from; once it has shaken hands, whom its certificate names, if it showed one. Out: a place in one
//! of three rooms, or none: handshakes under way, strangers, members.
//!
//! 1. Each room has its own bound: no number of strangers and of handshakes keeps out who has a certificate.
//! 2. In a full room who holds the most gives up its oldest (see [`daemon::places`]), by network before anybody is known, by
//!    identity afterwards: neither a machine nor a workload fills a room alone.
//! 3. All rooms together leave an eighth of the descriptors that this process may open: `accept` does not run out of them.

use config::SpiffeId;
use daemon::places::{Origin, Place, Places, Source};
use rustix::process::{Resource, getrlimit};
use std::net::SocketAddr;

/// Connections of strangers, each for a minute: some 20 KB, and up to 640 KB of what they are sending.
const STRANGERS_MAX: usize = 10_000;
/// Connections of members.
const MEMBERS_MAX: usize = 20_000;

/// The three rooms.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    handshakes: Places<Source>,
    strangers: Places<Source>,
    members: Places<SpiffeId>,
}

/// The place of a connection that has shaken hands.
#[derive(Debug)]
pub(crate) enum Seat {
    Stranger(Place<Source>),
    Member(Place<SpiffeId>),
}

impl Doors {
    /// For so many handshakes at a time, and fewer where this process may not open as many descriptors.
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
            handshakes: Places::new(room(handshakes, 8)),
            strangers: Places::new(room(STRANGERS_MAX, 4)),
            members: Places::new(room(MEMBERS_MAX, 2)),
        }
    }

    /// A place to shake hands.
    pub(crate) fn handshake(&self, peer: &SocketAddr) -> Option<Place<Source>> {
        self.handshakes.take(peer.source())
    }

    /// A place to stay, for who is known or for a stranger.
    pub(crate) fn seat(&self, peer: &SocketAddr, id: Option<&SpiffeId>) -> Option<Seat> {
        match id {
            Some(id) => self.members.take(id.clone()).map(Seat::Member),
            None => self.strangers.take(peer.source()).map(Seat::Stranger),
        }
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
        assert_eq!(handshakes.len(), 10);

        assert!(doors.handshake(&from(2)).is_some());
        assert!(doors.seat(&from(2), None).is_some());
        assert!(doors.seat(&from(1), Some(&id("/ledger"))).is_some());

        handshakes.remove(0).asked_back().await;
        strangers.remove(0).asked_back().await;
        members.remove(0).asked_back().await;
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
