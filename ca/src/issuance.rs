//! From a call to a certificate that is recorded.
//!
//! In: a connection and what is asked over it, or an operator's word. Out: an [`Answer`] or [`Vouched`], or a [`Refusal`].
//!
//! ```text
//! Connection -attest-> Attested -csr, authorize, template, sign, check-> Checked -record-> Recorded -> Answer
//! ```
//!
//! 1. Attestation comes before work: a stranger costs a look-up, and after too many failures not even that.
//! 2. An [`Answer`] is made only from what is recorded. The same key that asks again at once gets the same one.
//! 3. A renewal takes no place that a join could hold, and a failed join counts against no proof of a key.
//! 4. What costs processor time is done in [`crate::turns`], the certificate that ends soonest first.

use crate::answer::Answer;
use crate::attest::{Attested, By, CURRENT_SVID, JOIN_TOKEN, KEY_PROOF};
use crate::authority::IssueError;
use crate::authority_server::AuthorityServer;
use crate::authorize::Grant;
use crate::budget::{Failed, source_of};
use crate::call::Connection;
use crate::check::Checked;
use crate::csr::Csr;
use crate::in_force::InForce;
use crate::lines::Question;
use crate::proof::{Proof, ProofRefused};
use crate::record::{Instance, KeyHash, Leaf, LineageRefused};
use crate::refusal::{Fault, Refusal};
use crate::revocation::Revoked;
use crate::store::{JoinRecord, Ledger, Refused, RenewRecord};
use crate::token::Token;
use crate::vouch::{OPERATOR, Vouched, Wanted, vouch};
use config::SpiffeId;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
            let too_often = |retry| Refusal::Identity {
                id: attested.id().clone(),
                retry,
            };
            let fits = self.identities.fits(attested.id(), began);
            fits.map_err(too_often)?;
            let certified = self.certify(&attested, asked, now).await?;
            // Not before the key is proved: whoever has seen a token and a key could use up the identity's joins.
            let taken = self.identities.take(attested.id(), began);
            taken.map_err(too_often)?;
            self.record(attested.by(), certified, now).await
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
                let answer = self.renew_known(connection, proof, asked, began).await;
                self.counted(CURRENT_SVID, began, answer)
            }
        }
    }

    async fn renew_known(
        &self,
        connection: &Connection,
        proof: Option<Proof<'_>>,
        asked: Asked<'_>,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let now = self.now();
        let attested = Attested::by_certificate(&self.caller(connection, now)?);
        let shown = connection.chain.first();
        if proof.is_some_and(|proof| shown.is_none_or(|shown| shown.as_ref() != proof.leaf)) {
            return Err(ProofRefused::OtherLeaf.into());
        }
        self.succeed(&attested, asked, now, began).await
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
            self.succeed(&attested, asked, now, began).await
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

    /// The next certificate of who has one, or the one that it got a moment ago.
    async fn succeed(
        &self,
        attested: &Attested,
        asked: Asked<'_>,
        now: SystemTime,
        began: Instant,
    ) -> Result<Answer, Refusal> {
        let Some((parent, _)) = attested.parent() else {
            return Err(Refusal::NoCertificate);
        };
        let taken = self.lines.take(parent, began);
        taken.map_err(|retry| Refusal::Successors {
            serial: parent,
            retry,
        })?;
        let question = Question {
            key: KeyHash::of(&Csr::claimed_key(&asked.csr)?),
            instance: Instance::parse(asked.instance)?,
            issuer: self.in_force().issuer_id(),
        };
        if let Some(answer) = self.lines.answered(parent, &question, now)
            && self.holds(&answer, &question, attested.id())
        {
            // Its key is proved again, and what became of its parent is looked at.
            self.refuse_revoked(attested)?;
            let proof = move || Csr::from_der(&asked.csr);
            let proved = self.turns.take(attested.rank(), proof).await;
            proved.map_err(|_| Refusal::Crowded)??;
            return Ok(answer);
        }
        let certified = self.certify(attested, asked, now).await?;
        let answer = self.record(attested.by(), certified, now).await;
        if let Err(refused) = &answer {
            self.tell_contested(attested.id(), refused, began);
        }
        let answer = answer?;
        self.lines.answer(parent, question, &answer);
        Ok(answer)
    }

    /// Two hold one key, it seems: who runs the CA should not only hear it when asking.
    fn tell_contested(&self, id: &SpiffeId, refused: &Refusal, now: Instant) {
        let Refusal::Record(Refused::Lineage(LineageRefused::SecondSuccessor {
            parent,
            successor,
        })) = refused
        else {
            return;
        };
        if self.lines.is_news(*parent, now) {
            let reason = refused.reason();
            tracing::warn!(
                reason, %id, serial = %parent, %successor,
                "two seem to hold the key of one certificate: a second successor was refused; see `contested` of `countersign ca status`"
            );
        }
    }

    /// Whether nothing is marked of what was answered.
    fn holds(&self, answer: &Answer, question: &Question, id: &SpiffeId) -> bool {
        let (serial, revoked) = (answer.recorded.serial(), self.revoked());
        revoked.refuse(serial, question.key, id).is_ok()
    }

    fn refuse_revoked(&self, attested: &Attested) -> Result<(), Revoked> {
        match attested.parent() {
            Some((serial, key)) => self.revoked().refuse(serial, key, attested.id()),
            None => Ok(()),
        }
    }

    /// A certificate for an identity that was shown and a key that is proved. Nobody gets it before it is recorded.
    async fn certify(
        &self,
        attested: &Attested,
        asked: Asked<'_>,
        now: SystemTime,
    ) -> Result<Certified, Refusal> {
        let instance = Instance::parse(asked.instance)?;
        let in_force = self.in_force();
        let domain = in_force.authority.trust_domain();
        let (ttl, ttl_max) = (self.grants.ttl, self.grants.ttl_max);
        let grant = Grant::decide(domain, attested.id(), ttl, ttl_max);
        let grant = grant.map_err(IssueError::from)?;
        self.refuse_revoked(attested)?;
        let csr = asked.csr;
        let work = move || certify(in_force, &csr, &grant, instance, now);
        let certified = self.turns.take(attested.rank(), work).await;
        certified.map_err(|_| Refusal::Crowded)?
    }

    async fn record(
        &self,
        by: By,
        certified: Certified,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        let Certified {
            in_force,
            checked,
            leaf,
        } = certified;
        let recorded = match by {
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
        };
        Ok(Answer::of(&in_force.authority, &checked, recorded?, now))
    }
}

/// A certificate that is about to be recorded.
struct Certified {
    /// Whose issuer signed it.
    in_force: Arc<InForce>,
    checked: Checked,
    leaf: Leaf,
}

/// All that costs processor time: about 300 us.
fn certify(
    in_force: Arc<InForce>,
    csr: &[u8],
    grant: &Grant,
    instance: Instance,
    now: SystemTime,
) -> Result<Certified, Refusal> {
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
    Ok(Certified {
        in_force,
        checked,
        leaf,
    })
}
