//! From a call to a certificate that is recorded.
//!
//! In: a connection and what is asked over it, or an operator's word. Out: an [`Answer`] or [`Vouched`], or a [`Refusal`].
//!
//! ```text
//! Connection -attest-> Attested -csr, authorize, template, sign, check-> Checked -record-> Recorded -> Answer
//! ```
//!
//! 1. Attestation comes before work: a stranger costs a look-up, and after too many failures not even that.
//! 2. An [`Answer`] is made only from what is recorded.
//! 3. A renewal takes no place that a join could hold, and a failed join counts against no proof of a key.
//! 4. What costs processor time is done in [`crate::turns`], the certificate that ends soonest first.

use crate::attest::{Attested, By, CURRENT_SVID, JOIN_TOKEN, KEY_PROOF};
use crate::authority::{Authority, IssueError};
use crate::authority_server::AuthorityServer;
use crate::authorize::Grant;
use crate::budget::{Failed, source_of};
use crate::call::Connection;
use crate::check::Checked;
use crate::csr::Csr;
use crate::in_force::InForce;
use crate::proof::{Proof, ProofRefused};
use crate::record::{Instance, KeyHash, Leaf};
use crate::refusal::{Fault, Refusal};
use crate::store::{self, JoinRecord, Ledger, Recorded, RenewRecord};
use crate::token::Token;
use crate::vouch::{OPERATOR, Vouched, Wanted, vouch};
use config::SpiffeId;
use identity::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A certificate that stands in the record, with what its holder must know.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) issued_at: SystemTime,
    pub(crate) not_after_s: u64,
    pub(crate) recorded: Recorded,
}

/// What a certificate is asked for with.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) csr: Vec<u8>,
    pub(crate) instance: &'a str,
}

impl<L: Ledger> AuthorityServer<L> {
    /// A first certificate for who shows a token.
    pub(crate) async fn join(
        &self,
        connection: &Connection,
        token: Option<&str>,
        asked: Asked<'_>,
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let answer = self.join_heard(connection, token, asked, began).await;
        self.counted(JOIN_TOKEN, began, answer)
    }

    async fn join_heard(
        &self,
        connection: &Connection,
        token: Option<&str>,
        asked: Asked<'_>,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let source = source_of(connection.source);
        let read = || -> Result<_, Refusal> {
            let token = Token::parse(token.ok_or(Refusal::NoEvidence)?)?;
            Ok((token.hash(), KeyHash::of(&Csr::claimed_key(&asked.csr)?)))
        };
        // What cannot be read costs nothing more, and counts on its own: a broken client keeps no sound one out.
        let (token, key) = match read() {
            Ok(read) => read,
            Err(refusal) => {
                self.failures.take(Failed::Malformed, &source, began)?;
                return Err(refusal);
            }
        };
        let attempt = self.failures.begin(Failed::Join, &source, began)?;
        let now = self.now();
        let answer = async {
            let place = self.attempts.try_acquire().map_err(|_| Refusal::Joins)?;
            let attested = Attested::by_token(&self.ledger, token, key, now).await?;
            drop(place);
            let _place = self.joins.try_acquire().map_err(|_| Refusal::Joins)?;
            let taken = self.identities.take(attested.id(), began);
            taken.map_err(|retry| Refusal::Identity {
                id: attested.id().clone(),
                retry,
            })?;
            self.issue(&attested, asked, now).await
        };
        let answer = answer.await;
        let faults = [Fault::Unauthenticated, Fault::Request];
        attempt.ended(matches!(&answer, Err(refusal) if faults.contains(&refusal.fault())));
        answer
    }

    /// The next certificate for who has one: that of the connection, or an ended one whose key is proved.
    pub(crate) async fn renew(
        &self,
        connection: &Connection,
        proof: Option<Proof<'_>>,
        asked: Asked<'_>,
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        match proof {
            Some(proof) if connection.chain.is_empty() => {
                let answer = self.renew_proved(connection, proof, asked, began).await;
                self.counted(KEY_PROOF, began, answer)
            }
            proof => {
                let answer = self.renew_known(connection, proof, asked).await;
                self.counted(CURRENT_SVID, began, answer)
            }
        }
    }

