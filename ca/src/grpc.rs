//! The calls of `countersign.ca.v1`, over one connection.
//!
//! In: decoded messages. Out: replies, or statuses that carry the reason. Translates and bounds; decides nothing.

use crate::authority_server::{Answer, AuthorityServer};
use crate::call::Connection;
use crate::enforced::Place;
use crate::refusal::{Fault, Refusal};
use crate::store::{Ledger, StoredStatement};
use api::bounds::{Bounded, STATEMENTS_BYTES_MAX, STATEMENTS_MAX};
use api::ca_v1::authority_server::Authority;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{
    IssueReply, JoinRequest, RenewRequest, Signature, Statement, StatementsReply,
    StatementsRequest, WatchReply, WatchRequest,
};
use api::refusal;
use daemon::drain::Draining;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

/// How often the certificate of a silent stream is judged: timers stand still while the machine sleeps, certificates end.
const JUDGED_EVERY: Duration = Duration::from_secs(5);

/// Answers the calls of one connection.
pub(crate) struct Calls<L> {
    pub(crate) server: Arc<AuthorityServer<L>>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) draining: Draining,
}

#[tonic::async_trait]
impl<L: Ledger + 'static> Authority for Calls<L> {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<IssueReply>, Status> {
        let request = request.into_inner();
        request.within_bounds().map_err(refused)?;
        let token = request
            .evidence
            .as_ref()
            .map(|Evidence::JoinToken(token)| token.as_str());
        let answer = self
            .server
            .join(&self.connection, token, &request.csr, &request.instance)
            .await
            .map_err(refused)?;
        Ok(Response::new(self.reply(answer)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<IssueReply>, Status> {
        let request = request.into_inner();
        request.within_bounds().map_err(refused)?;
        if request.proof.is_some() && self.connection.chain.is_empty() {
            return Err(refused(Refusal::NoGrace));
        }
        let answer = self
            .server
            .renew(&self.connection, &request.csr, &request.instance)
            .await
            .map_err(refused)?;
        Ok(Response::new(self.reply(answer)))
    }

    async fn statements(
        &self,
        request: Request<StatementsRequest>,
    ) -> Result<Response<StatementsReply>, Status> {
        let from = request.into_inner().after_sequence.saturating_add(1);
        let found = self.server.ledger().statements(from, STATEMENTS_MAX).await;
        let found = found.map_err(|fault| refused(Refusal::Record(fault.into())))?;
        let mut bytes = 0;
        let statements = found.into_iter().take_while(|statement| {
            let is_first = bytes == 0;
            bytes += statement.body.len();
            is_first || bytes <= STATEMENTS_BYTES_MAX
        });
        Ok(Response::new(StatementsReply {
            statements: statements.map(|kept| statement(&kept)).collect(),
            latest_sequence: self.server.statement().sequence,
        }))
    }

    type WatchStream = Replies;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let peer = self
            .server
            .peer(&self.connection, SystemTime::now())
            .map_err(refused)?;
        let place = self.server.enforced().enter(peer.id);
        let place = place.ok_or_else(|| refused(Refusal::Streams))?;
        let (replies, stream) = mpsc::channel(1);
        let watch = Watch {
            server: Arc::clone(&self.server),
            connection: Arc::clone(&self.connection),
            draining: self.draining.clone(),
            place,
            replies,
        };
        self.draining.track(watch.run(request.into_inner()));
        Ok(Response::new(Replies(stream)))
    }
}

impl<L: Ledger> Calls<L> {
    fn reply(&self, answer: Answer) -> IssueReply {
        IssueReply {
            chain: answer.chain.iter().map(|der| der.to_vec()).collect(),
            statement: Some(statement(self.server.statement())),
            issued_at_unix_ms: unix_ms(answer.issued_at),
            not_after_unix_s: i64::try_from(answer.not_after_s).unwrap_or(i64::MAX),
            log_index: answer.recorded.index(),
        }
    }
}

/// One stream of a client that watches.
struct Watch<L> {
    server: Arc<AuthorityServer<L>>,
    connection: Arc<Connection>,
    draining: Draining,
    place: Place,
    replies: mpsc::Sender<Result<WatchReply, Status>>,
}

impl<L: Ledger> Watch<L> {
    /// Says at once what holds, then listens until either side ends it or the client's certificate does.
    async fn run(self, mut said: Streaming<WatchRequest>) {
        let _counted = self.server.metrics().stream();
        let state = WatchReply {
            statement: Some(statement(self.server.statement())),
            server_time_unix_ms: unix_ms(SystemTime::now()),
            ..WatchReply::default()
        };
        if self.replies.send(Ok(state)).await.is_err() {
            return;
        }
        let why = loop {
            tokio::select! {
                () = self.draining.started() => break Some(Refusal::Draining),
                () = self.replies.closed() => break None,
                () = sleep(JUDGED_EVERY) => {}
                message = said.message() => match message {
                    Ok(Some(message)) => {
                        if let Err(refused) = message.within_bounds() {
                            break Some(refused.into());
                        }
                        self.hear(message);
                    }
                    Ok(None) | Err(_) => break None,
                },
            }
            if let Err(refusal) = self.server.peer(&self.connection, SystemTime::now()) {
                break Some(refusal);
            }
        };
        if let Some(why) = why {
            // Who does not read the reason has left.
            let _heard = self.replies.try_send(Err(refused(why)));
        }
    }

    fn hear(&self, message: WatchRequest) {
        self.place.says(|watching| {
            watching.instance = message.instance;
            if let Some(enforced) = message.enforced {
                watching.statement_sequence = enforced.statement_sequence;
                watching.unsupported = enforced
                    .unsupported
                    .into_iter()
                    .map(|one| one.what)
                    .collect();
            }
        });
    }
}

/// What a client that watches reads.
#[derive(Debug)]
pub(crate) struct Replies(mpsc::Receiver<Result<WatchReply, Status>>);

impl Stream for Replies {
    type Item = Result<WatchReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

fn refused(refusal: impl Into<Refusal>) -> Status {
    let refusal = refusal.into();
    let code = match refusal.fault() {
        Fault::Request => Code::InvalidArgument,
        Fault::Unauthenticated => Code::Unauthenticated,
        Fault::Denied => Code::PermissionDenied,
        Fault::TooMuch => Code::ResourceExhausted,
        Fault::Passing => Code::Unavailable,
        Fault::Ours => Code::Internal,
    };
    let status = refusal::refuse(code, refusal.reason(), refusal.to_string());
    match refusal.retry() {
        Some(wait) => refusal::retry_after(status, wait),
        None => status,
    }
}

fn statement(kept: &StoredStatement) -> Statement {
    let signatures = kept.signatures.iter().map(|kept| Signature {
        root_key_id: kept.root_key_id.clone(),
        signature: kept.signature.clone(),
    });
    Statement {
        body: kept.body.clone(),
        signatures: signatures.collect(),
    }
}

fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
