//! The CA's listener: TLS 1.3 with its own certificate, HTTP/2 and gRPC over it.
//!
//! In: a bound listener and an authority. Out: calls to it, until the drain starts; then what is under way is finished.
//!
//! 1. Handshakes are bounded in number and time, apart from connections that stand.
//! 2. Who shows no certificate has a connection for a minute: enough for a join and the statements.
//! 3. A call is part of its connection's task, which the drain waits for: none outlives its end, holding the record open.
//! 4. Nobody opens more connections than [`CONNECTIONS_MAX`] together.

use crate::authority_server::AuthorityServer;
use crate::call::Connection;
use crate::grpc::Calls;
use crate::in_turn::{Begun, InTurn};
use crate::store::Ledger;
use api::bounds::REQUEST_BYTES_MAX;
use api::ca_v1::authority_server::AuthorityServer as Service;
use daemon::accept;
use daemon::bind::Listener;
use daemon::drain::Draining;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Open connections at a time, with and without certificates.
const CONNECTIONS_MAX: usize = 20_000;
/// How long a connection without a certificate may stand.
const STRANGER_AGE_MAX: Duration = Duration::from_secs(60);
/// How long calls under way may still take when a connection is asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long handshakes under way may still take then.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// Calls at a time on one connection: a renewal, a stream and the statements, and some more.
const CALLS_MAX: u32 = 16;
/// Resets that wait to be worked off, before the connection is closed.
const PENDING_RESETS_MAX: usize = 20;
/// A head: gRPC's own few fields.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// After this long without a word the client is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// What strangers may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes under way.
    pub handshakes: usize,
    /// How long one may take.
    pub handshake: Duration,
}

/// Accepts and answers until the drain starts.
pub async fn serve<L: Ledger + 'static>(
    listener: Listener,
    draining: Draining,
    server: Arc<AuthorityServer<L>>,
    limits: Limits,
) {
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let watch = draining.clone();
    accept::run(listener, draining, move |stream, peer: SocketAddr| {
        let handshake = Arc::clone(&handshakes).try_acquire_owned();
        let place = Arc::clone(&connections).try_acquire_owned();
        let (server, draining) = (Arc::clone(&server), watch.clone());
        async move {
            // Without a place the stream is dropped here: closed at once is an answer too.
            let (Ok(handshake), Ok(_place)) = (handshake, place) else {
                return;
            };
            if let Some(tls) = shake_hands(stream, peer, &server, limits, &draining).await {
                drop(handshake);
                answer(tls, peer, server, draining).await;
            }
        }
    })
    .await;
}

async fn shake_hands<L: Ledger>(
    stream: TcpStream,
    peer: SocketAddr,
    server: &AuthorityServer<L>,
    limits: Limits,
    draining: &Draining,
) -> Option<TlsStream<TcpStream>> {
    let acceptor = TlsAcceptor::from(server.tls());
    // Who connects and says nothing must not hold up the end.
    let ending = async {
        draining.started().await;
        sleep(LAST_HANDSHAKES).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(limits.handshake, acceptor.accept(stream)) => shaken,
        () = ending => return None,
    };
    let why = match shaken {
        Ok(Ok(tls)) => return Some(tls),
        Ok(Err(error)) => identity::handshake_reason(&error),
        Err(_) => "handshake_timeout",
    };
    tracing::debug!(%peer, reason = why, "no handshake");
    None
}

async fn answer<L: Ledger + 'static>(
    tls: TlsStream<TcpStream>,
    peer: SocketAddr,
    server: Arc<AuthorityServer<L>>,
    draining: Draining,
) {
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let connection = Arc::new(Connection::new(peer.ip(), chain.to_vec()));
    let is_stranger = connection.chain.is_empty();
    let calls = Service::new(Calls {
        server,
        connection,
        draining: draining.clone(),
    })
    .max_decoding_message_size(REQUEST_BYTES_MAX);
    let service = service_fn(move |request| {
        let mut calls = calls.clone();
        async move { tonic::codegen::Service::call(&mut calls, request).await }
    });
    let begun = Begun::default();
    let mut builder = http2::Builder::new(begun.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(ASKED_AFTER)
        .keep_alive_timeout(ANSWERED_WITHIN);
    let mut serving = InTurn::new(builder.serve_connection(TokioIo::new(tls), service), begun);
    let too_old = async {
        match is_stranger {
            true => sleep(STRANGER_AGE_MAX).await,
            false => pending().await,
        }
    };
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = draining.started() => None,
        () = too_old => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.connection().graceful_shutdown();
            timeout(GRACE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
