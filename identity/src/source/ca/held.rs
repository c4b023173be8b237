//! What is held: whom we believe, who we are, and the generations made of both.
//!
//! In: what was issued, stated or read. Out: a new generation through [`Current`] for every change, and when to renew.
//!
//! 1. A statement is replaced only by a newer one.
//! 2. A generation is remembered with the statement it enforces: only what is in force is ever acknowledged.
//! 3. What no peer would believe when it was resumed is not served, but it is there to be renewed.

use super::reply::Issued;
use crate::renew::{APART_MIN, Boot, Due};
use crate::{
    Bundle, Bundles, Current, Generation, GenerationError, Kept, Refused, SignedStatement, Svid,
};
use rustls::pki_types::UnixTime;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Generations remembered: the proxy enforces one of the last few.
const MADE_MAX: usize = 64;

/// An SVID with its times.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) svid: Arc<Svid>,
    pub(super) issued_at_unix_ms: i64,
    /// When it ends, on the clock that nobody can set.
    pub(super) ends: Boot,
    due: Due,
    /// Its age is only as right as the wall's clock.
    resumed: bool,
}

impl Member {
    /// One that a restart found. A clock that is behind makes it younger than it is.
    fn resumed(svid: Arc<Svid>, issued_at_unix_ms: i64, boot: Boot, unix_ms: i64) -> Self {
        let leaf = svid.leaf();
        let age = u64::try_from(unix_ms.saturating_sub(issued_at_unix_ms)).unwrap_or(0);
        let (age, ends) = (Duration::from_millis(age), unix_s(leaf.not_after));
        let due = Due::of_kept(boot, age, issued_at_unix_ms, ends, &leaf.id);
        Member {
            issued_at_unix_ms,
            ends: boot.saturating_add(due.life()).saturating_sub(age),
            due,
            resumed: true,
            svid,
        }
    }

    pub(super) fn life(&self) -> Duration {
        self.due.life()
    }

    pub(super) fn serial(&self) -> &str {
        &self.svid.leaf().serial
    }
}

/// What a generation enforces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    generation: u64,
    pub(super) statement_sequence: u64,
    pub(super) leaf_serial: String,
}

/// When the CA wants a certificate renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) after: Boot,
    pub(super) before: Boot,
}

#[derive(Debug)]
pub(super) struct Held {
    inner: Mutex<Inner>,
    current: Current,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    statement: Option<Arc<SignedStatement>>,
    member: Option<Arc<Member>>,
    /// Whether the member is good to serve with, or was once.
    serves: bool,
    /// The moment that was drawn from the CA's window for this member.
    drawn: Option<Boot>,
    federated: Vec<Bundle>,
    generations: u64,
    made: VecDeque<Made>,
}

