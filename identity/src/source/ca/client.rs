//! One attempt at the CA: from nothing, or from what is held, to an identity.
//!
//! In: what the client holds and where the CA is. Out: what was issued, in force; or [`Failed`], and everything as before.
//!
//! ```text
//! first contact -roots-> statement -dial-> Ca -join-> Issued          no certificate to renew
//!                        statement -dial-> Ca -renew-> Issued         with the certificate, or by proof once it has ended
//! ```
//!
//! 1. A key is kept before it is sent, and repeated until it has its certificate: a lost reply costs nothing.
//! 2. A token is read anew for every attempt, and shown only without a certificate that the CA would renew.
//! 3. Nothing of a reply is used before [`Issued::of`] has judged it.
//! 4. Roots that are not known are asked for before anybody is called an impostor.

use super::answer::{Answer, Next};
use super::clock::Clock;
use super::dial::{Ca, Dial};
use super::failed::Failed;
use super::held::{Held, Member};
use super::reply::{Issued, statement_from_wire};
use super::report::{About, Report};
use super::roots::{self, Teller};
use super::token::{JoinToken, Readers};
use crate::{Csr, FirstContact, Key, Refused, SignedStatement, Skew, StateDir, Svid, walk};
use api::ca_v1 as wire;
use api::ca_v1::join_request::Evidence;
use api::proof;
use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as Waiting;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// What this client enforces of what a CA can ask for.
pub(super) fn capabilities() -> Vec<String> {
    vec!["statements".to_owned()]
}

/// A client of the CA.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) dial: Dial,
    pub(super) first_contact: FirstContact,
    pub(super) join_token: PathBuf,
    /// Whether it was told that others may read it.
    pub(super) told_of_readers: AtomicBool,
    /// `None`: nothing outlives this process.
    pub(super) state: Option<Arc<Mutex<StateDir>>>,
    pub(super) instance: String,
    pub(super) clock: Clock,
    pub(super) held: Held,
    pub(super) report: Report,
    pub(super) pending: Waiting<Pending>,
    pub(super) line: Line,
}

/// How long all pages of statements together may take: the whole chain is some megabytes. Whoever sends a page now and then
/// would else hold an attempt for hours.
const WALKED_WITHIN: Duration = Duration::from_secs(60);
/// How long a connection that stands may take for a renewal before another one is opened.
const LINE_WITHIN: Duration = Duration::from_secs(3);

/// The connection that watches, with the serial of the certificate that opened it.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Option<(String, Ca)>>);

impl Line {
    /// Stands until something else is put here.
    pub(super) fn put(&self, line: Option<(String, Ca)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    fn of(&self, serial: &str) -> Option<Ca> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (opened_with, ca) = line.as_ref()?;
        (opened_with == serial).then(|| ca.clone())
    }
}

/// The key of a request that is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    key: Option<Key>,
    kept: bool,
}

impl Pending {
    /// One that a restart found.
    pub(super) fn resumed(key: Option<Key>) -> Self {
        Pending { key, kept: true }
    }
}

impl Client {
    /// Joins, or renews what is held.
    pub(super) async fn attempt(&self) -> Result<(), Failed> {
        let Some(member) = self.held.member() else {
            return self.join(None).await;
        };
        match self.renew(&member).await {
            Err(Failed::Answer(answer)) => self.after_refusal(answer, &member).await,
            done => done,
        }
    }

    /// A refused renewal: what else there is to try at once.
    async fn after_refusal(&self, answer: Answer, member: &Member) -> Result<(), Failed> {
        match answer.next() {
            Next::Again | Next::Nothing => Err(Failed::Answer(answer)),
            Next::OtherKey => {
                self.pending.lock().await.key = None;
                self.renew(member).await
            }
            Next::Join => self.join(Some(member)).await.map_err(|join| Failed::Anew {
                renewal: answer,
                join: Box::new(join),
            }),
        }
    }

