//! Names of endpoints, and the addresses that they stand for now.
//!
//! In: the name of a host or of SRV records. Out: a [`Name`], shared by everybody who follows it, whose answer is looked up
//! when it is needed and is not fresh. A name that nobody uses is not looked up.
//!
//! 1. One look-up of a name at a time; who needs it waits for that one.
//! 2. An answer holds as long as it says, within [`TTL_MIN`] and [`TTL_MAX`]; that there is none, [`TTL_MIN`].
//! 3. While nobody answers, what was known stays: a peer is judged by its identity, never by its address. When the DNS says
//!    that there is nothing any more, nothing is there.
//! 4. However many addresses an answer has, [`ADDRESSES_MAX`] are used.
//! 5. Who waits, waits until its own deadline, and the look-up runs on without it.

mod resolver;

use arc_swap::ArcSwap;
use config::{Address, Endpoint};
use resolver::{Answered, Resolver, Unanswered, is_localhost};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An answer that says less holds this long: a server that says zero is not asked at every request. After a failure a name is
/// not looked up again sooner than this either.
const TTL_MIN: Duration = Duration::from_secs(1);
/// An answer that says more holds this long: endpoints move faster than some zones are written.
const TTL_MAX: Duration = Duration::from_secs(300);
/// An answer that ended this long ago was not in use: who needs it waits for the next one instead of trying what was there.
const OLD: Duration = Duration::from_secs(10);

/// Addresses of one name that are used: as many as the largest set behind one name of Kubernetes. Who writes more into an answer
/// must not make every look at them longer.
const ADDRESSES_MAX: usize = 1000;

/// What is asked of the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    /// Addresses of a host.
    Host { host: String, port: u16 },
    /// Hosts and ports of a service.
    Srv(String),
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { host, .. } => f.write_str(host),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}

/// An address that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// The least is wanted most: the priority of an SRV record.
    pub(crate) rank: u16,
    /// Where.
    pub(crate) at: SocketAddr,
    /// How often its turn comes among those of its rank: of the weight of an SRV record, its share.
    pub(crate) weight: u32,
}

/// What weighs nothing in particular.
pub(crate) const WEIGHT: u32 = 256;

/// Every name that somebody follows.
pub(crate) struct Names {
    resolver: Arc<Resolver>,
    known: Mutex<HashMap<Question, Weak<Name>>>,
}

/// A name that is followed.
pub(crate) struct Name {
    question: Question,
    resolver: Arc<Resolver>,
    answer: ArcSwap<Answer>,
    is_asking: AtomicBool,
    /// Whether somebody waited for an answer until its deadline: the next does not wait.
    is_late: AtomicBool,
    /// Whether the log was told that it has more addresses than are used.
    is_told: AtomicBool,
    /// How many look-ups have ended.
    ended: watch::Sender<u64>,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Where it leads, the most wanted first.
    pub(crate) found: Arc<[Found]>,
    /// Why the last look-up brought nothing.
    pub(crate) failure: Option<Arc<str>>,
    /// When the last look-up ended, and until when its answer holds; `None`: there was none.
    pub(crate) looked: Option<(Instant, Instant)>,
}

/// Whether an answer can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As it is.
    Fresh,
    /// As it is, while the next is looked up.
    Due,
    /// Only when the next one does not come.
    Old,
}

impl Names {
    /// Names as these servers know them; as the system does if there are none.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            resolver: Arc::new(Resolver::new(servers)),
            known: Mutex::default(),
        }
    }
    /// Follows what an endpoint names; `None`: it names nothing, but says its address.
    pub(crate) fn follow(&self, endpoint: &Endpoint) -> Option<Arc<Name>> {
        let question = match endpoint {
            Endpoint::Srv(name) => Question::Srv(name.clone()),
            Endpoint::At(Address::Tcp { host, port }) if !is_ip(host) => Question::Host {
                host: host.to_ascii_lowercase(),
                port: *port,
            },
            Endpoint::At(_) => return None,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(&question).and_then(Weak::upgrade) {
            return Some(name);
        }
        known.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(Name::new(question.clone(), self.resolver.clone()));
        known.insert(question, Arc::downgrade(&name));
        Some(name)
    }
}

