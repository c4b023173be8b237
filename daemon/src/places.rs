//! Places for what anybody may hold, shared among those who want them.
//!
//! In: who wants a place. Out: a [`Place`] until it is dropped, or none. When all are taken, who holds the most gives up its oldest
//! to who holds at least two fewer: so nobody keeps others out by holding many, however fast it comes back. Where everybody is
//! one holder, or each has one place, first come is first served.
//!
//! 1. Places that were asked back count until they are dropped: together with them there are never more than twice as many.
//! 2. Nobody is asked for a place in favour of who holds as many, so that a crowd does not push itself out for ever.

use crate::socket::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::unix::UCred;
use tokio_util::sync::CancellationToken;

/// Who holds connections, as far as anybody can tell before a word is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// An address of IPv4, or the network of 64 bits of one of IPv6: the least that anybody gets there.
    Network(IpAddr),
    /// A user of this machine.
    User(u32),
}

/// Something that says from where it comes.
pub trait Origin {
    /// From where.
    fn source(&self) -> Source;
}

impl Origin for SocketAddr {
    fn source(&self) -> Source {
        Source::Network(match self.ip().to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        })
    }
}

impl Origin for Peer {
    fn source(&self) -> Source {
        match self {
            Peer::Tcp(address) => address.source(),
            Peer::Unix { uid, .. } => Source::User(*uid),
        }
    }
}

impl Origin for UCred {
    fn source(&self) -> Source {
        Source::User(self.uid())
    }
}

