//! A whole CA: from a configuration to what runs.
//!
//! In: a valid document. Out: a [`Running`] CA, or one line that says what is in the way. Several run in one process.
//!
//! 1. It starts whole or not at all: no listener takes a connection before all are bound and the authority answers.
//! 2. After [`Running::end`] its addresses and its folder are free.

use crate::admin;
use crate::authority_server::{AuthorityServer, Grants};
use crate::dir::Dir;
use crate::serve::{self, Limits};
use crate::start_error::StartError;
use crate::store::Store;
use crate::upkeep::{self, CERTIFICATE, RECORD};
use config::{Address, ca as wanted};
use daemon::bind::{self, Listener};
use daemon::drain::{self, Drain, Draining};
use daemon::health::Health;
use daemon::pages::{self, Page, Request};
use http::StatusCode;
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;
use telemetry::names::METRICS_CONTENT_TYPE;
use tokio::net::UnixListener;

/// How long a handshake may take: two round trips and a lost packet take three seconds.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What health calls the sockets.
const LISTENERS: &str = "listeners";

/// A CA that runs. Dropping it cuts everything; [`Running::end`] ends it well.
#[derive(Debug)]
pub struct Running {
    server: Arc<AuthorityServer<Store>>,
    health: Arc<Health>,
    address: SocketAddr,
    metrics_address: SocketAddr,
    health_address: SocketAddr,
    calls: Drain,
    pages: Drain,
}

/// The sockets of one CA, bound and not yet open.
struct Bound {
    calls: Listener,
    admin: UnixListener,
    metrics: Listener,
    health: Listener,
}

/// Starts a CA. Needs a tokio runtime; reads its folder and opens its record, some milliseconds.
pub async fn start(config: &wanted::Ca) -> Result<Running, StartError> {
    let dir = Dir::open(&config.dir)?;
    let found = dir.authority()?.trust_domain().clone();
    if found != config.trust_domain {
        return Err(StartError::TrustDomain {
            dir: config.dir.clone(),
            found,
            expected: config.trust_domain.clone(),
        });
    }
    let store = Store::open(dir.path(), &config.trust_domain)?;
    let bound = Bound::of(config).await?;
    let metrics = CaMetrics::new();
    let now = SystemTime::now();
    let server = AuthorityServer::open(dir, store, grants(config), Arc::clone(&metrics), now);
    let server = Arc::new(server.await?);
    Ok(Running::open(config, bound, server, metrics))
}

fn grants(config: &wanted::Ca) -> Grants {
    Grants {
        ttl: config.leaf_ttl,
        ttl_max: config.leaf_ttl_max,
        grace: config.grace_renewal,
        per_identity: config.limits.per_identity,
        per_source: config.limits.per_source,
    }
}

impl Bound {
    async fn of(config: &wanted::Ca) -> Result<Self, StartError> {
        Ok(Bound {
            calls: listen("listen", &config.listen).await?,
            admin: listen_for_operators(&config.admin_socket)?,
            metrics: listen("metrics.listen", &config.metrics).await?,
            health: listen("health.listen", &config.health).await?,
        })
    }
}

async fn listen(key: &'static str, address: &Address) -> Result<Listener, StartError> {
    let bound = bind::listen(address).await;
    bound.map_err(|source| StartError::Bind { key, source })
}

/// Makes the folder too if only that is missing: `/run` is empty whenever the machine has started.
fn listen_for_operators(path: &Path) -> Result<UnixListener, StartError> {
    if let Some(folder) = path.parent() {
        // It may be there already. If it cannot be made, binding says that it is missing.
        let _ = DirBuilder::new().mode(0o700).create(folder);
    }
    bind::unix(path, 0o600).map_err(|source| StartError::Bind {
        key: "admin.socket",
        source,
    })
}

impl Running {
    fn open(
        config: &wanted::Ca,
        bound: Bound,
        server: Arc<AuthorityServer<Store>>,
        metrics: Arc<CaMetrics>,
    ) -> Self {
        let health = Arc::new(Health::waiting_for(&[(LISTENERS, "not open yet")]));
        let ((calls, call_drain), (pages, page_drain)) = (drain::pair(), drain::pair());
        let running = Running {
            server: Arc::clone(&server),
            health: Arc::clone(&health),
            address: bound.calls.local_addr(),
            metrics_address: bound.metrics.local_addr(),
            health_address: bound.health.local_addr(),
            calls,
            pages,
        };
        let limits = Limits {
            handshakes: config.limits.handshakes,
            handshake: HANDSHAKE,
        };
        let (task, watch) = (serve::serve, call_drain.clone());
        call_drain.track(task(bound.calls, watch, Arc::clone(&server), limits));
        let (task, watch) = (admin::serve, call_drain.clone());
        call_drain.track(task(bound.admin, watch, Arc::clone(&server)));
        let (task, watch) = (upkeep::run, call_drain.clone());
        call_drain.track(task(server, watch, Arc::clone(&health)));
        serve_health(bound.health, &page_drain, Arc::clone(&health));
        serve_metrics(bound.metrics, &page_drain, metrics);
        health.up(LISTENERS);
        health.up(CERTIFICATE);
        health.up(RECORD);
        running.tell(config);
        running
    }

    fn tell(&self, config: &wanted::Ca) {
        for (listener, address) in [
            ("ca", self.address),
            ("metrics", self.metrics_address),
            ("health", self.health_address),
        ] {
            tracing::info!(listener, %address, "listening on {address}");
        }
        let socket = config.admin_socket.display();
        tracing::info!(listener = "admin", %socket, "operators are heard on {socket}");
        tracing::info!(trust_domain = %config.trust_domain, "started");
    }

    /// Where workloads ask for certificates.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` is.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// Where `/started`, `/ready` and `/live` are.
    pub fn health_address(&self) -> SocketAddr {
        self.health_address
    }

    /// What answers the calls.
    pub fn server(&self) -> &Arc<AuthorityServer<Store>> {
        &self.server
    }

    /// Takes no more calls, lets those under way end within `patience` and tells who watches that it is ending, cuts the
    /// rest; returns how many tasks were cut. The addresses are free then, and the folder if nobody else holds [`Running::server`].
    pub async fn end(self, patience: Duration) -> usize {
        self.health.drain();
        let cut = self.calls.start_and_wait(patience).await;
        self.pages.start_and_wait(Duration::ZERO).await;
        // The last owner of the record waits for what is being written.
        let server = self.server;
        let _released_or_runtime_ending = tokio::task::spawn_blocking(move || drop(server)).await;
        cut
    }
}

fn serve_health(listener: Listener, draining: &Draining, health: Arc<Health>) {
    draining.track(pages::serve(listener, draining.clone(), move |request| {
        let health = Arc::clone(&health);
        // There is no app behind it.
        async move { health.page(&request, || async { Ok(()) }).await }
    }));
}

fn serve_metrics(listener: Listener, draining: &Draining, metrics: Arc<CaMetrics>) {
    draining.track(pages::serve(listener, draining.clone(), move |request| {
        let metrics = Arc::clone(&metrics);
        async move { metrics_page(&metrics, &request) }
    }));
}

fn metrics_page(metrics: &CaMetrics, request: &Request) -> Page {
    match request.uri().path() {
        "/metrics" => Page {
            status: StatusCode::OK,
            content_type: METRICS_CONTENT_TYPE,
            body: metrics.encode().into(),
        },
        _ => Page::not_found(&["/metrics"]),
    }
}
