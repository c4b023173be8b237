//! From the network to the app: accept, shake hands, ask policy, forward.

use crate::abort::Abort;
use crate::admit::{Admit, Caller, Permitted, Who};
use crate::answer::{Cause, Refusal};
use crate::believed::Believed;
use crate::clock;
use crate::exchange::{ASKED_BACK, Facts};
use crate::far_end::FarEnd;
use crate::forward::{Way, forward};
use crate::headers::Bound;
use crate::http::{Bounds, Check, Observe, Serving, serve};
use crate::load::{Full, Holding, Who as Holder};
use crate::metered::Metered;
use crate::open::{Kind, Listed, Opened, Proven};
use crate::over::Over;
use crate::plain::{CLEAR_TEXT, Plain, Told, is_heard};
use crate::secure::{self, Authenticated, Heard, Unproven};
use crate::snapshot::Snapshot;
use crate::still::Still;
use crate::tcp::{self, Connection};
use crate::upgrade::Handover;
use crate::upstream::Connected;
use crate::version::Version;
use crate::which::{Described, Which};
use crate::world::World;
use config::sidecar::{HalfClose, Protocol};
use daemon::drain::Draining;
use daemon::places::Origin;
use daemon::socket::{Peer, Socket};
use identity::{Alpn, Role};
use std::sync::Arc;
use telemetry::{AccessRecord, DecisionId, Direction, Verdict};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{ServiceBuilder, service_fn};

/// A listener for calls from the network.
#[derive(Clone)]
pub(crate) struct Inbound {
    /// Which one.
    pub(crate) which: Arc<Which>,
    /// Everything in force.
    pub(crate) world: Arc<World>,
    /// What is open here.
    pub(crate) opened: Arc<Opened>,
    /// Whom the log was told of as a caller in clear text.
    pub(crate) told: Arc<Told>,
}

/// Who came, by which key exchange, and what its connection holds.
struct Came<'a> {
    who: Who,
    tls_group: &'static str,
    holding: &'a Holding,
    listed: &'a Listed,
}