    async fn join(&self, before: Option<&Member>) -> Result<(), Failed> {
        let token = self.token().await?;
        let mut ca = self.ca(None).await?;
        let key = self.key().await?;
        let request = wire::JoinRequest {
            csr: Csr::without_name(&key)?.der().to_vec(),
            evidence: Some(Evidence::JoinToken(token.text().to_owned())),
            instance: self.instance.clone(),
            capabilities: capabilities(),
        };
        let sent_unix_ms = self.clock.unix_ms();
        let reply = ca.join(request).await?;
        self.take(&mut ca, reply, key, sent_unix_ms, before).await
    }

    /// With the certificate while it holds, by proof when it has ended. Where the CA sees that otherwise, one of the two clocks is
    /// wrong, and the other way is tried at once.
    async fn renew(&self, member: &Member) -> Result<(), Failed> {
        if self.clock.boot() >= member.ends {
            return match self.renew_by_proof(member).await {
                Err(failed) if not_ended(&failed) => self.renew_by_certificate(member).await,
                done => done,
            };
        }
        let failed = match self.renew_by_certificate(member).await {
            Err(failed) if not_taken(&failed) => failed,
            done => return done,
        };
        match self.renew_by_proof(member).await {
            // Then it was not for the certificate's end, and what was tried first tells more.
            Err(second) if second.reached() == Some(false) || not_ended(&second) => Err(failed),
            done => done,
        }
    }

