//! What the sidecar shows of itself: health, metrics, and the admin pages. All of it is read-only.

use crate::outlook::{Outlook, source_name};
use crate::wanted::Wanted;
use crate::world::World;
use arc_swap::ArcSwap;
use config::{Address, Document};
use daemon::health::Health;
use daemon::pages::{Page, Request};
use http::StatusCode;
use identity::source::Standing;
use serde_json::json;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use telemetry::SidecarMetrics;
use tokio::net::TcpStream;

/// The pages of one sidecar: there before anything else is.
pub(crate) struct Pages {
    /// What is up.
    pub(crate) health: Health,
    /// Where everything is counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    shown: ArcSwap<Shown>,
    world: OnceLock<Arc<World>>,
}

/// What the pages show besides what is in force.
pub(crate) struct Shown {
    /// The configuration.
    pub(crate) wanted: Arc<Wanted>,
    /// What the source of its identity says of itself.
    pub(crate) standing: Standing,
}

const ADMIN: &[&str] = &["/config", "/certs", "/policy"];

/// A page of the contract that has no content yet says so, instead of looking misspelt.
const NOT_YET: &[&str] = &[
    "/connections",
    "/endpoints",
    "/explain",
    "/logging",
    "/drain",
    "/shutdown",
];

impl Pages {
    /// The pages of a sidecar that begins with this.
    pub(crate) fn new(shown: Shown, health: Health, metrics: Arc<SidecarMetrics>) -> Arc<Self> {
        Arc::new(Self {
            health,
            metrics,
            shown: ArcSwap::from_pointee(shown),
            world: OnceLock::new(),
        })
    }
    /// From now on they show this.
    pub(crate) fn show(&self, shown: Shown) {
        self.shown.store(Arc::new(shown));
    }
    /// From now on there is something in force.
    pub(crate) fn enter(&self, world: &Arc<World>) {
        // There is one world a sidecar: a second is not shown.
        let _first = self.world.set(world.clone());
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
        let config = self.shown.load().wanted.config.clone();
        self.say(&self.outlook());
        self.health
            .page(request, || async move {
                for inbound in &config.inbound {
                    accepts(&inbound.name, &inbound.app).await?;
                }
                Ok(())
            })
            .await
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
    /// `/config`, `/certs`, `/policy`.
    pub(crate) fn admin(&self, request: &Request) -> Page {
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
            "/policy" => Page {
                content_type: "application/yaml",
                ..Page::text(StatusCode::OK, &*shown.wanted.policy_text)
            },
            path if NOT_YET.contains(&path) => Page::text(
                StatusCode::NOT_IMPLEMENTED,
                format!("{path}: not supported yet"),
            ),
            _ => Page::not_found(ADMIN),
        }
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

fn seconds_left(until: SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match until.duration_since(SystemTime::now()) {
        Ok(left) => signed(left),
        Err(over) => -signed(over.duration()),
    }
}

/// Whether an app takes connections.
async fn accepts(name: &str, app: &Address) -> Result<(), String> {
    let Address::Tcp { host, port } = app else {
        return Ok(());
    };
    let connected = TcpStream::connect((host.as_str(), *port)).await;
    connected
        .map(drop)
        .map_err(|error| format!("app behind {name} at {app} does not accept: {error}"))
}
