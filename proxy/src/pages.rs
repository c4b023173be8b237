//! What the sidecar shows of itself: health, metrics, and the admin pages. Only calls over the admin socket change anything.

use crate::connections::{self, Listens};
use crate::ending::Ending;
use crate::explain;
use crate::logging::Logging;
use crate::outlook::{Outlook, source_name};
use crate::upstream::{AddressSeen, Seen, Upstream, WEIGHT};
use crate::wanted::Wanted;
use crate::world::World;
use arc_swap::ArcSwap;
use bytes::Bytes;
use config::{Address, Document};
use daemon::admin::User;
use daemon::ending::Wish;
use daemon::health::Health;
use daemon::pages::{Page, Request};
use daemon::socket::Socket;
use http::{Method, StatusCode};
use identity::source::Standing;
use serde_json::json;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use telemetry::{Direction, SidecarMetrics};
use tokio::net::TcpStream;

/// The pages of one sidecar: there before anything else is.
pub(crate) struct Pages {
    /// What is up.
    pub(crate) health: Health,
    /// Where everything is counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    /// What is asked of the sidecar.
    pub(crate) ending: Ending,
    /// What its process logs.
    pub(crate) logging: Logging,
    shown: ArcSwap<Shown>,
    listeners: ArcSwap<Vec<Listens>>,
    world: OnceLock<Arc<World>>,
}

/// What the pages show besides what is in force.
pub(crate) struct Shown {
    /// The configuration.
    pub(crate) wanted: Arc<Wanted>,
    /// What the source of its identity says of itself.
    pub(crate) standing: Standing,
}

const ADMIN: &[&str] = &[
    "/config",
    "/certs",
    "/connections",
    "/endpoints",
    "/policy",
    "/explain",
    "/status",
];
/// Over the admin socket besides.
const CALLS: &[&str] = &["/drain", "/logging", "/shutdown"];

