//! What the sidecar shows of itself: health, metrics, and the admin pages. All of it is read-only.

use crate::world::World;
use config::{Address, Document};
use daemon::health::Health;
use daemon::pages::{Page, Request};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// The pages of one sidecar.
pub(crate) struct Pages {
    world: Arc<World>,
    health: Arc<Health>,
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
    /// The pages of this world.
    pub(crate) fn new(world: Arc<World>, health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self { world, health })
    }
    /// `/started`, `/ready`, `/live`.
    pub(crate) async fn health(&self, request: &Request) -> Page {
        let config = self.world.snapshot().config.clone();
        self.health
            .page(request, || async move {
                for inbound in &config.inbound {
                    accepts(&inbound.name, &inbound.app).await?;
                }
                Ok(())
            })
            .await
    }
    /// `/metrics`.
    pub(crate) fn metrics(&self, request: &Request) -> Page {
        match request.uri().path() {
            "/metrics" => Page {
                status: StatusCode::OK,
                content_type: telemetry::names::METRICS_CONTENT_TYPE,
                body: self.world.metrics.encode().into(),
            },
            _ => Page::not_found(&["/metrics"]),
        }
    }
    /// `/config`, `/certs`, `/policy`.
    pub(crate) fn admin(&self, request: &Request) -> Page {
        let snapshot = self.world.snapshot();
        match request.uri().path() {
            "/config" => Page {
                content_type: "application/yaml",
                ..Page::text(
                    StatusCode::OK,
                    Document::Sidecar(Box::new((*snapshot.config).clone())).effective_yaml(),
                )
            },
            "/certs" => Page::json(format!("{:#}\n", self.certificates())),
            "/policy" => Page {
                content_type: "application/yaml",
                ..Page::text(StatusCode::OK, &*snapshot.policy_text)
            },
            path if NOT_YET.contains(&path) => Page::text(
                StatusCode::NOT_IMPLEMENTED,
                format!("{path}: not supported yet"),
            ),
            _ => Page::not_found(ADMIN),
        }
    }
    fn certificates(&self) -> serde_json::Value {
        let described = self.world.snapshot().identity.describe();
        let certificate = |facts: &identity::Facts| {
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
        };
        let bundles = described.bundles.iter().map(|(domain, roots)| {
            (
                domain.clone(),
                serde_json::Value::from(roots.iter().map(certificate).collect::<Vec<_>>()),
            )
        });
        json!({
            "generation": described.generation,
            "id": described.id.as_str(),
            "chain": described.chain.iter().map(certificate).collect::<Vec<_>>(),
            "bundles": bundles.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn seconds_left(until: std::time::SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match until.duration_since(std::time::SystemTime::now()) {
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
