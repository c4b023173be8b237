//! The authority online: from a call to a certificate that is recorded.
//!
//! In: a connection and what is asked over it. Out: an [`Answer`], or a [`Refusal`]. It owns the authority in force, which
//! renews itself, and knows no wire.
//!
//! ```text
//! Connection -attest-> Attested -csr, authorize, template, sign, check-> Checked -record-> Recorded -> Answer
//! ```
//!
//! 1. Attestation comes before work: a stranger costs a look-up.  2. An [`Answer`] is made only from what is recorded.
//! 3. A renewal takes no place that a join could hold.

use crate::attest::{Attested, By, CURRENT_SVID, JOIN_TOKEN};
use crate::authority::{Authority, IssueError, Root};
use crate::authorize::Grant;
use crate::budget::Meter;
use crate::call::Connection;
use crate::check::Checked;
use crate::csr::Csr;
use crate::dir::{Dir, Renewal};
use crate::enforced::{Enforced, Watching};
use crate::in_force::{Ends, InForce};
use crate::record::{Instance, KeyHash, Leaf};
use crate::refusal::{Fault, Refusal};
use crate::server_error::ServerError;
use crate::store::{
    self, JoinRecord, Ledger, Recorded, RenewRecord, StatementSignature, StoredStatement,
};
use crate::vouch::{OPERATOR, Vouched, Wanted, vouch};
use arc_swap::ArcSwap;
use config::SpiffeId;
use config::unit::Rate;
use identity::pki_types::CertificateDer;
use identity::{SignedStatement, Statement};
use rustls::ServerConfig;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use telemetry::CaMetrics;
use tokio::sync::Semaphore;

/// Joins under way at a time: each waits for the disk, and the disk takes them together.
const JOINS_MAX: usize = 256;

/// What this CA grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// How long a leaf lives.
    pub ttl: Duration,
    /// The longest that a leaf may live.
    pub ttl_max: Duration,
    /// Joins of one identity.
    pub per_identity: Rate,
    /// Failed attempts of one address.
    pub per_source: Rate,
}