impl Held {
    pub(super) fn new(federated: Vec<Bundle>) -> Self {
        Held {
            inner: Mutex::new(Inner {
                federated,
                ..Inner::default()
            }),
            current: Current::empty(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn current(&self) -> &Current {
        &self.current
    }

    /// Counts what was changed: for who keeps it on disk, and for who waits.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn statement(&self) -> Option<Arc<SignedStatement>> {
        self.inner().statement.clone()
    }

    pub(super) fn member(&self) -> Option<Arc<Member>> {
        self.inner().member.clone()
    }

    /// What a generation enforces; `None`: it is none of ours, or long gone.
    pub(super) fn made(&self, generation: u64) -> Option<Made> {
        let inner = self.inner();
        inner
            .made
            .iter()
            .find(|made| made.generation == generation)
            .cloned()
    }

    /// For how long to sleep before judging again; `None`: a certificate is due.
    pub(super) fn sleep(&self, now: Boot) -> Option<Duration> {
        let inner = self.inner();
        let due = inner.member.as_ref()?.due;
        due.or_at(inner.drawn.unwrap_or(Boot::MAX)).sleep(now)
    }

    /// Takes what a restart found; [`Held::serve_if_good`] says whether it serves.
    pub(super) fn resume(&self, kept: Kept, boot: Boot, unix_ms: i64) {
        let mut inner = self.inner();
        let svid = Arc::new(kept.svid);
        let member = Member::resumed(svid, kept.issued_at_unix_ms, boot, unix_ms);
        inner.statement = Some(Arc::new(kept.statement));
        inner.member = Some(Arc::new(member));
    }

    /// Judges the age of what was resumed again: the clock may have been behind and is set right. What is older than it was
    /// taken for ends and is renewed sooner; later, never.
    pub(super) fn age(&self, boot: Boot, unix_ms: i64) {
        let mut inner = self.inner();
        let Some(member) = inner.member.as_ref().filter(|member| member.resumed) else {
            return;
        };
        let issued = member.issued_at_unix_ms;
        let judged = Member::resumed(Arc::clone(&member.svid), issued, boot, unix_ms);
        // What a clock drifts is no news.
        if judged.ends.saturating_add(APART_MIN) < member.ends {
            inner.member = Some(Arc::new(judged));
            drop(inner);
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Serves with what was resumed, if a peer would believe it now; a clock that was wrong at start may have been set right.
    pub(super) fn serve_if_good(
        &self,
        now: UnixTime,
    ) -> Result<Result<(), Refused>, GenerationError> {
        let mut inner = self.inner();
        if inner.serves {
            return Ok(Ok(()));
        }
        inner.serves = true;
        let Some(generation) = inner.make()? else {
            inner.serves = false;
            return Ok(Ok(()));
        };
        let good = generation.check(now);
        match &good {
            Ok(()) => self.put_in_force(generation),
            Err(_) => {
                inner.serves = false;
                inner.made.pop_back();
                inner.generations -= 1;
            }
        }
        Ok(good)
    }

    /// Takes what was issued.
    pub(super) fn issued(&self, issued: Issued, received: Boot) -> Result<(), GenerationError> {
        let mut inner = self.inner();
        let due = Due::of(
            received,
            issued.issued_at_unix_ms,
            issued.not_after_unix_s,
            &issued.svid.leaf().id,
        );
        let before = inner.member.replace(Arc::new(Member {
            svid: Arc::new(issued.svid),
            issued_at_unix_ms: issued.issued_at_unix_ms,
            ends: received.saturating_add(due.life()),
            due,
            resumed: false,
        }));
        inner.take_newer(issued.statement);
        let served = std::mem::replace(&mut inner.serves, true);
        match self.publish(&mut inner) {
            Ok(()) => {
                inner.drawn = None;
                Ok(())
            }
            Err(why) => {
                (inner.member, inner.serves) = (before, served);
                Err(why)
            }
        }
    }

    /// Takes a statement that was walked to, if it is newer; says whether it was.
    pub(super) fn believes(&self, statement: SignedStatement) -> Result<bool, GenerationError> {
        let mut inner = self.inner();
        let newer = inner.take_newer(statement);
        if newer {
            self.publish(&mut inner)?;
        }
        Ok(newer)
    }

    /// The bundles of other trust domains.
    pub(super) fn other_bundles(&self) -> Vec<Bundle> {
        self.inner().federated.clone()
    }

    /// Takes the bundles of other trust domains.
    pub(super) fn federated(&self, bundles: Vec<Bundle>) -> Result<(), GenerationError> {
        let mut inner = self.inner();
        inner.federated = bundles;
        self.publish(&mut inner)
    }

    /// Takes the CA's wish when to renew this certificate, and draws a moment from it with `random`, evenly from 0 to 1. A moment
    /// that was drawn stays as long as the wish allows it.
    pub(super) fn window(&self, serial: &str, window: Window, random: f64) {
        let mut inner = self.inner();
        let ours = inner
            .member
            .as_ref()
            .is_some_and(|now| now.serial() == serial);
        let allowed = |at: Boot| window.after <= at && at <= window.before;
        if ours && !inner.drawn.is_some_and(allowed) {
            let wide = window.before.saturating_sub(window.after);
            inner.drawn = Some(
                window
                    .after
                    .saturating_add(wide.mul_f64(random.clamp(0.0, 1.0))),
            );
            drop(inner);
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn publish(&self, inner: &mut Inner) -> Result<(), GenerationError> {
        match inner.make()? {
            Some(generation) => self.put_in_force(generation),
            None => self.changes.send_modify(|changes| *changes += 1),
        }
        Ok(())
    }

    fn put_in_force(&self, generation: Generation) {
        self.current.publish(generation);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Invariant 1.
    fn take_newer(&mut self, statement: SignedStatement) -> bool {
        let sequence = |held: &SignedStatement| held.statement().sequence();
        let held = self.statement.as_deref().map(sequence);
        let newer = held.is_none_or(|held| held < sequence(&statement));
        if newer {
            self.statement = Some(Arc::new(statement));
        }
        newer
    }

    /// A generation of all that is held, if we are somebody who serves.
    fn make(&mut self) -> Result<Option<Generation>, GenerationError> {
        let (Some(member), Some(statement), true) = (&self.member, &self.statement, self.serves)
        else {
            return Ok(None);
        };
        let mut bundles = Bundles::of(statement.statement().bundle().clone());
        for bundle in &self.federated {
            // None is there twice: that was refused where they were read.
            let _once = bundles.add(bundle.clone());
        }
        let number = self.generations + 1;
        let generation = Generation::new(number, Arc::clone(&member.svid), bundles)?;
        self.generations = number;
        self.made.push_back(Made {
            generation: number,
            statement_sequence: statement.statement().sequence(),
            leaf_serial: member.serial().to_owned(),
        });
        if self.made.len() > MADE_MAX {
            self.made.pop_front();
        }
        Ok(Some(generation))
    }
}

fn unix_s(moment: SystemTime) -> i64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Key, Statement};
    use config::TrustDomain;
    use rustls::pki_types::CertificateDer;

    const S: fn(u64) -> Duration = Duration::from_secs;
    /// Since boot, when things begin.
    const BOOT: Boot = Duration::from_secs(100_000);

    fn statement(root: &mint::Authority, sequence: u64) -> SignedStatement {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let der = CertificateDer::from(root.root.clone());
        let bundle = Bundle::from_roots(domain, vec![der]).unwrap();
        let key = Key::from_pkcs8(&root.key.pkcs8()).unwrap();
        let statement = Statement::new(&bundle, sequence, 5).unwrap();
        SignedStatement::sign(statement, &[&key]).unwrap()
    }

    /// What a restart finds: a leaf of an hour, issued just now.
    fn kept(root: &mint::Authority) -> Kept {
        let leaf = root.leaf_with("spiffe://shop.example/orders", |draft| {
            draft.not_after = mint::now_s() + 3600;
        });
        let key = Key::from_pem(leaf.key.pem().as_bytes()).unwrap();
        Kept {
            svid: Svid::from_pem(leaf.chain_pem().as_bytes(), key).unwrap(),
            statement: statement(root, 7),
            issued_at_unix_ms: mint::now_s() * 1000,
        }
    }

    fn at(seconds: i64) -> (i64, UnixTime) {
        let now = mint::now_s() + seconds;
        let unix = UnixTime::since_unix_epoch(S(u64::try_from(now).unwrap()));
        (now * 1000, unix)
    }

    /// After how many seconds a renewal is due.
    fn due_in(held: &Held) -> u64 {
        let asleep = |seconds: &u64| held.sleep(BOOT + S(*seconds)).is_some();
        (0..10_000).find(|seconds| !asleep(seconds)).unwrap()
    }

    /// Invariant 3.
    #[test]
    fn what_is_resumed_serves_when_a_peer_would_believe_it_and_not_before() {
        let root = mint::Authority::root("shop.example");
        let held = Held::new(Vec::new());
        let (ahead_ms, ahead) = at(2 * 3600);
        held.resume(kept(&root), BOOT, ahead_ms);

        let refused = held.serve_if_good(ahead).unwrap().unwrap_err();
        assert_eq!(refused.reason(), "expired");
        assert!(held.current().load().is_none() && held.made(1).is_none());
        // A statement alone makes no generation of it.
        assert!(held.believes(statement(&root, 8)).unwrap());
        assert!(held.current().load().is_none());
        assert_eq!(
            (due_in(&held), held.member().unwrap().ends),
            (0, BOOT - S(3600))
        );

        // The clock was wrong, and is right now.
        assert_eq!(held.serve_if_good(at(0).1).unwrap(), Ok(()));
        assert_eq!(held.current().load().unwrap().number(), 1);
        assert_eq!(held.made(1).unwrap().statement_sequence, 8);
    }

    /// Invariants 1 and 2.
    #[test]
    fn only_a_newer_statement_makes_a_generation_and_each_remembers_its_own() {
        let root = mint::Authority::root("shop.example");
        let held = Held::new(Vec::new());
        held.resume(kept(&root), BOOT, at(0).0);
        held.serve_if_good(at(0).1).unwrap().unwrap();

        assert!(!held.believes(statement(&root, 7)).unwrap());
        assert!(!held.believes(statement(&root, 6)).unwrap());
        assert_eq!(held.current().load().unwrap().number(), 1);
        assert!(held.believes(statement(&root, 9)).unwrap());
        assert_eq!(held.current().load().unwrap().number(), 2);
        let sequence = |number| held.made(number).map(|made| made.statement_sequence);
        assert_eq!([1, 2, 3].map(sequence), [Some(7), Some(9), None]);
    }

    #[test]
    fn a_wish_to_renew_is_granted_once_drawn_and_never_makes_it_later() {
        let root = mint::Authority::root("shop.example");
        let held = Held::new(Vec::new());
        held.resume(kept(&root), BOOT, at(0).0);
        let serial = held.member().unwrap().serial().to_owned();
        let own = due_in(&held);
        assert!((1600..2000).contains(&own), "{own}");
        let wish = |serial: &str, after, before, random| {
            let window = Window {
                after: BOOT + S(after),
                before: BOOT + S(before),
            };
            held.window(serial, window, random);
            due_in(&held)
        };

        assert_eq!(wish("00", 10, 20, 0.5), own);
        assert_eq!(wish(&serial, 5000, 6000, 0.5), own);
        assert_eq!(wish(&serial, 10, 20, 0.5), 15);
        // The same wish again, a little later, moves nothing; one that does not allow the moment does.
        assert_eq!(wish(&serial, 12, 20, 0.9), 15);
        assert_eq!(wish(&serial, 0, 10, 0.5), 5);
        // Who wishes for a renewal at once, again and again, gets one a second.
        assert_eq!(wish(&serial, 0, 0, 0.5), 1);
    }

    /// A machine without a clock of its own starts with the moment when it was switched off.
    #[test]
    fn what_was_resumed_by_a_clock_that_was_behind_is_as_old_as_it_is_once_the_clock_is_right() {
        let root = mint::Authority::root("shop.example");
        let held = Held::new(Vec::new());
        held.resume(kept(&root), BOOT, at(-3600).0);
        let (ends, own) = (BOOT + S(3600), due_in(&held));
        assert_eq!(held.member().unwrap().ends, ends);

        // Time goes on, and so does the clock: nothing is news.
        held.age(BOOT + S(10), at(-3590).0);
        held.age(BOOT + S(20), at(20).0);
        let drifts = ends - held.member().unwrap().ends;
        assert!(drifts <= APART_MIN, "{drifts:?}");
        assert_eq!((due_in(&held), held.member().unwrap().ends), (own, ends));

        held.age(BOOT + S(30), at(3 * 86_400).0);
        assert!(held.sleep(BOOT + S(30)).is_none());
        assert!(held.member().unwrap().ends < BOOT + S(30));
        // A clock that is set back makes it no younger.
        held.age(BOOT + S(40), at(0).0);
        assert!(held.member().unwrap().ends < BOOT + S(30));
    }
}