    /// Over the connection that watches with this certificate, if there is one: that saves a handshake on both sides. One that
    /// does not answer soon may be dead, and costs nothing: the same request goes over another.
    async fn renew_by_certificate(&self, member: &Member) -> Result<(), Failed> {
        let key = self.key().await?;
        let request = self.renew_request(&key, member, None)?;
        let sent_unix_ms = self.clock.unix_ms();
        if let Some(mut ca) = self.line.of(member.serial()) {
            let answer = timeout(LINE_WITHIN, ca.renew(request.clone())).await;
            match answer {
                Ok(Ok(reply)) => {
                    return self
                        .take(&mut ca, reply, key, sent_unix_ms, Some(member))
                        .await;
                }
                Ok(Err(failed)) if failed.reached() == Some(true) => return Err(failed),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let mut ca = self.ca(Some(&member.svid)).await?;
        let sent_unix_ms = self.clock.unix_ms();
        let reply = ca.renew(request).await?;
        self.take(&mut ca, reply, key, sent_unix_ms, Some(member))
            .await
    }

    async fn renew_by_proof(&self, member: &Member) -> Result<(), Failed> {
        let mut ca = self.ca(None).await?;
        let key = self.key().await?;
        let mut ahead_ms = 0;
        loop {
            let sent_unix_ms = self.clock.unix_ms();
            let made_at = sent_unix_ms.saturating_sub(ahead_ms);
            let request = self.renew_request(&key, member, Some(made_at))?;
            let answer = match ca.renew(request).await {
                Ok(reply) => {
                    return self
                        .take(&mut ca, reply, key, sent_unix_ms, Some(member))
                        .await;
                }
                Err(Failed::Answer(answer)) => answer,
                Err(failed) => return Err(failed),
            };
            let Some(server) = answer.server_time_unix_ms() else {
                return Err(Failed::Answer(answer));
            };
            let skew = Skew::measured(sent_unix_ms, self.clock.unix_ms(), server);
            self.report.skew(skew);
            if ahead_ms != 0 || skew.ahead_ms() == 0 {
                return Err(Failed::Answer(answer));
            }
            ahead_ms = skew.ahead_ms();
        }
    }

    fn renew_request(
        &self,
        key: &Key,
        member: &Member,
        proven_at_unix_ms: Option<i64>,
    ) -> Result<wire::RenewRequest, Failed> {
        let csr = Csr::create(key, &member.svid.leaf().id)?.der().to_vec();
        let proof = match (proven_at_unix_ms, member.svid.chain().first()) {
            (Some(made_at_unix_ms), Some(leaf)) => {
                let message = proof::message(leaf, &csr, made_at_unix_ms);
                Some(wire::KeyProof {
                    leaf: leaf.to_vec(),
                    made_at_unix_ms,
                    signature: member.svid.key().sign_message(&message)?,
                })
            }
            _ => None,
        };
        Ok(wire::RenewRequest {
            csr,
            instance: self.instance.clone(),
            capabilities: capabilities(),
            proof,
        })
    }

    /// Judges a reply and puts it in force.
    async fn take(
        &self,
        ca: &mut Ca,
        reply: wire::IssueReply,
        key: Key,
        sent_unix_ms: i64,
        before: Option<&Member>,
    ) -> Result<(), Failed> {
        let (received, received_unix_ms) = (self.clock.boot(), self.clock.unix_ms());
        let skew = Skew::measured(sent_unix_ms, received_unix_ms, reply.issued_at_unix_ms);
        self.report.skew(skew);
        let held = match &reply.statement {
            Some(came) => self.follow(ca, came.clone()).await?,
            None => self.believed().await?,
        };
        let wanted = before.map(|member| &member.svid.leaf().id);
        let issued = Issued::of(reply, key, &held, wanted, self.clock.unix())?;
        let (id, serial) = (
            issued.svid.leaf().id.clone(),
            issued.svid.leaf().serial.clone(),
        );
        // Before it is published: whoever sees the new identity should not find why there was none.
        self.report.right(About::Identity);
        self.held.issued(issued, received)?;
        self.pending.lock().await.key = None;
        tracing::info!(%id, serial, "certificate issued");
        Ok(())
    }

    /// The CA, which is shown `own`; roots that we slept through are learned on the way.
    pub(super) async fn ca(&self, own: Option<&Svid>) -> Result<Ca, Failed> {
        let held = self.believed().await?;
        let refused = match self.dial.ca(held.statement().bundle(), own).await {
            Err(refused @ Failed::Impostor { .. }) if may_be_behind(&refused) => refused,
            done => {
                self.noted(&done);
                return done;
            }
        };
        let newer = async {
            let mut unknown = self.dial.unknown().await?;
            roots::forward(Teller::Unknown(&mut unknown), &held).await
        };
        let done = match self.walked(newer).await {
            Ok(newer) if self.believes(newer.clone())? => {
                self.dial.ca(newer.statement().bundle(), own).await
            }
            Ok(_) => Err(refused),
            Err(why) => {
                tracing::debug!(reason = why.reason(), "no newer roots either: {why}");
                Err(refused)
            }
        };
        self.noted(&done);
        done
    }

    fn noted<T>(&self, done: &Result<T, Failed>) {
        match done {
            Ok(_) => self.report.reached(true),
            Err(failed) => {
                if let Some(reached) = failed.reached() {
                    self.report.reached(reached);
                }
            }
        }
    }

    /// The statement that is held, or the one that first contact leads to.
    pub(super) async fn believed(&self) -> Result<Arc<SignedStatement>, Failed> {
        if let Some(held) = self.held.statement() {
            return Ok(held);
        }
        let found = async {
            let mut unknown = self.dial.unknown().await?;
            roots::first(&mut unknown, &self.first_contact).await
        };
        let found = self.walked(found).await;
        self.noted(&found);
        let found = found?;
        self.believes(found.clone())?;
        Ok(self.held.statement().unwrap_or_else(|| Arc::new(found)))
    }

    /// A walk through statements, if it comes to its end in time. On the heap: it is large, rare, and deep within every attempt.
    async fn walked(
        &self,
        walk: impl Future<Output = Result<SignedStatement, Failed>>,
    ) -> Result<SignedStatement, Failed> {
        let within = self
            .dial
            .within(WALKED_WITHIN, "reading its statements", Box::pin(walk));
        within.await.flatten()
    }

    fn believes(&self, statement: SignedStatement) -> Result<bool, Failed> {
        let sequence = statement.statement().sequence();
        let newer = self.held.believes(statement)?;
        if newer {
            tracing::info!(sequence, "statement of roots taken");
            self.report.right(About::Roots);
        }
        Ok(newer)
    }

    /// Follows the CA to the statement that it sent, and says which one is believed then. Who sends an older one changes and hides
    /// nothing, but is told of.
    pub(super) async fn follow(
        &self,
        ca: &mut Ca,
        came: wire::Statement,
    ) -> Result<Arc<SignedStatement>, Failed> {
        let held = self.believed().await?;
        let came = statement_from_wire(came)?;
        let (found, ours) = (came.statement().sequence(), held.statement().sequence());
        match found.cmp(&ours) {
            Ordering::Less => {
                let (found, held) = (found, ours);
                let why = crate::StatementRefused::Backward { found, held };
                self.report
                    .wrong(About::Roots, why.reason(), why.to_string());
                return Ok(self.held.statement().unwrap_or(Arc::new(came)));
            }
            Ordering::Equal => {
                walk(&held, &[came])?;
                self.report.right(About::Roots);
                return Ok(held);
            }
            Ordering::Greater => {}
        }
        // What came may not follow from what is held, but the chain between them does; and who cannot say more just now has at
        // least sent this one.
        let newer = roots::forward(Teller::Ca(ca), &held);
        let newest = match self.walked(newer).await {
            Err(failed) if failed.reached() == Some(false) => walk(&held, &[came])?,
            newest => newest?,
        };
        self.believes(newest.clone())?;
        Ok(Arc::new(newest))
    }

    async fn token(&self) -> Result<JoinToken, Failed> {
        let path = self.join_token.clone();
        let shown = path.display().to_string();
        // A file system that hangs must not stop the thread that serves.
        let token = spawn_blocking(move || JoinToken::read(&path))
            .await
            .map_err(|_| Failed::Interrupted)??;
        if let Readers::Others { mode } = token.readers()
            && !self.told_of_readers.swap(true, Atomic::Relaxed)
        {
            tracing::warn!(
                path = shown,
                "others may read the join token: its mode is {mode:04o}"
            );
        }
        Ok(token)
    }

    /// Invariant 1. A disk that does not take the key costs a token if this process ends before the answer; so it is told, and
    /// the key used.
    async fn key(&self) -> Result<Key, Failed> {
        let mut pending = self.pending.lock().await;
        if pending.key.is_none() {
            *pending = Pending {
                key: Some(Key::generate()?),
                kept: false,
            };
        }
        let key = pending.key.as_ref().ok_or(crate::KeyError::Generate)?;
        let (key, copy) = (key.again()?, key.again()?);
        if let Some(state) = self.state.clone().filter(|_| !pending.kept) {
            let kept = spawn_blocking(move || {
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.keep_pending(&copy)
            });
            match kept.await.map_err(|_| Failed::Interrupted)? {
                Ok(()) => pending.kept = true,
                Err(why) => self
                    .report
                    .wrong(About::Disk, why.reason(), why.to_string()),
            }
        }
        Ok(key)
    }
}

/// Whether a renewal failed in a way that another one, without the certificate in TLS, may not: the CA's TLS refuses a
/// certificate without saying why to us, and a call on a kept connection says that it has ended.
fn not_taken(failed: &Failed) -> bool {
    match failed {
        Failed::Handshake { .. } | Failed::Lost { .. } => true,
        Failed::Answer(answer) => matches!(answer.reason(), "expired" | "no_certificate"),
        _ => false,
    }
}

/// Whether the CA wants to be shown the certificate in TLS, because it has not ended.
fn not_ended(failed: &Failed) -> bool {
    matches!(failed, Failed::Answer(answer) if answer.reason() == "proof_leaf_not_ended")
}

/// Whether newer roots could make a difference.
fn may_be_behind(failed: &Failed) -> bool {
    !matches!(
        failed,
        Failed::Impostor {
            why: Refused::WrongIdentity { .. },
            ..
        }
    )
}