impl Pages {
    /// The pages of a sidecar that begins with this.
    pub(crate) fn new(
        shown: Shown,
        health: Health,
        metrics: Arc<SidecarMetrics>,
        logging: Logging,
    ) -> Arc<Self> {
        Arc::new(Self {
            health,
            metrics,
            ending: Ending::new(),
            logging,
            shown: ArcSwap::from_pointee(shown),
            listeners: ArcSwap::default(),
            world: OnceLock::new(),
        })
    }
    /// From now on they show this.
    pub(crate) fn show(&self, shown: Shown) {
        self.shown.store(Arc::new(shown));
    }
    /// From now on these are what carries traffic.
    pub(crate) fn listens(&self, listeners: Vec<Listens>) {
        self.listeners.store(Arc::new(listeners));
    }
    /// From now on there is something in force.
    pub(crate) fn enter(&self, world: &Arc<World>) {
        // There is one world a sidecar: a second is not shown.
        let _first = self.world.set(world.clone());
    }
    /// The configuration that is in force.
    pub(crate) fn config(&self) -> Arc<config::sidecar::Sidecar> {
        self.shown.load().wanted.config.clone()
    }
    /// What is in force, if anything is.
    pub(crate) fn world(&self) -> Option<&Arc<World>> {
        self.world.get()
    }
    /// What the source of its identity says of itself, and is told.
    pub(crate) fn standing(&self) -> Standing {
        self.shown.load().standing.clone()
    }
    /// How our own identity stands now.
    pub(crate) fn outlook(&self) -> Outlook {
        let leaf = self
            .world()
            .map(|world| world.snapshot().identity.expiry().leaf);
        Outlook::of(leaf, &self.standing().load(), SystemTime::now())
    }
    /// `/started`, `/ready`, `/live`.
    pub(crate) async fn health(&self, request: &Request) -> Page {
        self.say(&self.outlook());
        self.health.page(request, || self.apps_accept()).await
    }
    async fn apps_accept(&self) -> Result<(), String> {
        for inbound in &self.config().inbound {
            accepts(&inbound.name, &inbound.app).await?;
        }
        Ok(())
    }
    /// Says to health how our identity stands.
    pub(crate) fn say(&self, outlook: &Outlook) {
        match outlook.down() {
            Some(why) => self.health.down("identity", why),
            None => self.health.up("identity"),
        }
    }
    /// `/metrics`. What the source of the identity says is asked for at every scrape.
    pub(crate) fn metrics(&self, request: &Request) -> Page {
        let state = self.standing().load();
        self.metrics.set_ca_reachable(state.reachable);
        let ahead_s = |skew: identity::Skew| skew.ahead_ms() as f64 / 1000.0;
        self.metrics.set_clock_skew(state.skew.map(ahead_s));
        match request.uri().path() {
            "/metrics" => Page {
                status: StatusCode::OK,
                content_type: telemetry::names::METRICS_CONTENT_TYPE,
                body: self.metrics.encode().into(),
            },
            _ => Page::not_found(&["/metrics"]),
        }
    }
    /// `/config`, `/certs`, `/connections`, `/endpoints`, `/policy`, `/explain`, `/status`.
    pub(crate) async fn admin(&self, request: &Request) -> Page {
        if request.uri().path() == "/status" {
            return Page::json(format!("{:#}\n", self.status().await));
        }
        let shown = self.shown.load();
        match request.uri().path() {
            "/config" => Page {
                content_type: "application/yaml",
                ..Page::text(
                    StatusCode::OK,
                    Document::Sidecar(Box::new((*shown.wanted.config).clone())).effective_yaml(),
                )
            },
            "/certs" => Page::json(format!("{:#}\n", self.certificates())),
            "/connections" => connections::page(request.uri(), &self.listeners.load()),
            "/endpoints" => Page::json(format!("{:#}\n", self.endpoints())),
            "/policy" => Page {
                content_type: "application/yaml",
                ..Page::text(StatusCode::OK, &*shown.wanted.policy_text)
            },
            "/explain" => explain::page(request.uri(), &shown.wanted),
            path if CALLS.contains(&path) => Page::text(
                StatusCode::NOT_FOUND,
                format!("{path}: only over the admin socket (`admin.socket`)"),
            ),
            _ => Page::not_found(ADMIN),
        }
    }
    /// What [`Pages::admin`] shows, and over the admin socket besides: `/drain`, `/logging`, `/shutdown`.
    pub(crate) async fn call(&self, call: &http::Request<Bytes>, by: User) -> Page {
        let wish = match call.uri().path() {
            "/drain" => Wish::Drain,
            "/shutdown" => Wish::End,
            "/logging" => return self.logging.page(call, by),
            _ if !matches!(*call.method(), Method::GET | Method::HEAD) => {
                let why = "this only shows something: GET and HEAD";
                return Page::text(StatusCode::METHOD_NOT_ALLOWED, why);
            }
            _ => {
                let mut request = Request::new(());
                *request.uri_mut() = call.uri().clone();
                return self.admin(&request).await;
            }
        };
        if matches!(*call.method(), Method::POST | Method::PUT) && wish > self.ending.wish() {
            tracing::info!(
                uid = by.uid,
                "asked over the admin socket to {}",
                wish.as_str()
            );
            self.ending.ask(wish);
        }
        Page::json(self.ending.shown())
    }
    /// Where services and apps are reached, and how each endpoint stands.
    fn endpoints(&self) -> serde_json::Value {
        let Some(world) = self.world() else {
            return json!({ "services": [], "apps": [] });
        };
        let snapshot = world.snapshot();
        let of = |upstream: &Upstream| upstream.seen().iter().map(endpoint).collect::<Vec<_>>();
        let services = snapshot.services.iter();
        let services = services.map(|service| {
            let whom = &service.whom;
            json!({ "name": &*whom.service, "tls": whom.tls, "endpoints": of(&service.upstream) })
        });
        let apps = snapshot.config.inbound.iter().zip(&snapshot.apps);
        let apps = apps.map(|(inbound, app)| json!({ "name": inbound.name, "endpoints": of(app) }));
        json!({ "services": services.collect::<Vec<_>>(), "apps": apps.collect::<Vec<_>>() })
    }
    /// How it is, in one document: what `countersign status` shows.
    async fn status(&self) -> serde_json::Value {
        let outlook = self.outlook();
        self.say(&outlook);
        let is = |state: Result<(), String>| json!({ "is": state.is_ok(), "why": state.err() });
        let ready = self.health.is_ready(|| self.apps_accept()).await;
        let config = self.config();
        let listeners = self.listeners.load();
        let listener = |name: &str, direction: Direction, address: &Address| {
            let mut bound = listeners.iter().filter(|it| !it.leaves);
            let bound = bound.find(|it| *it.name == *name && it.direction == direction);
            let at = bound.and_then(|it| it.at);
            let address = at.map_or_else(|| address.to_string(), |at| at.to_string());
            json!({ "name": name, "kind": direction.as_str(), "address": address })
        };
        let inbound = config.inbound.iter();
        let inbound = inbound.map(|it| listener(&it.name, Direction::Inbound, &it.listen));
        let outbound = config.outbound.iter();
        let outbound = outbound.map(|it| listener(&it.name, Direction::Outbound, &it.listen));
        let snapshot = self.world().map(|world| Arc::clone(&world.snapshot()));
        let snapshot = snapshot.as_ref();
        json!({
            "stage": self.ending.stage(),
            "started": is(self.health.started()),
            "ready": is(ready),
            "live": is(self.health.live()),
            "identity": {
                "state": outlook.condition.as_str(),
                "id": snapshot.map(|snapshot| &*snapshot.local_id),
                "secondsLeft": snapshot.map(|snapshot| seconds_left(snapshot.identity.expiry().leaf)),
            },
            "generation": snapshot.map(|snapshot| snapshot.number),
            "listeners": inbound.chain(outbound).collect::<Vec<_>>(),
        })
    }
    /// The identity in force, and how it stands. Without one, what is in force is empty.
    fn certificates(&self) -> serde_json::Value {
        let shown = self.shown.load();
        let (state, outlook) = (shown.standing.load(), self.outlook());
        let in_force = self
            .world()
            .map(|world| world.snapshot().identity.describe());
        let chain = in_force.iter().flat_map(|described| &described.chain);
        let bundles = in_force.iter().flat_map(|described| &described.bundles);
        let bundles = bundles.map(|(domain, roots)| {
            let roots: Vec<_> = roots.iter().map(certificate).collect();
            (domain.clone(), serde_json::Value::from(roots))
        });
        json!({
            "source": source_name(&shown.wanted.config.identity.source),
            "state": outlook.condition.as_str(),
            "why": outlook.why.map(|why| json!({ "reason": why.reason, "text": why.text })),
            "reachable": state.reachable,
            "clockAheadMs": state.skew.map(|skew| skew.ahead_ms()),
            "generation": in_force.as_ref().map(|described| described.generation),
            "id": in_force.as_ref().map(|described| described.id.as_str()),
            "chain": chain.map(certificate).collect::<Vec<_>>(),
            "bundles": bundles.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn certificate(facts: &identity::Facts) -> serde_json::Value {
    json!({
        "uris": facts.uris,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "notBefore": identity::rfc3339(facts.not_before),
        "notAfter": identity::rfc3339(facts.not_after),
        "secondsLeft": seconds_left(facts.not_after),
        "ca": facts.ca,
        "usages": facts.usages,
        "keyAlgorithm": facts.key_algorithm,
        "sha256": facts.sha256,
    })
}

/// An endpoint as it is written, and the addresses that it leads to now.
fn endpoint(seen: &Seen) -> serde_json::Value {
    json!({
        "endpoint": seen.written,
        "secondsLeft": seen.holds.map(|holds| holds.as_secs()),
        "failure": seen.failure.as_deref(),
        "addresses": seen.addresses.iter().map(address).collect::<Vec<_>>(),
    })
}

fn address(seen: &AddressSeen) -> serde_json::Value {
    let ejected = seen
        .ejected
        .map(|(left, reason)| json!({ "reason": reason, "secondsLeft": left.as_secs() }));
    json!({
        "address": &*seen.address,
        "priority": seen.priority,
        "connections": seen.connections,
        "weight": f64::from(seen.weight) / f64::from(WEIGHT),
        "streams": seen.streams,
        "ejected": ejected,
    })
}

fn seconds_left(until: SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match until.duration_since(SystemTime::now()) {
        Ok(left) => signed(left),
        Err(over) => -signed(over.duration()),
    }
}

/// Whether an app takes connections.
pub(crate) async fn accepts(name: &str, app: &Address) -> Result<(), String> {
    let connected = match app {
        Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await.map(drop),
        Address::Unix(path) => Socket::connect_unix(path).await.map(drop),
    };
    connected.map_err(|error| format!("app behind {name} at {app} does not accept: {error}"))
}
