//! The authority online: what signs and answers now, what is marked, and what everybody who watches should know.
//!
//! In: the folder that `ca init` made, a record, what is granted. Out: who a caller is, and the state that clients should be
//! in, which changes under them. It renews itself, and knows no wire. How a call becomes a certificate is in
//! [`crate::issuance`].
//!
//! 1. What changes is seen by whoever watches at once: a statement, a mark of revocation, a wish for renewal.
//! 2. A mark holds here before it is answered: for calls on kept connections and streams as for new ones.

use crate::budget::{Failures, Meter};
use crate::call::{Caller, Connection};
use crate::clock::Clock;
use crate::dir::{Dir, Renewal};
use crate::enforced::{Enforced, STREAMS_MAX, Watching};
use crate::first_statement::{newest_statement, signed, stored};
use crate::in_force::{Ends, InForce};
use crate::lines::Lines;
use crate::refusal::Refusal;
use crate::revocation::{Mark, Revocations, Revoked};
use crate::server_error::ServerError;
use crate::store::{self, Ledger, StoredStatement};
use crate::turns::Turns;
use crate::window::Renewals;
use arc_swap::ArcSwap;
use config::SpiffeId;
use config::unit::Rate;
use identity::{Bundle, SignedStatement, StatementRefused};
use rustls::ServerConfig;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::CaMetrics;
use tokio::sync::{Mutex, Semaphore, watch};

/// Strangers' attempts under way at a time: each waits for a look-up, and is out of the way then.
const ATTEMPTS_MAX: usize = 256;
/// The same of those who prove the key of an ended certificate, so that no flood of joins is before them.
const PROOFS_MAX: usize = 256;
/// Joins under way at a time, of those whose token admits: each waits for the disk, and the disk takes them together.
const JOINS_MAX: usize = 256;

/// What this CA grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// How long a leaf lives.
    pub ttl: Duration,
    /// The longest that a leaf may live.
    pub ttl_max: Duration,
    /// How long after its end a certificate may still be renewed by proof of its key; zero for never.
    pub grace: Duration,
    /// Joins of one identity.
    pub per_identity: Rate,
    /// Failed attempts of one address.
    pub per_source: Rate,
}

/// An authority that answers calls.
pub struct AuthorityServer<L> {
    dir: Dir,
    pub(crate) ledger: L,
    pub(crate) grants: Grants,
    in_force: ArcSwap<InForce>,
    revoked: RwLock<Revocations>,
    state: watch::Sender<State>,
    /// Held while a statement is appended, so that they are told in their order.
    stating: Mutex<()>,
    pub(crate) attempts: Semaphore,
    pub(crate) proofs: Semaphore,
    /// Statements are read one page at a time, since anybody may ask for them: other look-ups find the record free.
    reading: Semaphore,
    pub(crate) joins: Semaphore,
    pub(crate) turns: Turns,
    pub(crate) identities: Meter<SpiffeId>,
    pub(crate) lines: Lines,
    pub(crate) failures: Failures,
    enforced: Enforced,
    metrics: Arc<CaMetrics>,
    clock: Clock,
}

/// What became of the CA's own certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Whether it answers with another certificate now.
    pub own: bool,
    /// What became of the issuer.
    pub issuer: Renewal,
}

impl Upkeep {
    const ROOT_AWAY: Upkeep = Upkeep {
        own: false,
        issuer: Renewal::RootAway,
    };
}

impl Default for Upkeep {
    /// Nothing was due.
    fn default() -> Self {
        Upkeep {
            own: false,
            issuer: Renewal::NotDue,
        }
    }
}

/// What clients should know; whoever watches hears of every change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The newest statement about the roots.
    pub(crate) statement: Arc<StoredStatement>,
    /// The last mark's epoch.
    pub(crate) revocation_epoch: u64,
    /// Whose certificates are to be renewed.
    pub(crate) renewals: Renewals,
}

