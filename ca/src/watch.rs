//! One stream of a client that watches: the state that it should be in, whole and at every change; and back what it enforces.
//!
//! In: the client's messages, the changes of [`State`]. Out: replies, and at the end a reason.
//!
//! 1. The client hears of a change as soon as it can take it. Changes that come while it cannot are told together.
//! 2. A stream lives no longer than the certificate of its connection, than that which the client says it serves with is free
//!    of marks, and than the CA: each end has its reason.
//! 3. What a client says is kept bounded, for as long as the stream, and decides nothing but when it is asked to renew.

use crate::authority_server::{AuthorityServer, State};
use crate::call::Connection;
use crate::enforced::Place;
use crate::record::KeyHash;
use crate::refusal::Refusal;
use crate::shown::ShownLeaf;
use crate::status::status;
use crate::store::{Ledger, StoredStatement};
use crate::template::Serial;
use crate::window::{Held, Window};
use api::bounds::Bounded;
use api::ca_v1::{RenewalWindow, Signature, Statement, WatchReply, WatchRequest};
use daemon::drain::Draining;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Status, Streaming};

/// How often the certificate of a silent stream is judged: timers stand still while the machine sleeps, certificates end.
const JUDGED_EVERY: Duration = Duration::from_secs(5);

/// How long after a certificate was looked up the next one may be: the client says what it likes as often as it likes.
const LOOKED_UP_EVERY: Duration = Duration::from_secs(1);

/// One stream.
pub(crate) struct Watch<L> {
    pub(crate) server: Arc<AuthorityServer<L>>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) draining: Draining,
    pub(crate) place: Place,
    pub(crate) replies: mpsc::Sender<Result<WatchReply, Status>>,
    /// What the client says it serves with, at first what it connected with.
    pub(crate) serves: Serves,
}

/// The certificate that a client serves with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serves {
    pub(crate) held: Held,
    pub(crate) key: KeyHash,
}

impl Serves {
    pub(crate) fn of(leaf: &ShownLeaf) -> Self {
        Serves {
            held: Held {
                serial: leaf.serial,
                issuer: leaf.issuer,
                validity: leaf.validity,
            },
            key: leaf.key_hash(),
        }
    }
}

impl<L: Ledger> Watch<L> {
    /// One reply that the client has not taken yet, and the reason of the end.
    pub(crate) const REPLIES_MAX: usize = 2;

    /// Until either side ends it or the client's certificate does; then why, where the client can still hear that.
    pub(crate) async fn run(mut self, said: Streaming<WatchRequest>) {
        let _counted = self.server.metrics().stream();
        // So that the reason of the end has room whatever the client has not read yet.
        let Ok(farewell) = self.replies.clone().reserve_owned().await else {
            return;
        };
        if let Err(why) = self.until_over(said).await {
            farewell.send(Err(status(why)));
        }
    }

    async fn until_over(&mut self, mut said: Streaming<WatchRequest>) -> Result<(), Refusal> {
        let (mut changes, draining) = (self.server.changes(), self.draining.clone());
        let replies = self.replies.clone();
        changes.mark_changed();
        let mut is_told = true;
        let (mut said_serial, mut may_look) = (None, Instant::now());
        loop {
            tokio::select! {
                () = draining.started() => return Err(Refusal::Draining),
                () = replies.closed() => return Ok(()),
                () = sleep(JUDGED_EVERY) => {}
                // Refused: the authority is gone, and with it whoever answers.
                changed = changes.changed(), if is_told => {
                    changed.map_err(|_| Refusal::Draining)?;
                    is_told = false;
                }
                message = said.message() => match message {
                    Ok(Some(message)) => {
                        let serial = self.hear(message)?;
                        said_serial = serial.filter(|said| *said != self.serves.held.serial);
                    }
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = sleep_until(may_look), if said_serial.is_some() => {
                    may_look = Instant::now() + LOOKED_UP_EVERY;
                    if let Some(serial) = said_serial.take() && self.now_serves(serial).await {
                        is_told = false;
                    }
                }
                room = replies.reserve(), if !is_told => {
                    let Ok(room) = room else { return Ok(()) };
                    let state = changes.borrow_and_update().clone();
                    room.send(Ok(self.reply(&state)));
                    is_told = true;
                }
            }
            self.judge()?;
        }
    }

    /// Whether the stream may go on.
    fn judge(&self) -> Result<(), Refusal> {
        let caller = self.server.caller(&self.connection, self.server.now())?;
        let Serves { held, key } = self.serves;
        self.server
            .revoked()
            .refuse(held.serial, key, &caller.peer.id)?;
        Ok(())
    }

    fn reply(&self, state: &State) -> WatchReply {
        let now = self.server.now();
        let held = &self.serves.held;
        let renewal = state
            .renewals
            .window(held, now)
            .map(|Window { after, before }| RenewalWindow {
                leaf_serial: held.serial.octets().to_vec(),
                after_ms: whole_ms(after),
                before_ms: whole_ms(before),
            });
        WatchReply {
            statement: Some(statement(&state.statement)),
            revocation_epoch: state.revocation_epoch,
            renewal,
            server_time_unix_ms: unix_ms(now),
        }
    }

    /// Takes what the client says in place of what it said before. Gives back which certificate it says it serves with.
    fn hear(&self, message: WatchRequest) -> Result<Option<Serial>, Refusal> {
        message.within_bounds()?;
        let serial = Serial::from_octets(&message.leaf_serial);
        self.place.says(message);
        Ok(serial)
    }

    /// Looks the certificate up, and says whether it took the place of the one before. What is not recorded, or names somebody
    /// else, changes nothing.
    async fn now_serves(&mut self, serial: Serial) -> bool {
        let shown = self.server.ledger().show(serial).await;
        let Ok(Some(listed)) = shown else {
            return false;
        };
        if listed.id != *self.place.id() {
            return false;
        }
        self.serves = Serves {
            held: Held {
                serial,
                issuer: listed.entry.issuer,
                validity: listed.entry.validity,
            },
            key: listed.entry.key,
        };
        true
    }
}

pub(crate) fn statement(kept: &StoredStatement) -> Statement {
    let signatures = kept.signatures.iter().map(|kept| Signature {
        root_key_id: kept.root_key_id.clone(),
        signature: kept.signature.clone(),
    });
    Statement {
        body: kept.body.clone(),
        signatures: signatures.collect(),
    }
}

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
