//! From the app to the network: find the service, dial it as the identity it must have, forward.

use crate::answer::{Cause, Refusal};
use crate::believed::Believed;
use crate::clock;
use crate::exchange::{ASKED_BACK, Facts};
use crate::forward::{Way, forward, tunnel};
use crate::headers::Bound;
use crate::http::{Bounds, Check, Observe, Serving, serve};
use crate::load::{Full, Holding, Who};
use crate::metered::Metered;
use crate::open::{Kind, Listed, Opened, Proven};
use crate::over::Over;
use crate::route::{Route, Routed};
use crate::snapshot::{Service, Snapshot};
use crate::still::{Judging, Still};
use crate::tcp::{self, Connection};
use crate::uid::{self, NotAllowed, UID_NOT_ALLOWED};
use crate::under_way::Claim;
use crate::upgrade::Handover;
use crate::upstream::Connected;
use crate::version::Version;
use crate::which::{Described, Which};
use crate::wish::Wish;
use crate::world::World;
use config::sidecar::{HalfClose, Protocol};
use daemon::drain::Draining;
use daemon::socket::{Peer, Socket};
use std::sync::Arc;
use telemetry::{AccessRecord, Direction, Verdict};
use tower::{ServiceBuilder, service_fn};

/// A listener for calls from the app.
#[derive(Clone)]
pub(crate) struct Outbound {
    /// Which one.
    pub(crate) which: Arc<Which>,
    /// Everything in force.
    pub(crate) world: Arc<World>,
    /// What is open here.
    pub(crate) opened: Arc<Opened>,
}

impl Outbound {
    /// As it is called now.
    fn now(self: Arc<Self>) -> Arc<Self> {
        let snapshot = self.world.snapshot();
        let now = snapshot.outbound(&self.which);
        match now.filter(|now| *now.name != *self.which.name) {
            Some(now) => Arc::new(Self {
                which: Arc::new(now.which()),
                ..(*self).clone()
            }),
            None => self.clone(),
        }
    }
    /// Serves one connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, socket: Socket, from: Peer, stop: Draining) {
        self.now().serve_one(socket, from, stop).await;
    }
    async fn serve_one(&self, socket: Socket, from: Peer, stop: Draining) {
        let open = self
            .world
            .metrics
            .connections(Direction::Outbound, &self.which.name);
        let _open = open.enter();
        let (socket, listed) = self.opened.list(socket, from);
        let snapshot = Arc::clone(&self.world.snapshot());
        let holding = match self.world.load.connect(Who::App) {
            Ok(holding) => holding,
            Err(full) => return self.full(full, &snapshot),
        };
        // Boxed: a quiet connection holds what it is, and not the greatest of what it could have been.
        match self.which.protocol {
            Protocol::Http => {
                let within = snapshot.config.limits.first_byte;
                let version = Box::pin(Version::spoken_unless(&socket, within, &stop)).await;
                if let Some(version) = version {
                    let serving =
                        self.serve_http(socket, version, &listed, &snapshot, &holding, stop);
                    serving.await;
                }
            }
            Protocol::Tcp => Box::pin(self.serve_tcp(socket, &listed, &snapshot, &holding)).await,
        }
    }
    fn serve_http<'a>(
        &self,
        socket: Metered,
        version: Version,
        listed: &Listed,
        snapshot: &'a Snapshot,
        holding: &'a Holding,
        stop: Draining,
    ) -> Serving<'a> {
        let (limits, outbound) = (&snapshot.config.limits, snapshot.outbound(&self.which));
        let facts = Facts::new(
            Direction::Outbound,
            self.which.name.clone(),
            snapshot.local_id.clone(),
            None,
            self.world.metrics.clone(),
            snapshot.access_log.clone(),
            holding.holder().clone(),
        );
        let from = listed.connection().from;
        let judging = self.judging(from);
        let handover = Arc::new(Handover::new(judging.clone(), stop.clone(), None));
        listed.carries(Kind::Http(version, facts.clone()));
        let bounds = Bounds {
            limits,
            ends: None,
            holding,
            half_close: outbound.map_or(HalfClose::Abort, |outbound| outbound.half_close),
            stop,
            handover: handover.clone(),
            judging,
        };
        let to_service = service_fn(move |routed: Routed| {
            let handover = handover.clone();
            async move {
                let Routed {
                    checked,
                    destination,
                    ..
                } = routed;
                let (request, exchange, authority) = checked.into_parts();
                let way = Way::to_service(&destination, version, &handover);
                match exchange.wish {
                    Wish::Tunnel => tunnel(request, exchange, way).await,
                    Wish::Answer | Wish::WebSocket => {
                        forward(request, exchange, authority, way).await
                    }
                }
            }
        });
        let stack = ServiceBuilder::new()
            .layer(Observe {
                facts: facts.clone(),
            }) // first, so that every refusal below is counted and answered
            .layer(Check {
                bound: Bound::of(limits),
            }) // before routing, so that a route is found by the one authority of a request
            .layer(Route {
                world: self.world.clone(),
                listener: self.which.clone(),
                from,
            })
            .service(to_service);
        serve(socket, version, stack, facts, bounds)
    }
    /// There is no room for one more connection of the app.
    fn full(&self, full: Full, snapshot: &Snapshot) {
        let reason = full.reason();
        self.limited(reason);
        tracing::debug!(
            listener = &*self.which.name,
            reason,
            "connection refused: {full}"
        );
        if let Some(access_log) = &snapshot.access_log {
            access_log.write(&AccessRecord {
                listener: &self.which.name,
                local_id: &snapshot.local_id,
                reason,
                error: &full.to_string(),
                ..AccessRecord::of(Direction::Outbound)
            });
        }
    }
    /// Resolves when another should have the place of a connection that cannot be asked to end: counted, and said of it.
    async fn asked_back(&self, holding: &Holding, listed: &Listed) {
        holding.asked_back().await;
        listed.connection().condemn(ASKED_BACK);
        self.limited(ASKED_BACK);
    }
    fn limited(&self, reason: &str) {
        let metrics = &self.world.metrics;
        metrics.limited(Direction::Outbound, &self.which.name, reason);
    }
    async fn serve_tcp(
        &self,
        socket: Metered,
        listed: &Listed,
        snapshot: &Snapshot,
        holding: &Holding,
    ) {
        listed.carries(Kind::Tcp);
        let from = listed.connection().from;
        let mut connection = Connection::begin(
            Direction::Outbound,
            &self.which.name,
            snapshot,
            &self.world.metrics,
            listed.connection(),
        );
        if let Err(stranger) = uid::may_call(snapshot, &self.which, from) {
            self.world.metrics.denied("", UID_NOT_ALLOWED);
            connection.verdict = Verdict::Denied;
            return connection.failed(&stranger.refusal());
        }
        let Some(destination) = snapshot.destination(&self.which, None) else {
            return connection.failed(&Refusal::unsent(Cause::NoSuchService, "no_such_service"));
        };
        connection.service = destination.whom.service.clone();
        connection.peer_id = destination.whom.peer_id().clone();
        connection.tls = destination.whom.tls;
        match destination.upstream.tcp().await {
            Ok((upstream, endpoint)) => {
                connection.endpoint = endpoint;
                connection.tls_group = upstream.tls_group;
                if let Some(peer) = &upstream.peer {
                    listed.proved(Proven {
                        id: destination.whom.peer_id().clone(),
                        not_after: peer.not_after,
                    });
                }
                let still = self.still(snapshot, destination, &upstream, from);
                let relaying = tcp::relay(socket, upstream.io, connection, still);
                tokio::select! {
                    () = relaying => {}
                    () = self.asked_back(holding, listed) => {}
                }
            }
            Err(refusal) => connection.failed(&refusal),
        }
    }
}