impl<L: Ledger> AuthorityServer<L> {
    /// Opens what `ca init` made. The first time, the root states and signs whom to trust.
    pub async fn open(
        dir: Dir,
        ledger: L,
        grants: Grants,
        metrics: Arc<CaMetrics>,
        now: SystemTime,
    ) -> Result<Self, ServerError> {
        let (authority, _) = dir.authority_renewed(now)?;
        let statement = newest_statement(&ledger, &dir, &authority).await?;
        let revoked = all_marks(&ledger).await?;
        let in_force = InForce::begin(Arc::new(authority), 1, now)?;
        in_force.tell(&metrics);
        let state = State {
            statement: Arc::new(statement),
            revocation_epoch: revoked.epoch(),
            // Who was connected before is not known: there is room for as many as there may be.
            renewals: Renewals::begin(in_force.issuer_id(), STREAMS_MAX, now),
        };
        Ok(AuthorityServer {
            dir,
            ledger,
            grants,
            in_force: ArcSwap::from_pointee(in_force),
            revoked: RwLock::new(revoked),
            state: watch::Sender::new(state),
            stating: Mutex::new(()),
            attempts: Semaphore::new(ATTEMPTS_MAX),
            proofs: Semaphore::new(PROOFS_MAX),
            reading: Semaphore::new(1),
            joins: Semaphore::new(JOINS_MAX),
            turns: Turns::begin().map_err(ServerError::Threads)?,
            identities: Meter::new(grants.per_identity),
            lines: Lines::default(),
            failures: Failures::new(grants.per_source),
            enforced: Enforced::default(),
            metrics,
            clock: Clock::default(),
        })
    }

    /// Judges calls by another clock than the system's.
    pub fn by_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lets the next issuer and the next certificate of its own take over where they are due. The old ones work meanwhile.
    /// Reads files when something is due, and may then wait for another process that does the same.
    pub fn renew_itself(&self, now: SystemTime) -> Result<Upkeep, ServerError> {
        let present = self.in_force.load();
        let own_due = present.own_due(now);
        if !own_due && !present.authority.successor_due(now) {
            return Ok(Upkeep::default());
        }
        let renewed = self.dir.authority_renewed(now);
        let (authority, issuer) = match renewed {
            Ok((_, Renewal::RootAway)) if !own_due => return Ok(Upkeep::ROOT_AWAY),
            Ok((authority, issuer)) => (Arc::new(authority), Ok(issuer)),
            // The CA's own certificate needs no disk: it goes on with the issuer that there is.
            Err(error) if own_due => (Arc::clone(&present.authority), Err(error)),
            Err(error) => return Err(error.into()),
        };
        let next = InForce::begin(authority, present.own.number() + 1, now)?;
        next.tell(&self.metrics);
        let (before, now_signs) = (present.issuer_id(), next.issuer_id());
        self.in_force.store(Arc::new(next));
        if now_signs != before {
            let clients = self.enforced.len();
            let told = |state: &mut State| state.renewals.replaced(now_signs, clients, now);
            self.state.send_modify(told);
        }
        Ok(Upkeep {
            own: true,
            issuer: issuer?,
        })
    }

    /// When the certificates end that it answers and signs with.
    pub fn ends(&self) -> Ends {
        self.in_force.load().ends()
    }

    /// Asks everybody who watches to renew what was issued until now, spread so that they do not come at once. Says by when
    /// they will have; who comes back later is asked then.
    pub fn ask_renewals(&self) -> SystemTime {
        let (now, clients) = (self.now(), self.enforced.len());
        let mut until = now;
        self.state
            .send_modify(|state| until = state.renewals.ask(clients, now));
        until
    }