/// An authority that answers calls.
pub struct AuthorityServer<L> {
    dir: Dir,
    ledger: L,
    grants: Grants,
    in_force: ArcSwap<InForce>,
    statement: StoredStatement,
    joins: Semaphore,
    identities: Meter<SpiffeId>,
    failures: Meter<IpAddr>,
    enforced: Enforced,
    metrics: Arc<CaMetrics>,
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

/// A certificate that stands in the record, with what its holder must know.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) issued_at: SystemTime,
    pub(crate) not_after_s: u64,
    pub(crate) recorded: Recorded,
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
        let statement = newest_statement(&ledger, &authority, now).await?;
        let in_force = InForce::begin(Arc::new(authority), 1, now)?;
        in_force.tell(&metrics);
        Ok(AuthorityServer {
            dir,
            ledger,
            grants,
            in_force: ArcSwap::from_pointee(in_force),
            statement,
            joins: Semaphore::new(JOINS_MAX),
            identities: Meter::new(grants.per_identity),
            failures: Meter::new(grants.per_source),
            enforced: Enforced::default(),
            metrics,
        })
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
        self.in_force.store(Arc::new(next));
        Ok(Upkeep {
            own: true,
            issuer: issuer?,
        })
    }

    /// When the certificates end that it answers and signs with.
    pub fn ends(&self) -> Ends {
        self.in_force.load().ends()
    }

    /// What to shake hands with now.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.in_force.load().tls)
    }

    /// What signs and answers now.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// What this CA grants.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The record and all else that is kept.
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    pub(crate) fn metrics(&self) -> &Arc<CaMetrics> {
        &self.metrics
    }

    /// The clients who watch, and what each says that it enforces.
    pub fn watching(&self) -> Vec<Watching> {
        self.enforced.list()
    }

    /// What the clients who watch say that they enforce.
    pub(crate) fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// The newest statement about the roots.
    pub(crate) fn statement(&self) -> &StoredStatement {
        &self.statement
    }

    /// Who calls, by a certificate that holds now.
    pub(crate) fn peer(
        &self,
        connection: &Connection,
        now: SystemTime,
    ) -> Result<identity::Peer, Refusal> {
        connection.peer(self.in_force.load().own.verifier(), now)
    }

    /// A first certificate for who shows a token.
    pub(crate) async fn join(
        &self,
        connection: &Connection,
        token: Option<&str>,
        csr: &[u8],
        instance: &str,
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let answer = match self.failures.fits(&connection.source, began) {
            Ok(()) => self.join_heard(token, csr, instance, began).await,
            Err(retry) => Err(Refusal::Source { retry }),
        };
        if let Err(refusal) = &answer
            && matches!(refusal.fault(), Fault::Unauthenticated | Fault::Request)
        {
            self.failures.count(&connection.source, began);
        }
        self.counted(JOIN_TOKEN, began, answer)
    }

    async fn join_heard(
        &self,
        token: Option<&str>,
        csr: &[u8],
        instance: &str,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let now = SystemTime::now();
        let _place = self.joins.try_acquire().map_err(|_| Refusal::Joins)?;
        let token = token.ok_or(Refusal::NoEvidence)?;
        let key = KeyHash::of(&Csr::claimed_key(csr)?);
        let attested = Attested::by_token(&self.ledger, token, key, now).await?;
        let taken = self.identities.take(attested.id(), began);
        taken.map_err(|retry| Refusal::Identity {
            id: attested.id().clone(),
            retry,
        })?;
        self.issue(&attested, csr, instance, now).await
    }

    /// The next certificate for who has one.
    pub(crate) async fn renew(
        &self,
        connection: &Connection,
        csr: &[u8],
        instance: &str,
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let now = SystemTime::now();
        let answer = match self
            .peer(connection, now)
            .and_then(|peer| Attested::by_certificate(&peer))
        {
            Ok(attested) => self.issue(&attested, csr, instance, now).await,
            Err(refusal) => Err(refusal),
        };
        self.counted(CURRENT_SVID, began, answer)
    }

    /// A certificate on the word of an operator, who is this user of the machine; for as long as leaves live here unless
    /// another time is wanted.
    pub(crate) async fn issue_by_operator(
        &self,
        uid: u32,
        id: &SpiffeId,
        csr: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Vouched, Refusal> {
        let began = Instant::now();
        let wanted = Wanted {
            id,
            csr,
            ttl: ttl.unwrap_or(self.grants.ttl),
            ttl_max: self.grants.ttl_max,
            uid,
        };
        let in_force = self.in_force.load_full();
        let now = SystemTime::now();
        let vouched = vouch(&in_force.authority, &self.ledger, &wanted, now).await;
        self.counted(OPERATOR, began, vouched)
    }

    fn counted<T>(
        &self,
        attestor: &'static str,
        began: Instant,
        answer: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let result = match &answer {
            Ok(_) => "ok",
            Err(refusal) => refusal.reason(),
        };
        self.metrics.issued(attestor, result);
        if answer.is_ok() {
            self.metrics.issue_took(began.elapsed());
        }
        answer
    }

    /// From an identity that was shown to a certificate in the record.
    async fn issue(
        &self,
        attested: &Attested,
        csr: &[u8],
        instance: &str,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        let instance = Instance::parse(instance)?;
        let csr = Csr::from_der(csr)?;
        let in_force = self.in_force.load_full();
        let authority = &in_force.authority;
        let grant = Grant::decide(
            authority.trust_domain(),
            attested.id(),
            self.grants.ttl,
            self.grants.ttl_max,
        )
        .map_err(IssueError::from)?;
        let checked = authority.certify_granted(&csr, &grant, now)?;
        let leaf = Leaf {
            instance,
            ..Leaf::made(&checked, authority, &grant, &csr, unix_s(now))
        };
        let recorded = self.record(attested.by(), leaf).await?;
        Ok(Answer::of(authority, &checked, recorded, now))
    }

    async fn record(&self, by: By, leaf: Leaf) -> Result<Recorded, store::Refused> {
        match by {
            By::Token(token) => self.ledger.join(JoinRecord { token, leaf }).await,
            By::Certificate { parent, sha256 } => {
                let evidence = sha256;
                self.ledger
                    .renew(RenewRecord {
                        parent,
                        in_grace: false,
                        evidence,
                        leaf,
                    })
                    .await
            }
        }
    }
}

impl Answer {
    /// Only of what is recorded.
    fn of(authority: &Authority, checked: &Checked, recorded: Recorded, now: SystemTime) -> Self {
        Answer {
            chain: authority.chain(checked),
            issued_at: now,
            not_after_s: checked.validity().not_after_s,
            recorded,
        }
    }
}

impl<L> fmt::Debug for AuthorityServer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityServer")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// The newest statement that is kept, or the first, made now.
async fn newest_statement(
    ledger: &impl Ledger,
    authority: &Authority,
    now: SystemTime,
) -> Result<StoredStatement, ServerError> {
    let kept = ledger.statements(0, store::LIST_MAX).await;
    if let Some(newest) = kept.map_err(store::Refused::from)?.pop() {
        return Ok(newest);
    }
    let Root::Here(root) = authority.root() else {
        return Err(ServerError::RootAway);
    };
    let now_s = unix_s(now);
    let sequence = identity::next_sequence(None, now_s);
    let first = Statement::new(authority.bundle(), sequence, now_s)?;
    let signed = SignedStatement::sign(first, &[root.key()])?;
    let signatures = signed
        .signatures()
        .iter()
        .map(|given| StatementSignature {
            root_key_id: given.root_key_id.to_vec(),
            signature: given.signature.clone(),
        })
        .collect();
    let first = StoredStatement {
        sequence,
        body: signed.body().to_vec(),
        signatures,
    };
    ledger.append_statement(first.clone()).await?;
    Ok(first)
}

fn unix_s(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
