//! The endpoints of an upstream: one for every address that its configuration names or that its names lead to now.
//!
//! 1. An endpoint that stays keeps its connections; one that is gone ends with its last request.
//! 2. Looking at the set costs no lock and no allocation. Names are looked up on the way of a request that needs it, and
//!    waited for only when nothing usable is known.

use super::choice::{Standing, choose};
use super::endpoint::Endpoint;
use super::lock;
use crate::upstream::names::{Freshness, Name, Names};
use crate::upstream::{DialError, Place};
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// While a name is looked up, whether that has ended is asked no more often than this.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Nothing here is ever looked up.
const NEVER: u64 = u64::MAX;

/// Endpoints.
pub(super) struct Set {
    targets: Vec<Target>,
    members: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Held while members are exchanged.
    exchanging: Mutex<()>,
    born: Instant,
    /// When names are looked at next, in milliseconds since `born`.
    due_ms: AtomicU64,
    turn: AtomicUsize,
}

/// What is written in the configuration.
pub(super) enum Target {
    /// An address.
    Fixed(Arc<Endpoint>),
    /// A name, and how it is written.
    Named(Arc<Name>, Arc<str>),
}

async fn asked(name: Arc<Name>, deadline: Instant) -> bool {
    name.asked(deadline).await
}

impl Set {
    /// The set of these endpoints, with what is known of their names.
    pub(super) fn new(endpoints: &[config::Endpoint], names: &Names) -> Self {
        let target = |endpoint: &config::Endpoint| match names.follow(endpoint) {
            Some(name) => Some(Target::Named(name, endpoint.to_string().into())),
            None => {
                let (place, written) = (Place::written(endpoint)?, endpoint.to_string().into());
                Some(Target::Fixed(Arc::new(Endpoint::new(
                    place, 0, true, written,
                ))))
            }
        };
        let targets: Vec<Target> = endpoints.iter().filter_map(target).collect();
        let set = Self {
            targets,
            members: ArcSwap::default(),
            exchanging: Mutex::default(),
            born: Instant::now(),
            due_ms: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        };
        set.exchange();
        // What is known may be old: the first request looks.
        let due = set.names().next().map_or(NEVER, |_| 0);
        set.due_ms.store(due, Ordering::Relaxed);
        set
    }
    fn names(&self) -> impl Iterator<Item = &Arc<Name>> {
        self.targets.iter().filter_map(|target| match target {
            Target::Fixed(_) => None,
            Target::Named(name, _) => Some(name),
        })
    }
    /// What is written, in the order of the configuration.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }
    /// The endpoints that there are now.
    pub(super) fn members(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.members.load_full()
    }
    /// The next endpoint that is not among those tried.
    pub(super) fn next(&self, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        let members = self.members.load();
        if let ([only], []) = (members.as_slice(), tried) {
            return Some(only.clone());
        }
        let standings = members.iter().map(|member| Standing {
            is_tried: tried.iter().any(|tried| Arc::ptr_eq(tried, member)),
            is_resting: member.is_resting(),
            rank: member.rank,
            weight: member.weight(),
        });
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        members.get(choose(standings, turn)?).cloned()
    }
    /// Whether there is one that is not among those tried.
    pub(super) fn has_more(&self, tried: &[Arc<Endpoint>]) -> bool {
        let members = self.members.load();
        let is_tried = |member| tried.iter().any(|tried| Arc::ptr_eq(tried, member));
        members.iter().any(|member| !is_tried(member))
    }
    /// Whether [`Set::renew`] has something to do.
    pub(super) fn is_due(&self) -> bool {
        let due = self.due_ms.load(Ordering::Relaxed);
        due != NEVER && self.age_ms(Instant::now()) >= due
    }
    fn age_ms(&self, at: Instant) -> u64 {
        let age = at.saturating_duration_since(self.born);
        u64::try_from(age.as_millis()).unwrap_or(NEVER - 1)
    }
    /// Looks up what is due, and waits for what cannot be used without.
    pub(super) async fn renew(&self, within: Duration) {
        let now = Instant::now();
        let mut awaited = Vec::new();
        for name in self.names() {
            match name.freshness(now) {
                Freshness::Fresh => {}
                Freshness::Due => name.ask(),
                Freshness::Old => awaited.push(asked(name.clone(), now + within)),
            }
        }
        join_all(awaited).await;
        self.exchange();
    }
    /// Looks names up again because what they led to failed; `false`: they were looked up just now, or there are none.
    pub(super) async fn renewed_after_failure(&self, within: Duration) -> bool {
        let now = Instant::now();
        let worth = self.names().filter(|name| name.is_worth_asking(now));
        let awaited: Vec<_> = worth
            .map(|name| asked(name.clone(), now + within))
            .collect();
        if awaited.is_empty() {
            return false;
        }
        join_all(awaited).await;
        self.exchange();
        true
    }
    /// The same, for whom nobody waits.
    pub(super) fn ask_after_failure(&self) {
        let now = Instant::now();
        for name in self.names().filter(|name| name.is_worth_asking(now)) {
            name.ask();
            self.due_ms.store(0, Ordering::Relaxed);
        }
    }
    /// Makes the members what is known now.
    fn exchange(&self) {
        let _alone = lock(&self.exchanging);
        let old = self.members.load();
        let kind = |member: &Arc<Endpoint>| (member.place.clone(), member.rank, member.is_written);
        let known: HashMap<_, _> = old.iter().map(|member| (kind(member), member)).collect();
        let mut next: Vec<Arc<Endpoint>> = Vec::with_capacity(old.len());
        let mut places = HashSet::new();
        for target in &self.targets {
            let (name, written) = match target {
                Target::Fixed(endpoint) => {
                    places.insert(endpoint.place.clone());
                    next.push(endpoint.clone());
                    continue;
                }
                Target::Named(name, written) => (name, written),
            };
            for found in name.answer().found.iter() {
                let place = Place::Ip(found.at);
                if !places.insert(place.clone()) {
                    continue;
                }
                let kept = known.get(&(place.clone(), found.rank, name.is_written()));
                let kept = kept.map(|kept| Arc::clone(kept));
                let endpoint = kept.unwrap_or_else(|| {
                    Arc::new(Endpoint::new(
                        place,
                        found.rank,
                        name.is_written(),
                        written.clone(),
                    ))
                });
                endpoint.weighs(found.weight);
                next.push(endpoint);
            }
        }
        let is_same = next.len() == old.len()
            && next
                .iter()
                .zip(old.iter())
                .all(|(one, two)| Arc::ptr_eq(one, two));
        if !is_same {
            self.members.store(Arc::new(next));
        }
        self.due_ms.store(self.due(), Ordering::Relaxed);
    }
    fn due(&self) -> u64 {
        let now = Instant::now();
        let due = |name: &Arc<Name>| {
            let until = name.answer().looked.map_or(now, |(_, until)| until);
            match name.is_asking() || until <= now {
                true => self.age_ms(now + LOOK_AGAIN),
                false => self.age_ms(until),
            }
        };
        self.names().map(due).min().unwrap_or(NEVER)
    }
    /// Why there is no endpoint.
    pub(super) fn missing(&self) -> Option<DialError> {
        let answer = self.names().next()?.answer();
        Some(match (&answer.failure, answer.looked) {
            (Some(why), _) => DialError::Dns(why.clone()),
            (None, Some(_)) => DialError::Dns("it has no address".into()),
            (None, None) => DialError::DnsTimeout,
        })
    }
}
