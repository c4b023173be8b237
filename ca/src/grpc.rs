//! The calls of `countersign.ca.v1`, over one connection.
//!
//! In: decoded messages. Out: replies, or statuses that carry the reason. Translates and bounds; decides nothing.

use crate::authority_server::AuthorityServer;
use crate::call::Connection;
use crate::issuance::{Answer, Asked};
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::status::status;
use crate::store::Ledger;
use crate::watch::{Serves, Watch, statement, unix_ms};
use api::bounds::{Bounded, STATEMENTS_BYTES_MAX, STATEMENTS_MAX};
use api::ca_v1::authority_server::Authority;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{
    IssueReply, JoinRequest, RenewRequest, StatementsReply, StatementsRequest, WatchReply,
    WatchRequest,
};
use daemon::drain::Draining;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

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
        request.within_bounds().map_err(status)?;
        let token = request
            .evidence
            .as_ref()
            .map(|Evidence::JoinToken(token)| token.as_str());
        let asked = Asked {
            csr: request.csr,
            instance: &request.instance,
        };
        let answer = self.server.join(&self.connection, token, asked).await;
        let answer = answer.map_err(status)?;
        Ok(Response::new(self.reply(answer)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<IssueReply>, Status> {
        let request = request.into_inner();
        request.within_bounds().map_err(status)?;
        let proof = request.proof.as_ref().map(|proof| Proof {
            leaf: &proof.leaf,
            made_at_unix_ms: proof.made_at_unix_ms,
            signature: &proof.signature,
        });
        let asked = Asked {
            csr: request.csr,
            instance: &request.instance,
        };
        let answer = self.server.renew(&self.connection, proof, asked).await;
        let answer = answer.map_err(status)?;
        Ok(Response::new(self.reply(answer)))
    }

    async fn statements(
        &self,
        request: Request<StatementsRequest>,
    ) -> Result<Response<StatementsReply>, Status> {
        let from = request.into_inner().after_sequence.saturating_add(1);
        let found = self.server.ledger().statements(from, STATEMENTS_MAX).await;
        let found = found.map_err(|fault| status(Refusal::Record(fault.into())))?;
        let mut bytes = 0;
        let statements = found.into_iter().take_while(|statement| {
            let is_first = bytes == 0;
            bytes += statement.body.len();
            is_first || bytes <= STATEMENTS_BYTES_MAX
        });
        Ok(Response::new(StatementsReply {
            statements: statements.map(|kept| statement(&kept)).collect(),
            latest_sequence: self.server.state().statement.sequence,
        }))
    }

    type WatchStream = Replies;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let caller = self.server.caller(&self.connection, self.server.now());
        let caller = caller.map_err(status)?;
        let place = self.server.enforced().enter(caller.peer.id);
        let place = place.ok_or_else(|| status(Refusal::Streams))?;
        let (replies, stream) = mpsc::channel(Watch::<L>::REPLIES_MAX);
        let watch = Watch {
            server: Arc::clone(&self.server),
            connection: Arc::clone(&self.connection),
            draining: self.draining.clone(),
            place,
            replies,
            serves: Serves::of(caller.leaf),
        };
        self.draining.track(watch.run(request.into_inner()));
        Ok(Response::new(Replies(stream)))
    }
}

impl<L: Ledger> Calls<L> {
    fn reply(&self, answer: Answer) -> IssueReply {
        IssueReply {
            chain: answer.chain.iter().map(|der| der.to_vec()).collect(),
            statement: Some(statement(&self.server.state().statement)),
            issued_at_unix_ms: unix_ms(answer.issued_at),
            not_after_unix_s: i64::try_from(answer.not_after_s).unwrap_or(i64::MAX),
            log_index: answer.recorded.index(),
        }
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