impl Outbound {
    /// As long as the service is there with this identity and endpoint, its server is believed, and its caller may call.
    fn still(&self, snapshot: &Snapshot, to: &Service, over: &Connected, from: Peer) -> Still {
        let after_expiry = snapshot.config.limits.after_expiry;
        let cut_at = over.ends.and_then(|ends| clock::cut_at(ends, after_expiry));
        let listener = self.which.clone();
        let (whom, written) = (to.whom.clone(), over.written.clone());
        let server = over.server.clone();
        let leads_there = move |now: &Snapshot| {
            now.leads_to(&whom, Some(&written))
                .map_err(Over::service_changed)?;
            uid::may_call(now, &listener, from).map_err(NotAllowed::over)?;
            let still = |server: &Arc<Believed>| now.believes(server, Some(&whom));
            server.as_ref().map_or(Ok(()), still)
        };
        Still::new(&self.world, snapshot.number, cut_at, leads_there)
    }
    /// The same of requests, whose endpoints may change while they are under way, and of tunnels, whose may not.
    fn judging(&self, from: Peer) -> Judging {
        let listener = self.which.clone();
        Judging::by(&self.world, move |now: &Snapshot, claim: &Claim| {
            uid::may_call(now, &listener, from).map_err(NotAllowed::over)?;
            let Some(whom) = &claim.to else {
                return Ok(());
            };
            let stays = match whom.is_passed() {
                true => now.still_passes(&listener, claim.host.as_ref()),
                false => now.leads_to(whom, claim.endpoint.as_deref()),
            };
            stays.map_err(Over::service_changed)?;
            let still = |server: &Arc<Believed>| now.believes(server, Some(whom));
            claim.server.as_ref().map_or(Ok(()), still)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::Inbound;

    fn bytes_of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// What is quiet costs its task as long as it is open: what only some connections need is boxed.
    #[test]
    fn the_task_of_a_connection_is_small() {
        let (outbound, inbound) = (bytes_of(Outbound::serve), bytes_of(Inbound::serve));
        assert!(outbound <= 1024, "{outbound} bytes");
        assert!(inbound <= 1024, "{inbound} bytes");
    }
}