    async fn renew_known(
        &self,
        connection: &Connection,
        proof: Option<Proof<'_>>,
        asked: Asked<'_>,
    ) -> Result<Answer, Refusal> {
        let now = self.now();
        let attested = Attested::by_certificate(&self.caller(connection, now)?);
        let shown = connection.chain.first();
        if proof.is_some_and(|proof| shown.is_none_or(|shown| shown.as_ref() != proof.leaf)) {
            return Err(ProofRefused::OtherLeaf.into());
        }
        self.issue(&attested, asked, now).await
    }

    async fn renew_proved(
        &self,
        connection: &Connection,
        proof: Proof<'_>,
        asked: Asked<'_>,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let source = source_of(connection.source);
        let attempt = self.failures.begin(Failed::Proof, &source, began)?;
        let now = self.now();
        let answer = async {
            let place = self.proofs.try_acquire().map_err(|_| Refusal::Proofs)?;
            let (csr, grace) = (&asked.csr, self.grants.grace);
            let attested = Attested::by_proof(&self.ledger, &proof, csr, grace, now).await?;
            drop(place);
            self.issue(&attested, asked, now).await
        };
        let answer = answer.await;
        let not_its = [Fault::Passing, Fault::Ours];
        attempt.ended(matches!(&answer, Err(refusal) if !not_its.contains(&refusal.fault())));
        answer
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
        let in_force = self.in_force();
        let vouched = vouch(&in_force.authority, &self.ledger, &wanted, self.now()).await;
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
        self.metrics().issued(attestor, result);
        if answer.is_ok() {
            self.metrics().issue_took(began.elapsed());
        }
        answer
    }

    /// From an identity that was shown to a certificate in the record.
    async fn issue(
        &self,
        attested: &Attested,
        asked: Asked<'_>,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        let instance = Instance::parse(asked.instance)?;
        let in_force = self.in_force();
        let domain = in_force.authority.trust_domain();
        let (ttl, ttl_max) = (self.grants.ttl, self.grants.ttl_max);
        let grant = Grant::decide(domain, attested.id(), ttl, ttl_max);
        let grant = grant.map_err(IssueError::from)?;
        if let Some((serial, key)) = attested.parent() {
            self.revoked().refuse(serial, key, grant.id())?;
            let taken = self.successors.take(&serial, Instant::now());
            taken.map_err(|retry| Refusal::Successors { serial, retry })?;
        }
        let work = {
            let (in_force, csr) = (Arc::clone(&in_force), asked.csr);
            move || certify(&in_force, &csr, &grant, instance, now)
        };
        let certified = self.turns.take(attested.rank(), work).await;
        let (checked, leaf) = certified.map_err(|_| Refusal::Crowded)??;
        let recorded = self.record(attested.by(), leaf).await?;
        Ok(Answer::of(&in_force.authority, &checked, recorded, now))
    }

    async fn record(&self, by: By, leaf: Leaf) -> Result<Recorded, store::Refused> {
        match by {
            By::Token(token) => self.ledger.join(JoinRecord { token, leaf }).await,
            By::Leaf {
                parent,
                in_grace,
                evidence,
                ..
            } => {
                let renewal = RenewRecord {
                    parent,
                    in_grace,
                    evidence,
                    leaf,
                };
                self.ledger.renew(renewal).await
            }
        }
    }
}

/// All that costs processor time: about 300 us.
fn certify(
    in_force: &InForce,
    csr: &[u8],
    grant: &Grant,
    instance: Instance,
    now: SystemTime,
) -> Result<(Checked, Leaf), Refusal> {
    let csr = Csr::from_der(csr)?;
    let authority = &in_force.authority;
    let checked = authority.certify_granted(&csr, grant, now)?;
    let issued_at_s = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let leaf = Leaf {
        instance,
        ..Leaf::made(&checked, authority, grant, &csr, issued_at_s)
    };
    Ok((checked, leaf))
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
