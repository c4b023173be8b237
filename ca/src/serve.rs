//! The CA's listener: TLS 1.3 with its own certificate, HTTP/2 and gRPC over it.
//!
//! In: a bound listener and an authority. Out: calls to it, until the drain starts; then what is under way is finished.
//!
//! 1. Handshakes are bounded in number and time, apart from connections that stand, and those of strangers apart from those of
//!    members: see [`crate::doors`].
//! 2. Who shows no certificate has a connection for a minute: enough for a join and the statements. So has who showed one, once
//!    that has ended.
//! 3. A call is part of its connection's task, which the drain waits for: none outlives its end, holding the record open.
//! 4. What one connection can make us keep is bounded, and a call that is not heard to its end in time is over.

use crate::authority_server::AuthorityServer;
use crate::call::Connection;
use crate::doors::{Doors, Seat};
use crate::grpc::Calls;
use crate::in_turn::{Begun, InTurn};
use crate::refusal::Refusal;
use crate::status::status;
use crate::store::Ledger;
use api::bounds::REQUEST_BYTES_MAX;
use api::ca_v1::authority_server::AuthorityServer as Service;
use config::SpiffeId;
use daemon::accept;
use daemon::bind::Listener;
use daemon::drain::Draining;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a connection without a certificate may stand, and one with a certificate after its end.
const STRANGER_AGE_MAX: Duration = Duration::from_secs(60);
/// How long calls under way may still take when a connection is asked to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long handshakes under way may still take then.
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);
/// Calls at a time on a member's connection: a renewal, a stream and the statements, and some more.
const CALLS_MAX: u32 = 16;
/// The same on a stranger's.
const STRANGERS_CALLS_MAX: u32 = 4;
/// How long a call may take from its head to its answer, but for a stream: a queue of signatures and one of the disk, each of two
/// seconds, and a slow line.
const CALL_WITHIN: Duration = Duration::from_secs(15);
/// The one call that is a stream.
const STREAM: &str = "/countersign.ca.v1.Authority/Watch";
/// How much of one call's request may be under way.
const CALL_WINDOW_BYTES: u32 = 64 * 1024;
/// The same of all calls of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 128 * 1024;
/// Resets that wait to be worked off, before the connection is closed.
const PENDING_RESETS_MAX: usize = 20;
/// A head: gRPC's own few fields.
const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// After this long without a word the client is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Another shakes hands in its place, or nobody more may.
const HANDSHAKES_FULL: &str = "handshakes_full";
/// It has shaken hands, and no more may stay.
const CONNECTIONS_FULL: &str = "connections_full";

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
    let doors = Doors::of(limits.handshakes);
    let watch = draining.clone();
    accept::run(listener, draining, move |stream, peer: SocketAddr| {
        let handshake = doors.handshake(&peer);
        let (server, draining, doors) = (Arc::clone(&server), watch.clone(), doors.clone());
        async move {
            let served = async {
                // Without a place the stream is dropped here: closed at once is an answer too.
                let handshake = handshake.ok_or(HANDSHAKES_FULL)?;
                let tls = tokio::select! {
                    shaken = shake_hands(stream, &server, limits, &draining) => shaken?,
                    () = handshake.asked_back() => return Err(HANDSHAKES_FULL),
                };
                let guest = Guest::of(&tls, peer, &server);
                let seat = doors.seat(&peer, guest.id.as_ref());
                let seat = seat.ok_or(CONNECTIONS_FULL)?;
                drop(handshake);
                let group = tls.get_ref().1.negotiated_key_exchange_group();
                server
                    .metrics()
                    .handshake("ok", identity::group_name(group));
                answer(tls, guest, seat, server.clone(), draining).await;
                Ok(())
            };
            if let Err(why) = served.await {
                server.metrics().handshake(why, "");
                tracing::debug!(%peer, reason = why, "no handshake");
            }
        }
    })
    .await;
}

/// Who is at the other end.
struct Guest {
    connection: Arc<Connection>,
    /// Whom its certificate names, if it has one.
    id: Option<SpiffeId>,
    /// How long its connection may stand.
    age_max: Duration,
}

impl Guest {
    fn of<L: Ledger>(
        tls: &TlsStream<TcpStream>,
        peer: SocketAddr,
        server: &AuthorityServer<L>,
    ) -> Self {
        let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let connection = Arc::new(Connection::new(peer.ip(), chain.to_vec()));
        let now = server.now();
        let known = server
            .caller(&connection, now)
            .ok()
            .map(|caller| caller.peer);
        let left = known
            .as_ref()
            .map(|peer| peer.not_after.duration_since(now));
        Guest {
            id: known.map(|peer| peer.id),
            age_max: left.and_then(Result::ok).unwrap_or_default() + STRANGER_AGE_MAX,
            connection,
        }
    }
}

async fn shake_hands<L: Ledger>(
    stream: TcpStream,
    server: &AuthorityServer<L>,
    limits: Limits,
    draining: &Draining,
) -> Result<TlsStream<TcpStream>, &'static str> {
    let acceptor = TlsAcceptor::from(server.tls());
    // Who connects and says nothing must not hold up the end.
    let ending = async {
        draining.started().await;
        sleep(LAST_HANDSHAKES).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(limits.handshake, acceptor.accept(stream)) => shaken,
        () = ending => return Err("draining"),
    };
    match shaken {
        Ok(Ok(tls)) => Ok(tls),
        Ok(Err(error)) => Err(identity::handshake_reason(&error)),
        Err(_) => Err("handshake_timeout"),
    }
}

async fn answer<L: Ledger + 'static>(
    tls: TlsStream<TcpStream>,
    guest: Guest,
    seat: Seat,
    server: Arc<AuthorityServer<L>>,
    draining: Draining,
) {
    let calls = Service::new(Calls {
        server,
        connection: guest.connection,
        draining: draining.clone(),
    })
    .max_decoding_message_size(REQUEST_BYTES_MAX);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut calls = calls.clone();
        async move {
            let is_stream = request.uri().path() == STREAM;
            let answered = tonic::codegen::Service::call(&mut calls, request);
            match is_stream {
                true => answered.await,
                false => timeout(CALL_WITHIN, answered)
                    .await
                    .unwrap_or_else(|_| Ok(status(Refusal::Slow).into_http())),
            }
        }
    });
    let calls_max = match seat {
        Seat::Member(_) => CALLS_MAX,
        Seat::Stranger(_) => STRANGERS_CALLS_MAX,
    };
    let begun = Begun::default();
    let mut builder = http2::Builder::new(begun.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(calls_max)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(ASKED_AFTER)
        .keep_alive_timeout(ANSWERED_WITHIN);
    let mut serving = InTurn::new(builder.serve_connection(TokioIo::new(tls), service), begun);
    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = draining.started() => None,
        () = sleep(guest.age_max) => None,
        () = seat.asked_back() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.connection().graceful_shutdown();
            timeout(GRACE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
