//! The stream on which the CA says which state to be in, and hears which one is really in force.
//!
//! In: replies, and what the proxy says that it enforces. Out: newer roots, a sooner renewal; and what is enforced, to the CA.
//!
//! 1. Only what [`Standing::enforces`] named is acknowledged, never what was merely received.
//! 2. What cannot be enforced is answered as unsupported, never acknowledged.
//! 3. A stream lives no longer than the certificate that opened it: the next one opens its own.
//! 4. Both halves go together: a stream that is left is closed.
//!
//! [`Standing::enforces`]: crate::source::Standing::enforces

use super::client::{Client, capabilities};
use super::dial::Ca;
use super::failed::Failed;
use super::held::{Member, Window};
use super::report::About;
use super::upkeep::WAIT_MAX;
use crate::renew::{Retry, SLEEP_MAX, Skew};
use crate::source::chance::chance;
use crate::source::standing::Enforced;
use api::ca_v1 as wire;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::codegen::tokio_stream::Stream;

/// Why revocations are answered as they are.
const NO_REVOCATIONS: &str = "this version refuses no revoked certificates; use one that does";
/// What one side says before the other has read it.
const SAID_MAX: usize = 4;

/// How a stream ended.
enum Ended {
    /// Our certificate is another one now, or has ended.
    Left,
    /// Something failed.
    Failed(Failed),
}

/// Watches for as long as there is a certificate to watch with.
pub(super) async fn watching(client: &Client) {
    let mut changes = client.held.changes();
    let mut retry: Option<Retry> = None;
    loop {
        changes.borrow_and_update();
        let Some(member) = alive(client) else {
            let _changed = changes.changed().await;
            continue;
        };
        let began = client.clock.boot();
        match Watch::run(client, &member).await {
            Ended::Left => retry = None,
            Ended::Failed(why) => {
                tell(client, &why);
                let now = client.clock.boot();
                // What stood for a while is opened again without regard to failures before it.
                let before = retry.filter(|_| now.saturating_sub(began) < SLEEP_MAX);
                let failed = before
                    .unwrap_or(Retry::new(Some(member.life())))
                    .failed(now, chance())
                    .not_before(now, asked(&why, &member));
                retry = Some(failed);
                while let Some(wait) = failed.sleep(client.clock.boot()) {
                    sleep(wait).await;
                }
            }
        }
    }
}

/// How long the CA asks to wait, which bounds nothing but its own load.
fn asked(why: &Failed, member: &Member) -> Duration {
    let most = WAIT_MAX.min(member.life() / 2);
    why.wait().unwrap_or_default().min(most)
}

fn alive(client: &Client) -> Option<Arc<Member>> {
    let now = client.clock.boot();
    client.held.member().filter(|member| now < member.ends)
}

/// A CA that is away or ends says nothing about us; what it refuses, or who it is not, does.
fn tell(client: &Client, why: &Failed) {
    match why {
        Failed::Answer(answer) if !matches!(answer.reason(), "draining" | "expired") => {
            client
                .report
                .wrong(About::Stream, why.reason(), why.to_string());
        }
        Failed::Impostor { .. } => {
            client
                .report
                .wrong(About::Stream, why.reason(), why.to_string());
        }
        Failed::Statement(_) => {
            client
                .report
                .wrong(About::Roots, why.reason(), why.to_string());
        }
        _ => tracing::debug!(reason = why.reason(), "stream ended: {why}"),
    }
    if let Some(reached) = why.reached() {
        client.report.reached(reached);
    }
}

/// An open stream.
struct Watch<'a> {
    client: &'a Client,
    member: &'a Member,
    ca: Ca,
    say: mpsc::Sender<wire::WatchRequest>,
    enforced: Option<Enforced>,
    unsupported: Vec<wire::Unsupported>,
}

impl<'a> Watch<'a> {
    async fn run(client: &'a Client, member: &'a Member) -> Ended {
        match Self::open(client, member).await {
            Ok((watch, stream)) => {
                let line = (member.serial().to_owned(), watch.ca.clone());
                client.line.put(Some(line));
                let ended = watch.go_on(stream).await.unwrap_or_else(Ended::Failed);
                client.line.put(None);
                ended
            }
            Err(why) => Ended::Failed(why),
        }
    }

