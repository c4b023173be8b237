//! From the network to the app: accept, shake hands, ask policy, forward.

use crate::admit::{Admit, Caller, Permitted};
use crate::answer::{Cause, Refusal};
use crate::clock::{self, Passed};
use crate::exchange::Facts;
use crate::forward::{Way, forward};
use crate::http::{Bounds, Check, Observe, serve};
use crate::secure::{self, Authenticated, Unproven};
use crate::snapshot::Snapshot;
use crate::tcp::{self, Connection};
use crate::version::Version;
use crate::world::World;
use config::sidecar::Protocol;
use daemon::drain::Draining;
use identity::Alpn;
use std::net::SocketAddr;
use std::sync::Arc;
use telemetry::{AccessRecord, DecisionId, Direction, Verdict};
use tokio::net::TcpStream;
use tower::{ServiceBuilder, service_fn};

/// A listener for calls from the network.
pub(crate) struct Inbound {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What it and its app speak.
    pub(crate) protocol: Protocol,
    /// Everything in force.
    pub(crate) world: Arc<World>,
}

impl Inbound {
    /// Serves one connection to its end.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        from: SocketAddr,
        stop: Draining,
    ) {
        let open = self
            .world
            .metrics
            .connections(Direction::Inbound, &self.name);
        let _open = open.enter();
        let snapshot = Arc::clone(&self.world.snapshot());
        let alpn = match self.protocol {
            Protocol::Http => Alpn::Http,
            Protocol::Tcp => Alpn::None,
        };
        match secure::accept(
            socket,
            &snapshot.identity,
            alpn,
            snapshot.config.limits.handshake,
        )
        .await
        {
            Ok(known) => {
                // A handshake may take its time: what was changed meanwhile is in force, and whom we believe is asked again.
                let before = snapshot;
                let snapshot = Arc::clone(&self.world.snapshot());
                if !Arc::ptr_eq(&before.identity, &snapshot.identity)
                    && let Err(refused) = snapshot.identity.judge_client(Some(&known.chain))
                {
                    return self.refused(&Unproven::Identity(refused), from, &snapshot);
                }
                self.world
                    .metrics
                    .handshake("server", "ok", known.tls_group);
                match self.protocol {
                    Protocol::Http => self.serve_http(known, &snapshot, stop).await,
                    Protocol::Tcp => self.serve_tcp(known, &snapshot).await,
                }
            }
            Err(unproven) => self.refused(&unproven, from, &snapshot),
        }
    }
    async fn serve_http(&self, known: Authenticated, snapshot: &Snapshot, stop: Draining) {
        let Authenticated {
            stream,
            peer,
            chain,
            http2,
            tls_group,
        } = known;
        let version = if http2 {
            Version::Http2
        } else {
            Version::Http1
        };
        let facts = Facts::new(
            Direction::Inbound,
            self.name.clone(),
            snapshot.local_id.clone(),
            Some((peer.id.as_str().into(), tls_group)),
            self.world.metrics.clone(),
            snapshot.access_log.clone(),
        );
        let caller = Caller::new(self.world.clone(), snapshot, self.name.clone(), peer, chain);
        let bounds = Bounds {
            limits: &snapshot.config.limits,
            ends: Some(caller.ends()),
            stop,
        };
        let to_app = service_fn(move |permitted: Permitted| async move {
            let Permitted { checked, app, .. } = permitted;
            let (request, exchange, authority) = checked.into_parts();
            forward(
                request,
                exchange,
                authority,
                Way {
                    upstream: &app,
                    version,
                    timeout: None,
                },
            )
            .await
        });
        let stack = ServiceBuilder::new()
            .layer(Observe {
                facts: facts.clone(),
            }) // first, so that every refusal below is counted and answered
            .layer(Check {
                headers_max: snapshot.config.limits.headers,
            }) // before policy, so that it decides on the one meaning of a request
            .layer(Admit { caller }) // before the app: the refused cost no connection
            .service(to_app);
        serve(stream, version, stack, &facts, bounds).await;
    }
    async fn serve_tcp(&self, known: Authenticated, snapshot: &Snapshot) {
        let Authenticated {
            stream,
            peer,
            tls_group,
            ..
        } = known;
        let ends = peer.not_after.min(snapshot.identity.expiry().leaf);
        let cut_at = clock::cut_at(ends, snapshot.config.limits.after_expiry);
        let mut connection = Connection::begin(
            Direction::Inbound,
            &self.name,
            snapshot,
            &self.world.metrics,
        );
        connection.peer_id = peer.id.as_str().into();
        connection.tls_group = tls_group;
        let decision = DecisionId::fresh();
        connection.decision = Some(decision);
        let rules = snapshot.rules.for_caller(&peer.id, &self.name);
        match rules.decide(&policy::Request::Tcp) {
            Ok(permit) => {
                connection.verdict = Verdict::Allowed;
                connection.rule = permit.rule().to_string();
            }
            Err(denied) => {
                let rule = denied.rule_to_look_at();
                let rule = rule.map_or("", |rule| rule);
                let reason = denied.reason.label();
                self.world.metrics.denied(rule, reason);
                connection.denied(&denied);
                return;
            }
        }
        let Some(app) = snapshot.app(&self.name) else {
            return connection.failed(&Refusal::unsent(Cause::Unavailable, "listener_removed"));
        };
        match app.tcp().await {
            Ok((upstream, endpoint)) => {
                connection.endpoint = endpoint;
                tcp::relay(stream, upstream.io, connection, Passed::at(cut_at)).await;
            }
            Err(refusal) => connection.failed(&refusal),
        }
    }
    /// Ended before a byte reached the app: counted, and logged with its reason.
    fn refused(&self, unproven: &Unproven, from: SocketAddr, snapshot: &Snapshot) {
        let reason = unproven.reason();
        self.world.metrics.handshake("server", reason, "");
        tracing::debug!(listener = &*self.name, %from, reason, "handshake refused: {unproven}");
        if let Some(access_log) = &snapshot.access_log {
            access_log.write(&AccessRecord {
                listener: &self.name,
                local_id: &snapshot.local_id,
                reason,
                error: &format!("{from}: {unproven}"),
                ..AccessRecord::of(Direction::Inbound)
            });
        }
    }
}