fn is_ip(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

impl Name {
    fn new(question: Question, resolver: Arc<Resolver>) -> Self {
        let nothing = Answer {
            found: Arc::default(),
            failure: None,
            looked: None,
        };
        Self {
            question,
            resolver,
            answer: ArcSwap::from_pointee(nothing),
            is_asking: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            ended: watch::Sender::new(0),
        }
    }
    /// What is known now.
    pub(crate) fn answer(&self) -> Arc<Answer> {
        self.answer.load_full()
    }
    /// Whether what it leads to is what is written: `localhost` says where it leads.
    pub(crate) fn is_written(&self) -> bool {
        matches!(&self.question, Question::Host { host, .. } if is_localhost(host))
    }
    /// Whether a look-up is under way.
    pub(crate) fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Acquire)
    }
    /// Whether what is known can be used at `now`.
    pub(crate) fn freshness(&self, now: Instant) -> Freshness {
        let answer = self.answer.load();
        match answer.looked {
            Some((_, until)) if now < until => Freshness::Fresh,
            // Whoever did not answer just now will not do so for the next who asks.
            _ if self.is_late.load(Ordering::Relaxed) => Freshness::Due,
            Some(_) if answer.failure.is_some() && !answer.found.is_empty() => Freshness::Due,
            Some((_, until)) if now < until + OLD && !answer.found.is_empty() => Freshness::Due,
            _ => Freshness::Old,
        }
    }
    /// Looks it up, unless that is being done.
    pub(crate) fn ask(self: &Arc<Self>) {
        if self.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = self.clone();
        tokio::spawn(async move {
            let asking = Asking(&name);
            let answered = name.resolver.ask(&name.question).await;
            name.take(answered, Instant::now());
            drop(asking);
        });
    }
    /// Waits for the look-up that is under way, or for one that begins now; `false`: it took too long.
    pub(crate) async fn asked(self: &Arc<Self>, deadline: Instant) -> bool {
        let mut ended = self.ended.subscribe();
        self.ask();
        let came = tokio::time::timeout_at(deadline.into(), ended.changed()).await;
        self.is_late.store(came.is_err(), Ordering::Relaxed);
        came.is_ok()
    }
    /// Whether it is worth asking again, after what it led to was found wanting: not of an answer that came just now.
    pub(crate) fn is_worth_asking(&self, now: Instant) -> bool {
        let looked = self.answer.load().looked;
        looked.is_none_or(|(at, _)| now >= at + TTL_MIN)
    }
    /// As many as are used, the most wanted first.
    fn some(&self, mut found: Vec<Found>) -> Arc<[Found]> {
        found.sort();
        found.dedup();
        if found.len() > ADDRESSES_MAX && !self.is_told.swap(true, Ordering::Relaxed) {
            let (name, all) = (&self.question, found.len());
            tracing::warn!("{name} has {all} addresses; {ADDRESSES_MAX} of them are used");
        }
        found.truncate(ADDRESSES_MAX);
        found.into()
    }
    fn take(&self, answered: Answered, now: Instant) {
        let (found, failure, holds) = match answered {
            Ok((found, ttl)) => (self.some(found), None, ttl.clamp(TTL_MIN, TTL_MAX)),
            Err(Unanswered::Missing(why)) => (Arc::default(), Some(why), TTL_MIN),
            Err(Unanswered::Failed(why)) => (self.answer.load().found.clone(), Some(why), TTL_MIN),
        };
        self.is_late.store(false, Ordering::Relaxed);
        self.answer.store(Arc::new(Answer {
            found,
            failure: failure.map(Into::into),
            looked: Some((now, now + holds)),
        }));
    }
}

/// A look-up, which ends however it ends.
struct Asking<'a>(&'a Name);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::Release);
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn name() -> Name {
        let question = Question::Host {
            host: "orders.example".into(),
            port: 15006,
        };
        Name::new(question, Arc::new(Resolver::new(Vec::new())))
    }

    fn found() -> Vec<Found> {
        vec![Found {
            rank: 0,
            at: "10.0.0.1:15006".parse().unwrap(),
            weight: WEIGHT,
        }]
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_bounds() {
        let check = |ttl_s: u64, holds_s: u64| {
            let (name, now) = (name(), Instant::now());
            name.take(Ok((found(), SECOND * u32::try_from(ttl_s).unwrap())), now);
            let holds = Duration::from_secs(holds_s);
            let last = now + holds - Duration::from_millis(1);
            assert_eq!(name.freshness(last), Freshness::Fresh, "{ttl_s} s");
            assert_eq!(name.freshness(now + holds), Freshness::Due, "{ttl_s} s");
            assert_eq!(name.freshness(now + holds + OLD), Freshness::Old);
        };
        check(0, 1);
        check(5, 5);
        check(86_400, 300);
    }

    #[test]
    fn what_was_known_stays_while_nobody_answers_and_goes_when_the_dns_says_so() {
        let (name, now) = (name(), Instant::now());
        name.take(Ok((found(), SECOND)), now);

        name.take(Err(Unanswered::Failed("timed out".into())), now + SECOND);
        assert_eq!(*name.answer().found, *found());
        assert_eq!(name.answer().failure.as_deref(), Some("timed out"));
        let hours_later = now + SECOND * 7200;
        assert_eq!(name.freshness(hours_later), Freshness::Due, "nobody waits");

        name.take(Err(Unanswered::Missing("no such name".into())), now);
        assert!(name.answer().found.is_empty());
        assert_eq!(name.freshness(now), Freshness::Fresh, "kept for a moment");
        assert_eq!(name.freshness(now + SECOND), Freshness::Old);
    }

    #[test]
    fn of_an_answer_without_end_a_bounded_part_is_used_the_most_wanted_first() {
        let (name, now) = (name(), Instant::now());
        let found = |n: u32| Found {
            weight: WEIGHT,
            rank: u16::from(n < 60_000),
            at: SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 15006)),
        };
        // Each twice.
        let all = (0..64_000).chain(0..64_000).map(found).collect();

        name.take(Ok((all, SECOND)), now);

        let used = &name.answer().found;
        assert_eq!(used.len(), ADDRESSES_MAX);
        assert_eq!(used.last(), Some(&found(60_999)));
    }

    #[test]
    fn what_was_never_looked_up_is_waited_for() {
        assert_eq!(name().freshness(Instant::now()), Freshness::Old);
        assert!(name().is_worth_asking(Instant::now()));
    }

    #[test]
    fn an_answer_that_came_just_now_is_not_asked_for_again() {
        let (name, now) = (name(), Instant::now());
        name.take(Ok((found(), SECOND * 60)), now);
        assert!(!name.is_worth_asking(now + SECOND / 2));
        assert!(name.is_worth_asking(now + SECOND));
    }

    #[test]
    fn who_follows_the_same_name_follows_one() {
        let names = Names::new(Vec::new());
        let follow = |text| names.follow(&Endpoint::At(Address::parse(text).unwrap()));
        let (one, same) = (follow("orders:1").unwrap(), follow("ORDERS:1").unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        assert!(!Arc::ptr_eq(&one, &follow("orders:2").unwrap()));
        assert!(follow("10.0.0.1:1").is_none());
        assert!(follow("[::1]:1").is_none());
    }
}