impl Inbound {
    /// As it is called now.
    fn now(self: Arc<Self>) -> Arc<Self> {
        let snapshot = self.world.snapshot();
        let now = snapshot.inbound(&self.which);
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
            .connections(Direction::Inbound, &self.which.name);
        let _open = open.enter();
        let (socket, listed) = self.opened.list(socket, from);
        let snapshot = Arc::clone(&self.world.snapshot());
        let alpn = match self.which.protocol {
            Protocol::Http => Alpn::Http,
            Protocol::Tcp => Alpn::None,
        };
        // Boxed, as all that follows: a quiet connection holds what it is, and neither its handshake nor what it could have been.
        match Box::pin(self.shake_hands(socket, from, alpn, &snapshot)).await {
            Ok(Heard::Plain(socket)) => {
                Box::pin(self.serve_plain(socket, &listed, stop)).await;
            }
            Ok(Heard::Known(known)) => {
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
                let who: Arc<str> = known.peer.id.as_str().into();
                let holding = match self.world.load.connect(Holder::Peer(who.clone())) {
                    Ok(holding) => holding,
                    Err(full) => return self.full(full, &who, &snapshot),
                };
                listed.proved(Proven {
                    id: who,
                    not_after: known.peer.not_after,
                });
                self.serve_known(*known, &holding, &listed, &snapshot, stop)
                    .await;
            }
            Err(unproven) => self.refused(&unproven, from, &snapshot),
        }
    }
    /// Somebody who proved who it is.
    fn serve_known<'a>(
        &'a self,
        known: Authenticated,
        holding: &'a Holding,
        listed: &'a Listed,
        snapshot: &'a Snapshot,
        stop: Draining,
    ) -> Serving<'a> {
        let Authenticated {
            stream,
            peer,
            chain,
            http2,
            tls_group,
        } = known;
        let version = match http2 {
            true => Version::Http2,
            false => Version::Http1,
        };
        let caller = Came {
            who: Who::Known { peer, chain },
            tls_group,
            holding,
            listed,
        };
        match self.which.protocol {
            Protocol::Http => self.serve_http(stream, version, caller, snapshot, stop),
            Protocol::Tcp => Box::pin(self.serve_tcp(stream, caller, snapshot)),
        }
    }
    /// As long as there is a place for it: one more from a source that has many is not waited for.
    async fn shake_hands(
        &self,
        socket: Metered,
        from: Peer,
        alpn: Alpn,
        snapshot: &Snapshot,
    ) -> Result<Heard, Unproven> {
        let place = self.world.load.shake_hands(from.source());
        let place = place.ok_or(Unproven::Full)?;
        let inbound = snapshot.inbound(&self.which);
        let plain = |first| inbound.is_some_and(|inbound| is_heard(inbound, first));
        let within = snapshot.config.limits.handshake;
        tokio::select! {
            biased;
            shaken = secure::accept(socket, &snapshot.identity, alpn, within, plain) => shaken,
            () = place.asked_back() => Err(Unproven::Full),
        }
    }
    /// Somebody in clear text: one a source, as far as room goes.
    async fn serve_plain(&self, socket: Metered, listed: &Listed, stop: Draining) {
        let snapshot = Arc::clone(&self.world.snapshot());
        let from = listed.connection().from;
        let plain = Plain::new(from, &self.told);
        let holder = Holder::Peer(Plain::holder(from));
        let holding = match self.world.load.connect(holder) {
            Ok(holding) => holding,
            Err(full) => return self.full(full, "", &snapshot),
        };
        let caller = Came {
            who: Who::Plain(plain),
            tls_group: "",
            holding: &holding,
            listed,
        };
        match self.which.protocol {
            Protocol::Http => {
                let within = snapshot.config.limits.head;
                let version = Version::spoken_unless(&socket, within, &stop).await;
                if let Some(version) = version {
                    self.serve_http(socket, version, caller, &snapshot, stop)
                        .await;
                }
            }
            Protocol::Tcp => self.serve_tcp(socket, caller, &snapshot).await,
        }
    }
    fn serve_http<'a, I>(
        &self,
        stream: I,
        version: Version,
        came: Came<'a>,
        snapshot: &'a Snapshot,
        stop: Draining,
    ) -> Serving<'a>
    where
        I: Abort + FarEnd + AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Came {
            who,
            tls_group,
            holding,
            listed,
        } = came;
        let facts = Facts::new(
            Direction::Inbound,
            self.which.name.clone(),
            snapshot.local_id.clone(),
            who.proven().map(|id| (id, tls_group)),
            self.world.metrics.clone(),
            snapshot.access_log.clone(),
            holding.holder().clone(),
        );
        listed.carries(Kind::Http(version, facts.clone()));
        let caller = Caller::new(self.world.clone(), snapshot, self.which.clone(), who);
        let (limits, inbound) = (&snapshot.config.limits, snapshot.inbound(&self.which));
        let ends = caller.ends();
        let cut_at = ends.and_then(|ends| clock::cut_at(ends, limits.after_expiry));
        let handover = Arc::new(Handover::new(caller.judging(), stop.clone(), cut_at));
        let bounds = Bounds {
            limits,
            ends,
            holding,
            half_close: inbound.map_or(HalfClose::Abort, |inbound| inbound.half_close),
            stop,
            handover: handover.clone(),
            judging: caller.judging(),
        };
        let to_app = service_fn(move |permitted: Permitted| {
            let handover = handover.clone();
            async move {
                let Permitted { checked, app, .. } = permitted;
                let (request, exchange, authority) = checked.into_parts();
                let way = Way::to_app(&app, version, &handover);
                forward(request, exchange, authority, way).await
            }
        });
        let stack = ServiceBuilder::new()
            .layer(Observe {
                facts: facts.clone(),
            }) // first, so that every refusal below is counted and answered
            .layer(Check {
                bound: Bound::of(&snapshot.config.limits),
            }) // before policy, so that it decides on the one meaning of a request
            .layer(Admit { caller }) // before the app: the refused cost no connection
            .service(to_app);
        serve(stream, version, stack, facts, bounds)
    }
    async fn serve_tcp<I>(&self, stream: I, came: Came<'_>, snapshot: &Snapshot)
    where
        I: Abort + AsyncRead + AsyncWrite + Unpin,
    {
        let Came {
            who,
            tls_group,
            holding,
            listed,
        } = came;
        listed.carries(Kind::Tcp);
        if let Who::Plain(plain) = &who {
            plain.asks(&self.which.name, &self.world.metrics);
        }
        let mut connection = Connection::begin(
            Direction::Inbound,
            &self.which.name,
            snapshot,
            &self.world.metrics,
            listed.connection(),
        );
        connection.peer_id = who.proven().unwrap_or_default();
        connection.tls = if tls_group.is_empty() {
            "none"
        } else {
            "mutual"
        };
        connection.tls_group = tls_group;
        connection.decision = Some(DecisionId::fresh());
        let rules = snapshot.rules_for(&who.id(), &self.which);
        match rules.decide(&policy::Request::Tcp) {
            Ok(permit) => {
                connection.verdict = Verdict::Allowed;
                connection.rule = permit.rule().to_string();
            }
            Err(denied) => {
                let rule = denied.rule_to_look_at();
                let rule = rule.map_or("", |rule| rule);
                self.world.metrics.denied(rule, denied.reason.label());
                connection.denied(&denied);
                return tcp::close(stream).await;
            }
        }
        match self.reach_app(snapshot).await {
            Ok((upstream, endpoint)) => {
                connection.endpoint = endpoint;
                let still = self.still(who, snapshot);
                let relaying = tcp::relay(stream, upstream.io, connection, still);
                tokio::select! {
                    () = relaying => {}
                    () = self.asked_back(holding, listed) => {}
                }
            }
            Err(refusal) => {
                connection.failed(&refusal);
                tcp::close(stream).await;
            }
        }
    }
    /// A connection of bytes to the app.
    async fn reach_app(&self, snapshot: &Snapshot) -> Result<(Connected, Arc<str>), Refusal> {
        let app = snapshot
            .app(&self.which)
            .ok_or_else(|| Refusal::unsent(Cause::Unavailable, "listener_removed"))?;
        let must_be_closed = snapshot.must_be_closed(&self.which);
        self.world.app_is_closed(must_be_closed)?;
        app.tcp().await
    }
    /// As long as its caller is believed, or heard in clear text, and allowed.
    fn still(&self, who: Who, snapshot: &Snapshot) -> Still {
        let after_expiry = snapshot.config.limits.after_expiry;
        let ends = who.ends(snapshot);
        let cut_at = ends.and_then(|ends| clock::cut_at(ends, after_expiry));
        let id = who.id();
        let believed = match who {
            Who::Known { peer, chain } => {
                let by = &snapshot.identity;
                Some(Believed::by(by, Role::Client, chain, peer.not_after))
            }
            Who::Plain(_) => None,
        };
        let listener = self.which.clone();
        let permitted = move |now: &Snapshot| {
            match &believed {
                Some(caller) => caller.still(&now.identity, now.trust, None)?,
                None if now.is_permissive(&listener) => {}
                None => {
                    let why = "clear text is not heard any more";
                    return Err(Over::because(CLEAR_TEXT, why));
                }
            }
            let rules = now.rules_for(&id, &listener);
            let decided = rules.decide(&policy::Request::Tcp);
            decided.map(drop).map_err(|denied| Over::denied(&denied))
        };
        Still::new(&self.world, snapshot.number, cut_at, permitted)
    }
    /// Resolves when another should have the place of a connection that cannot be asked to end: counted, and said of it.
    async fn asked_back(&self, holding: &Holding, listed: &Listed) {
        holding.asked_back().await;
        listed.connection().condemn(ASKED_BACK);
        self.world
            .metrics
            .limited(Direction::Inbound, &self.which.name, ASKED_BACK);
    }
    /// A caller that proved who it is, and for whose connection there is no room.
    fn full(&self, full: Full, who: &str, snapshot: &Snapshot) {
        let reason = full.reason();
        self.world
            .metrics
            .limited(Direction::Inbound, &self.which.name, reason);
        tracing::debug!(
            listener = &*self.which.name,
            who,
            reason,
            "connection refused: {full}"
        );
        if let Some(access_log) = &snapshot.access_log {
            access_log.write(&AccessRecord {
                listener: &self.which.name,
                local_id: &snapshot.local_id,
                peer_id: who,
                reason,
                error: &full.to_string(),
                ..AccessRecord::of(Direction::Inbound)
            });
        }
    }
    /// Ended before a byte reached the app: counted, and logged with its reason.
    fn refused(&self, unproven: &Unproven, from: Peer, snapshot: &Snapshot) {
        let reason = unproven.reason();
        self.world.metrics.handshake("server", reason, "");
        tracing::debug!(listener = &*self.which.name, %from, reason, "handshake refused: {unproven}");
        if let Some(access_log) = &snapshot.access_log {
            access_log.write(&AccessRecord {
                listener: &self.which.name,
                local_id: &snapshot.local_id,
                reason,
                error: &format!("{from}: {unproven}"),
                ..AccessRecord::of(Direction::Inbound)
            });
        }
    }
}