    async fn open(
        client: &'a Client,
        member: &'a Member,
    ) -> Result<(Self, tonic::Streaming<wire::WatchReply>), Failed> {
        let mut ca = client.ca(Some(&member.svid)).await?;
        let (say, said) = mpsc::channel(SAID_MAX);
        let mut watch = Watch {
            client,
            member,
            ca: ca.clone(),
            say,
            enforced: client.report.standing().enforced(),
            unsupported: Vec::new(),
        };
        watch.say()?;
        let sent_unix_ms = client.clock.unix_ms();
        let mut stream = ca.watch(Said(said)).await?;
        if let Some(first) = ca.first(&mut stream).await? {
            let server = first.server_time_unix_ms;
            let skew = Skew::measured(sent_unix_ms, client.clock.unix_ms(), server);
            client.report.skew(skew);
            watch.hear(first).await?;
        }
        client.report.right(About::Stream);
        Ok((watch, stream))
    }

    async fn go_on(
        mut self,
        mut stream: tonic::Streaming<wire::WatchReply>,
    ) -> Result<Ended, Failed> {
        let standing = self.client.report.standing().clone();
        let mut changes = self.client.held.changes();
        loop {
            changes.borrow_and_update();
            let ours = alive(self.client);
            if ours.is_none_or(|now| now.serial() != self.member.serial()) {
                return Ok(Ended::Left);
            }
            tokio::select! {
                message = stream.message() => match self.heard(message)? {
                    Some(reply) => self.hear(reply).await?,
                    None => return Err(self.ca.ended()),
                },
                now = standing.enforced_other_than(self.enforced) => {
                    self.enforced = Some(now);
                    self.say()?;
                }
                _ = changes.changed() => {}
                () = sleep(SLEEP_MAX) => {}
            }
        }
    }

    fn heard<T>(&self, message: Result<T, tonic::Status>) -> Result<T, Failed> {
        message.map_err(|status| self.ca.failure(&status))
    }

    /// Does what the CA wants, as far as it follows from what is held.
    async fn hear(&mut self, reply: wire::WatchReply) -> Result<(), Failed> {
        if let Some(statement) = reply.statement {
            self.client.follow(&mut self.ca, statement).await?;
        }
        if let Some(wish) = reply.renewal {
            self.wished(&wish);
        }
        let unsupported: Vec<_> = (reply.revocation_epoch > 0)
            .then(|| wire::Unsupported {
                what: "revocation_epoch".to_owned(),
                wanted: reply.revocation_epoch,
                why: NO_REVOCATIONS.to_owned(),
            })
            .into_iter()
            .collect();
        if unsupported != self.unsupported {
            self.unsupported = unsupported;
            self.say()?;
        }
        Ok(())
    }

    fn wished(&self, wish: &wire::RenewalWindow) {
        let now = self.client.clock.boot();
        let at = |ms| now.saturating_add(Duration::from_millis(ms));
        let window = Window {
            after: at(wish.after_ms),
            before: at(wish.before_ms.max(wish.after_ms)),
        };
        let serial = crate::certificate::hex(&wish.leaf_serial);
        self.client.held.window(&serial, window, chance());
    }

    /// Says what is in force. Nobody waits here: a CA that does not read is left.
    fn say(&mut self) -> Result<(), Failed> {
        let made = self
            .enforced
            .and_then(|enforced| self.client.held.made(enforced.generation));
        let policy = self.enforced.and_then(|enforced| enforced.policy_sha256);
        let said = wire::WatchRequest {
            enforced: Some(wire::Enforced {
                statement_sequence: made.as_ref().map_or(0, |made| made.statement_sequence),
                revocation_epoch: 0,
                unsupported: self.unsupported.clone(),
            }),
            leaf_serial: made
                .map(|made| octets(&made.leaf_serial))
                .unwrap_or_default(),
            instance: self.client.instance.clone(),
            capabilities: capabilities(),
            policy_hash: policy.map(|hash| hash.to_vec()).unwrap_or_default(),
        };
        self.say.try_send(said).map_err(|_| self.ca.ended())
    }
}

/// From lower-case hex, which a leaf's serial is.
fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect()
}

/// What we say, for as long as we hold the other end.
struct Said(mpsc::Receiver<wire::WatchRequest>);

impl Stream for Said {
    type Item = wire::WatchRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
