//! From the app to the network: find the service, dial it as the identity it must have, forward.

use crate::answer::{Cause, Refusal};
use crate::clock::{self, Passed};
use crate::exchange::Facts;
use crate::forward::{Way, forward};
use crate::http::{Bounds, Check, Observe, serve};
use crate::route::{Route, Routed};
use crate::snapshot::Snapshot;
use crate::tcp::{self, Connection};
use crate::version::Version;
use crate::world::World;
use config::sidecar::Protocol;
use daemon::drain::Draining;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Direction;
use tokio::net::TcpStream;
use tower::{ServiceBuilder, service_fn};

/// A listener for calls from the app.
pub(crate) struct Outbound {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What the app speaks.
    pub(crate) protocol: Protocol,
    /// Everything in force.
    pub(crate) world: Arc<World>,
}

/// The connection preface of HTTP/2 (RFC 9113 §3.4): no HTTP/1 request begins with it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Outbound {
    /// Serves one connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, socket: TcpStream, stop: Draining) {
        let open = self
            .world
            .metrics
            .connections(Direction::Outbound, &self.name);
        let _open = open.enter();
        let snapshot = Arc::clone(&self.world.snapshot());
        match self.protocol {
            Protocol::Http => self.serve_http(socket, &snapshot, stop).await,
            Protocol::Tcp => self.serve_tcp(socket, &snapshot).await,
        }
    }
    async fn serve_http(&self, socket: TcpStream, snapshot: &Snapshot, stop: Draining) {
        let limits = &snapshot.config.limits;
        let version = tokio::select! {
            version = version(&socket, limits.idle) => version,
            () = stop.started() => None,
        };
        let Some(version) = version else { return };
        let facts = Facts::new(
            Direction::Outbound,
            self.name.clone(),
            snapshot.local_id.clone(),
            None,
            self.world.metrics.clone(),
            snapshot.access_log.clone(),
        );
        let bounds = Bounds {
            limits,
            ends: None,
            stop,
        };
        let to_service = service_fn(move |routed: Routed| async move {
            let Routed {
                checked,
                destination,
                ..
            } = routed;
            let (request, exchange, authority) = checked.into_parts();
            let way = Way {
                upstream: &destination.upstream,
                version,
                timeout: destination.timeout,
            };
            forward(request, exchange, authority, way).await
        });
        let stack = ServiceBuilder::new()
            .layer(Observe {
                facts: facts.clone(),
            }) // first, so that every refusal below is counted and answered
            .layer(Check {
                headers_max: limits.headers,
            }) // before routing, so that a route is found by the one authority of a request
            .layer(Route {
                world: self.world.clone(),
                listener: self.name.clone(),
            })
            .service(to_service);
        serve(socket, version, stack, &facts, bounds).await;
    }
    async fn serve_tcp(&self, socket: TcpStream, snapshot: &Snapshot) {
        let mut connection = Connection::begin(
            Direction::Outbound,
            &self.name,
            snapshot,
            &self.world.metrics,
        );
        let Some(destination) = snapshot.destination(&self.name, None) else {
            return connection.failed(&Refusal::unsent(Cause::NoSuchService, "no_such_service"));
        };
        connection.service = destination.name.clone();
        connection.peer_id = destination.identity.clone();
        match destination.upstream.tcp().await {
            Ok((upstream, endpoint)) => {
                connection.endpoint = endpoint;
                connection.tls_group = upstream.tls_group;
                let after_expiry = snapshot.config.limits.after_expiry;
                let cut_at = upstream
                    .ends
                    .and_then(|ends| clock::cut_at(ends, after_expiry));
                tcp::relay(socket, upstream.io, connection, Passed::at(cut_at)).await;
            }
            Err(refusal) => connection.failed(&refusal),
        }
    }
}

/// Which version an app speaks, by its first bytes, left in the socket; `None` when it leaves or stays silent.
///
/// The first byte decides in almost every case: only `P` (POST, PUT, PATCH, PROPFIND, PRI) asks for a second look.
async fn version(socket: &TcpStream, within: Duration) -> Option<Version> {
    let mut seen = [0; PREFACE.len()];
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let count = tokio::time::timeout_at(deadline, socket.peek(&mut seen))
            .await
            .ok()?
            .ok()?;
        match &seen[..count] {
            [] => return None,
            bytes if !PREFACE.starts_with(bytes) => return Some(Version::Http1),
            // "PR" is enough to rule out every method in use but PROPFIND and PROPPATCH, whose third byte differs.
            bytes if bytes.len() >= 3 => return Some(Version::Http2),
            // One or two bytes came alone. Readiness does not fire again for bytes that were only peeked at.
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
    }
}
