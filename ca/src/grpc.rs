//! The calls of `countersign.ca.v1`, over one connection.
//!
//! In: decoded messages. Out: replies, or statuses that carry the reason. Translates and bounds; decides nothing.

use crate::answer::Answer;
use crate::authority_server::AuthorityServer;
use crate::call::Connection;
use crate::issuance::Asked;
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::status::status;
use crate::store::{Ledger, StoredStatement};
use crate::watch::{Serves, Watch, statement, unix_ms};
use api::bounds::{Bounded, STATEMENTS_BYTES_MAX, STATEMENTS_MAX};
use api::ca_v1::authority_server::Authority;
use api::ca_v1::join_request::Evidence;
use api::ca_v1::{
    IssueReply, JoinRequest, RenewRequest, Statement, StatementsReply, StatementsRequest,
    WatchReply, WatchRequest,
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
        let after = request.into_inner().after_sequence;
        let found = self.server.statements(after, STATEMENTS_MAX).await;
        Ok(Response::new(StatementsReply {
            statements: page(&found.map_err(status)?),
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

/// What the tag and the length of a field take at most, up to 256 KiB.
const FIELD_BYTES: usize = 4;

/// As many as one reply takes, signatures and all; at least one of them.
fn page(found: &[StoredStatement]) -> Vec<Statement> {
    let mut bytes = 0;
    found
        .iter()
        .map(statement)
        .take_while(|next| {
            let is_first = bytes == 0;
            let signed = next.signatures.iter();
            let signed =
                signed.map(|by| by.root_key_id.len() + by.signature.len() + FIELD_BYTES * 3);
            bytes += FIELD_BYTES + next.body.len() + signed.sum::<usize>();
            is_first || bytes <= STATEMENTS_BYTES_MAX
        })
        .collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::fixture::server;
    use crate::store::StatementSignature;
    use api::bounds::REPLY_BYTES_MAX;
    use prost::Message;

    /// As many roots in each as there may be, each replaced by another.
    fn full(sequence: u64) -> StoredStatement {
        let by = StatementSignature {
            root_key_id: vec![7; 32],
            signature: vec![7; 104],
        };
        StoredStatement {
            sequence,
            body: vec![7; 48 * 1024],
            signatures: vec![by; 128],
        }
    }

    #[tokio::test]
    async fn who_has_the_newest_statement_costs_no_reading() {
        let folder = tempfile::TempDir::new().unwrap();
        let server = server(folder.path()).await;
        let newest = server.state().statement.sequence;
        let calls = Calls {
            server: Arc::clone(&server),
            connection: Arc::new(Connection::new([127, 0, 0, 1].into(), Vec::new())),
            draining: daemon::drain::pair().1,
        };
        let ask =
            |after_sequence| calls.statements(Request::new(StatementsRequest { after_sequence }));
        let told = |reply: Result<Response<StatementsReply>, Status>| match reply {
            Ok(reply) => Ok(reply.into_inner().statements.len()),
            Err(status) => Err(api::refusal::reason(&status).unwrap().to_owned()),
        };
        assert_eq!(told(ask(newest - 1).await), Ok(1));

        server.ledger().break_down();
        let closed = "store_closed".to_owned();
        assert_eq!(told(ask(0).await), Err(closed));
        assert_eq!(told(ask(newest).await), Ok(0));
        assert_eq!(told(ask(u64::MAX).await), Ok(0));
    }

    #[test]
    fn the_fullest_reply_is_one_that_a_client_reads() {
        let found: Vec<_> = (1..=STATEMENTS_MAX as u64).map(full).collect();

        let reply = StatementsReply {
            statements: page(&found),
            latest_sequence: u64::MAX,
        };

        assert!(reply.statements.len() > 32, "{}", reply.statements.len());
        assert!(
            reply.encoded_len() <= REPLY_BYTES_MAX,
            "{}",
            reply.encoded_len()
        );
    }
}