    /// What to shake hands with now.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.load().tls)
    }

    /// What this CA grants.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The record and all else that is kept.
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// The clients who watch, and what each says that it enforces.
    pub fn watching(&self) -> Vec<Watching> {
        self.enforced.list()
    }

    pub(crate) fn metrics(&self) -> &Arc<CaMetrics> {
        &self.metrics
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// What the clients who watch say that they enforce.
    pub(crate) fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// The roots that the newest statement names; `None` if that cannot be read, which it could when it was kept.
    pub(crate) fn trusted(&self) -> Option<Bundle> {
        let newest = signed(&self.state.borrow().statement)?;
        Some(newest.statement().bundle().clone())
    }

    /// Statements with a greater sequence than this, oldest first. Who has them all costs no look-up.
    pub(crate) async fn statements(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<StoredStatement>, Refusal> {
        if after >= self.state.borrow().statement.sequence {
            return Ok(Vec::new());
        }
        let _turn = self.reading.acquire().await;
        let found = self.ledger.statements(after.saturating_add(1), limit).await;
        found.map_err(|fault| Refusal::Record(fault.into()))
    }

    /// What clients should know now.
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The same, and every change of it.
    pub(crate) fn changes(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// What is marked.
    pub(crate) fn revoked(&self) -> RwLockReadGuard<'_, Revocations> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who calls, by a certificate that holds now and that no mark is about.
    pub(crate) fn caller<'a>(
        &self,
        connection: &'a Connection,
        now: SystemTime,
    ) -> Result<Caller<'a>, Refusal> {
        let caller = connection.caller(self.in_force.load().own.verifier(), now)?;
        let leaf = caller.leaf;
        self.revoked()
            .refuse(leaf.serial, leaf.key_hash(), &caller.peer.id)?;
        Ok(caller)
    }
}

impl<L: Ledger + 'static> AuthorityServer<L> {
    /// Marks something as revoked: nothing more is issued for it, its calls are refused and its streams end. Says the epoch of
    /// the mark once it is kept; the same one again is no error. What has begun is done to its end, whoever stops waiting: a
    /// mark that is kept and does not hold here would be worse than none.
    pub async fn revoke(self: &Arc<Self>, what: Revoked) -> Result<u64, store::Refused> {
        let server = Arc::clone(self);
        let marked = tokio::spawn(async move { server.mark(what).await }).await;
        marked.unwrap_or(Err(store::Fault::Closed.into()))
    }

    async fn mark(&self, what: Revoked) -> Result<u64, store::Refused> {
        let now = self.now();
        let epoch = self.ledger.revoke(what.clone(), now).await?;
        let mark = Mark {
            epoch,
            what,
            at_s: unix_s(now),
        };
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.take([mark]);
        let newest = revoked.epoch();
        drop(revoked);
        self.state
            .send_modify(|state| state.revocation_epoch = state.revocation_epoch.max(newest));
        Ok(epoch)
    }

    /// Takes the next statement about the roots, if those who hold the present one will believe it, and tells it to all. What
    /// has begun is done to its end, as with [`AuthorityServer::revoke`].
    pub async fn append_statement(
        self: &Arc<Self>,
        next: &SignedStatement,
    ) -> Result<(), ServerError> {
        let (server, next) = (Arc::clone(self), next.clone());
        let kept = tokio::spawn(async move { server.state_next(&next).await }).await;
        kept.unwrap_or_else(|_| Err(store::Refused::from(store::Fault::Closed).into()))
    }

    async fn state_next(&self, next: &SignedStatement) -> Result<(), ServerError> {
        let _in_order = self.stating.lock().await;
        let held = self.state.borrow().statement.clone();
        let held = signed(&held).ok_or(StatementRefused::Encoding)?;
        identity::walk(&held, std::slice::from_ref(next))?;
        if next.statement().sequence() <= held.statement().sequence() {
            return Ok(()); // the very same one again: anything else was refused
        }
        let kept = stored(next);
        self.ledger.append_statement(kept.clone()).await?;
        self.state
            .send_modify(|state| state.statement = Arc::new(kept));
        Ok(())
    }
}

impl<L> fmt::Debug for AuthorityServer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityServer")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

async fn all_marks(ledger: &impl Ledger) -> Result<Revocations, ServerError> {
    let mut all = Revocations::default();
    loop {
        let page = ledger.revocations(all.epoch(), store::LIST_MAX).await;
        let page = page.map_err(store::Refused::from)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.take(page);
    }
}

fn unix_s(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
