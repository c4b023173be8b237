//! Somebody who answers where the CA should be, with whatever certificate and whatever words the test gives.

use api::ca_v1::authority_server::{Authority, AuthorityServer};
use api::ca_v1::{
    IssueReply, JoinRequest, RenewRequest, Statement, StatementsReply, StatementsRequest,
    WatchReply, WatchRequest,
};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use identity::source::ca::statement_to_wire;
use identity::{Alpn, Bundle, Bundles, Generation, SignedStatement, Svid};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// What it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lies {
    /// The chain of statements.
    pub(crate) chain: Vec<SignedStatement>,
    /// What it sends on a stream.
    pub(crate) watch: Option<WatchReply>,
}

pub(crate) struct Impostor {
    pub(crate) address: SocketAddr,
    /// The calls that reached it.
    pub(crate) calls: Arc<Mutex<Vec<&'static str>>>,
    /// What it heard on streams.
    pub(crate) heard: Arc<Mutex<Vec<WatchRequest>>>,
    answering: JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

impl Impostor {
    /// At this address, or anywhere, with this certificate; it takes certificates of this bundle.
    pub(crate) async fn start(address: &str, svid: Svid, bundle: &Bundle, lies: Lies) -> Self {
        let generation = Generation::new(1, svid, Bundles::of(bundle.clone())).unwrap();
        let tls = Arc::new(generation.server_for_strangers(Alpn::Http2));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, heard) = (Arc::default(), Arc::default());
        let mouth = Mouth {
            lies: Arc::new(lies),
            calls: Arc::clone(&calls),
            heard: Arc::clone(&heard),
        };
        let answering = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, mouth) = (TlsAcceptor::from(tls.clone()), mouth.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let service = AuthorityServer::new(mouth);
                    let service = service_fn(move |request| {
                        let mut service = service.clone();
                        async move { tonic::codegen::Service::call(&mut service, request).await }
                    });
                    let _ended = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(tls), service)
                        .await;
                });
            }
        });
        Impostor {
            address,
            calls,
            heard,
            answering,
        }
    }

    pub(crate) fn was_asked(&self, call: &str) -> bool {
        self.calls.lock().unwrap().contains(&call)
    }
}

#[derive(Clone, Debug)]
struct Mouth {
    lies: Arc<Lies>,
    calls: Arc<Mutex<Vec<&'static str>>>,
    heard: Arc<Mutex<Vec<WatchRequest>>>,
}

impl Mouth {
    fn called(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }
}

#[tonic::async_trait]
impl Authority for Mouth {
    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<IssueReply>, Status> {
        self.called("join");
        Err(Status::internal("lies: nothing is issued here; go away"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<IssueReply>, Status> {
        self.called("renew");
        Err(Status::internal("lies: nothing is issued here; go away"))
    }

    async fn statements(
        &self,
        request: Request<StatementsRequest>,
    ) -> Result<Response<StatementsReply>, Status> {
        self.called("statements");
        let after = request.into_inner().after_sequence;
        let sequence = |statement: &SignedStatement| statement.statement().sequence();
        let statements: Vec<Statement> = self
            .lies
            .chain
            .iter()
            .filter(|statement| sequence(statement) > after)
            .map(statement_to_wire)
            .collect();
        Ok(Response::new(StatementsReply {
            statements,
            latest_sequence: self.lies.chain.last().map_or(0, sequence),
        }))
    }

    type WatchStream = Replies;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Replies>, Status> {
        self.called("watch");
        let (mut said, heard) = (request.into_inner(), self.heard.clone());
        tokio::spawn(async move {
            while let Ok(Some(message)) = said.message().await {
                heard.lock().unwrap().push(message);
            }
        });
        Ok(Response::new(Replies(self.lies.watch.clone())))
    }
}

/// One reply, and then nothing more.
#[derive(Debug)]
pub(crate) struct Replies(Option<WatchReply>);

impl Stream for Replies {
    type Item = Result<WatchReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.take() {
            Some(reply) => Poll::Ready(Some(Ok(reply))),
            None => Poll::Pending,
        }
    }
}