/// So many places. Clones are the same ones.
#[derive(Debug)]
pub struct Places<K>(Arc<Shared<K>>);

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Places(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<K> {
    places_max: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    next: u64,
    held: usize,
    /// Asked back and not yet dropped.
    leaving: usize,
    /// By age.
    holders: BTreeMap<K, BTreeMap<u64, CancellationToken>>,
    /// How many each holds.
    counts: BTreeSet<(usize, K)>,
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub struct Place<K: Ord + Clone> {
    places: Places<K>,
    holder: K,
    number: u64,
    asked_back: CancellationToken,
}

impl<K: Ord + Clone> Places<K> {
    /// As many as this.
    pub fn new(places_max: usize) -> Self {
        Places(Arc::new(Shared {
            places_max,
            taken: Mutex::new(Taken {
                next: 0,
                held: 0,
                leaving: 0,
                holders: BTreeMap::new(),
                counts: BTreeSet::new(),
            }),
        }))
    }

    /// A place for one more of this holder's, or none.
    pub fn take(&self, holder: K) -> Option<Place<K>> {
        self.take_within(self.0.places_max, holder)
    }

    /// The same where there are as many as this now.
    pub fn take_within(&self, places_max: usize, holder: K) -> Option<Place<K>> {
        let mut taken = self.taken();
        if taken.held >= places_max {
            let room = taken.leaving < places_max && taken.ask_back_for(&holder);
            if !room {
                return None;
            }
        }
        let number = taken.next;
        taken.next += 1;
        let asked_back = CancellationToken::new();
        taken.change(&holder, |held| {
            held.insert(number, asked_back.clone());
        });
        taken.held += 1;
        drop(taken);
        Some(Place {
            places: self.clone(),
            holder,
            number,
            asked_back,
        })
    }

    /// Asks who holds the most for its oldest, one in so many of them and one at least, whether or not anybody wants them: what is
    /// held costs more than places. Says how many were asked back; none while as many as are held are yet to leave.
    pub fn ask_back_one_in(&self, of: usize) -> usize {
        let mut taken = self.taken();
        let most = taken.counts.last().map_or(0, |(most, _)| *most);
        let wanted = most.div_ceil(of.max(1));
        let mut asked = 0;
        while asked < wanted && taken.leaving < taken.held && taken.ask_back_of_richest() {
            asked += 1;
        }
        asked
    }

    /// How many are held, without those asked back.
    pub fn held(&self) -> usize {
        self.taken().held
    }

    /// Nothing that happens under this lock can leave it half changed.
    fn taken(&self) -> MutexGuard<'_, Taken<K>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> Taken<K> {
    /// Asks who holds the most for its oldest, if that is fair to it.
    fn ask_back_for(&mut self, holder: &K) -> bool {
        let own = self.holders.get(holder).map_or(0, BTreeMap::len);
        let most = self.counts.last().map_or(0, |(most, _)| *most);
        most >= own + 2 && self.ask_back_of_richest()
    }

    fn ask_back_of_richest(&mut self) -> bool {
        let Some((_, richest)) = self.counts.last().cloned() else {
            return false;
        };
        let mut oldest = None;
        self.change(&richest, |held| oldest = held.pop_first());
        let Some((_, place)) = oldest else {
            return false;
        };
        self.held -= 1;
        self.leaving += 1;
        place.cancel();
        true
    }

    fn change(&mut self, holder: &K, change: impl FnOnce(&mut BTreeMap<u64, CancellationToken>)) {
        let mut held = self.holders.remove(holder).unwrap_or_default();
        self.counts.remove(&(held.len(), holder.clone()));
        change(&mut held);
        if !held.is_empty() {
            self.counts.insert((held.len(), holder.clone()));
            self.holders.insert(holder.clone(), held);
        }
    }
}

impl<K: Ord + Clone> Place<K> {
    /// Resolves when another should have it: what holds it ends soon then. Cancel safe.
    pub async fn asked_back(&self) {
        self.asked_back.cancelled().await;
    }
}

impl<K: Ord + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        let mut was_held = false;
        taken.change(&self.holder, |held| {
            was_held = held.remove(&self.number).is_some();
        });
        match was_held {
            true => taken.held -= 1,
            false => taken.leaving -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn is_asked(place: &Place<char>) -> bool {
        place.asked_back.is_cancelled()
    }

    #[test]
    fn who_holds_many_gives_its_oldest_to_who_holds_fewer() {
        let places = Places::new(4);
        let many: Vec<_> = (0..4).map(|_| places.take('m').unwrap()).collect();
        assert!(places.take('m').is_none(), "not for its own");

        let first = places.take('a').unwrap();
        let second = places.take('b').unwrap();

        let asked: Vec<bool> = many.iter().map(is_asked).collect();
        assert_eq!(asked, [true, true, false, false]);
        assert!(!is_asked(&first) && !is_asked(&second));
        assert!(places.take('m').is_none(), "nor back at once");
        assert!(places.take('a').is_none(), "as many as the richest but one");
    }

    #[test]
    fn a_crowd_of_one_each_does_not_push_itself_out() {
        let places = Places::new(2);
        let (one, two) = (places.take('a').unwrap(), places.take('b').unwrap());

        assert!(places.take('c').is_none());

        assert!(!is_asked(&one) && !is_asked(&two));
        drop(one);
        assert!(places.take('c').is_some());
    }

    #[test]
    fn what_does_not_leave_when_asked_keeps_the_whole_bounded() {
        let places = Places::new(2);
        let _stays = [places.take('m').unwrap(), places.take('m').unwrap()];
        let mut held = Vec::new();
        for holder in 'a'..='z' {
            held.extend(places.take(holder));
        }

        assert_eq!(held.len(), 1, "then each holds one");
    }

    #[test]
    fn where_memory_is_short_who_holds_most_gives_some_up_and_no_more_until_they_left() {
        let places = Places::new(100);
        let mut many: Vec<_> = (0..32).map(|_| places.take('m').unwrap()).collect();
        let few: Vec<_> = (0..3).map(|_| places.take('f').unwrap()).collect();

        assert_eq!(places.ask_back_one_in(16), 2);

        assert_eq!(many.iter().filter(|it| is_asked(it)).count(), 2);
        assert!(!few.iter().any(is_asked));
        for _ in 0..100 {
            places.ask_back_one_in(1);
        }
        assert_eq!(places.held(), 17, "as many leave as stay");
        many.clear();
        assert_eq!(places.ask_back_one_in(16), 1, "who is left holds the most");
    }

    #[test]
    fn an_address_of_v6_counts_as_its_network_and_a_mapped_one_as_v4() {
        let source = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            SocketAddr::from((address, 7)).source()
        };
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff:1:2:3"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    }

    #[tokio::test]
    async fn who_is_asked_hears_it() {
        let places = Places::new(2);
        let (old, _young) = (places.take('m').unwrap(), places.take('m').unwrap());
        let newcomer = places.take('n').unwrap();

        old.asked_back().await;

        drop((old, newcomer));
        assert_eq!(places.held(), 1);
    }

    proptest! {
        #[test]
        fn never_are_more_held_than_there_are_and_all_come_back(
            steps in proptest::collection::vec((0u8..5, any::<bool>(), any::<proptest::sample::Index>()), 0..200),
            places_max in 1usize..8,
        ) {
            let places = Places::new(places_max);
            let mut held = Vec::new();
            for (holder, leaves, which) in steps {
                if leaves && !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                } else {
                    held.extend(places.take(holder));
                }
                prop_assert!(places.held() <= places_max);
                prop_assert!(held.len() <= 2 * places_max);
            }
            held.clear();
            let taken = places.taken();
            prop_assert_eq!((taken.held, taken.leaving), (0, 0));
            prop_assert!(taken.holders.is_empty() && taken.counts.is_empty());
        }
    }
}
