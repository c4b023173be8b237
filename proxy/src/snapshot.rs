//! Everything that decides what happens to a request, as one immutable value.
//!
//! In: a valid configuration, a valid policy, a generation of identity, and the snapshot before. Out: the next
//! [`Snapshot`]; upstreams whose description did not change keep their connections.

use crate::authority::Authority;
use crate::upstream::{How, Upstream, UpstreamConfig};
use config::Address;
use config::sidecar::Sidecar;
use identity::Generation;
use policy::Rules;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{AccessLog, SidecarMetrics};

/// What is in force.
pub(crate) struct Snapshot {
    /// Grows by one with every snapshot, from 1.
    pub(crate) number: u64,
    /// The configuration.
    pub(crate) config: Arc<Sidecar>,
    /// The policy, compiled; without an inbound listener there may be none, and then it allows nothing.
    pub(crate) rules: Arc<Rules>,
    /// Who we are and whom we believe.
    pub(crate) identity: Arc<Generation>,
    /// Our own identity, as it is logged.
    pub(crate) local_id: Arc<str>,
    /// Where access is logged.
    pub(crate) access_log: Option<AccessLog>,
    /// The apps behind the inbound listeners, in the order of the configuration.
    pub(crate) apps: Vec<Arc<Upstream>>,
    /// The services, in the order of the configuration.
    pub(crate) services: Vec<Arc<Service>>,
    routes: Routes,
}

/// A service and the connections to it.
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The identity that its server must have.
    pub(crate) identity: Arc<str>,
    /// Until the response head.
    pub(crate) timeout: Option<Duration>,
    /// Where it is.
    pub(crate) upstream: Arc<Upstream>,
}

/// What goes into a snapshot.
pub(crate) struct Ingredients {
    /// The configuration.
    pub(crate) config: Arc<Sidecar>,
    /// The policy, compiled.
    pub(crate) rules: Arc<Rules>,
    /// The identity.
    pub(crate) identity: Arc<Generation>,
    /// The access log.
    pub(crate) access_log: Option<AccessLog>,
}

impl Snapshot {
    /// Builds the snapshot that follows `previous`; what its upstreams do is counted in `metrics`.
    pub(crate) fn build(
        from: Ingredients,
        previous: Option<&Snapshot>,
        metrics: &Arc<SidecarMetrics>,
    ) -> Arc<Self> {
        let Ingredients {
            config,
            rules,
            identity,
            access_log,
        } = from;
        let apps = config
            .inbound
            .iter()
            .map(|inbound| app(&config, &inbound.app, previous, metrics))
            .collect();
        let services = config
            .services
            .iter()
            .map(|service| build_service(&config, service, &identity, previous, metrics))
            .collect();
        let routes = Routes::new(&config.services);
        let local_id = identity.svid().leaf().id.as_str().into();
        let number = previous.map_or(1, |previous| previous.number + 1);
        Arc::new(Self {
            number,
            config,
            rules,
            identity,
            local_id,
            access_log,
            apps,
            services,
            routes,
        })
    }
    /// The app behind the inbound listener of this name.
    pub(crate) fn app(&self, listener: &str) -> Option<&Arc<Upstream>> {
        let at = self
            .config
            .inbound
            .iter()
            .position(|inbound| inbound.name == listener)?;
        self.apps.get(at)
    }
    /// Where a request on an outbound listener goes: to the one service of a bound listener, else to the one that it names.
    pub(crate) fn destination(
        &self,
        listener: &str,
        authority: Option<&Authority>,
    ) -> Option<&Arc<Service>> {
        let outbound = self
            .config
            .outbound
            .iter()
            .find(|outbound| outbound.name == listener)?;
        let at = match (outbound.service, authority) {
            (Some(bound), _) => bound,
            (None, Some(authority)) => self.routes.find(authority.host(), authority.port())?,
            (None, None) => return None,
        };
        self.services.get(at)
    }
}

/// What the kept connections of an upstream may sit idle: less than the peer's own bound, so that we close first and no
/// request meets a connection that its server is just closing.
fn kept_idle(idle: Duration) -> Duration {
    idle * 4 / 5
}

fn upstream_config(config: &Sidecar, endpoints: Vec<Address>) -> UpstreamConfig {
    let limits = &config.limits;
    UpstreamConfig {
        endpoints,
        header_bytes: limits.header_bytes,
        headers: limits.headers,
        connect: limits.connect,
        handshake: limits.handshake,
        idle: kept_idle(limits.idle),
        after_expiry: limits.after_expiry,
    }
}

fn app(
    config: &Sidecar,
    address: &Address,
    previous: Option<&Snapshot>,
    metrics: &Arc<SidecarMetrics>,
) -> Arc<Upstream> {
    let wanted = upstream_config(config, vec![address.clone()]);
    let kept =
        previous.and_then(|previous| previous.apps.iter().find(|app| *app.config() == wanted));
    kept.cloned()
        .unwrap_or_else(|| Upstream::new(wanted, How::Plain, metrics.clone()))
}

fn build_service(
    config: &Sidecar,
    service: &config::sidecar::Service,
    identity: &Arc<Generation>,
    previous: Option<&Snapshot>,
    metrics: &Arc<SidecarMetrics>,
) -> Arc<Service> {
    let wanted = upstream_config(config, service.endpoints.clone());
    let name = sni(service);
    let same = |kept: &&Arc<Service>| {
        let how_is_same = matches!(kept.upstream.how(), How::Mutual { generation, expected, name: kept_name }
            if Arc::ptr_eq(generation, identity) && *expected == service.identity && *kept_name == name);
        *kept.name == *service.name && *kept.upstream.config() == wanted && how_is_same
    };
    let kept = previous.and_then(|previous| previous.services.iter().find(same));
    let upstream = kept.map_or_else(
        || {
            Upstream::new(
                wanted,
                How::Mutual {
                    generation: identity.clone(),
                    expected: service.identity.clone(),
                    name,
                },
                metrics.clone(),
            )
        },
        |kept| kept.upstream.clone(),
    );
    Arc::new(Service {
        name: service.name.as_str().into(),
        identity: service.identity.as_str().into(),
        timeout: service.timeout,
        upstream,
    })
}

/// SNI is the service's first host; a service without hosts, or whose name cannot stand in SNI, is called by its address.
fn sni(service: &config::sidecar::Service) -> ServerName<'static> {
    let first = service
        .hosts
        .first()
        .map_or(service.name.as_str(), |host| host.host());
    ServerName::try_from(first.to_owned()).unwrap_or(ServerName::IpAddress(
        std::net::Ipv4Addr::UNSPECIFIED.into(),
    ))
}

/// From authority to service: with a port first, then without.
struct Routes {
    by_host: HashMap<Box<str>, Vec<(Option<u16>, usize)>>,
}

impl Routes {
    fn new(services: &[config::sidecar::Service]) -> Self {
        let mut by_host: HashMap<Box<str>, Vec<(Option<u16>, usize)>> = HashMap::new();
        for (at, service) in services.iter().enumerate() {
            for host in &service.hosts {
                by_host
                    .entry(host.host().into())
                    .or_default()
                    .push((host.port(), at));
            }
        }
        for ports in by_host.values_mut() {
            // A named port is more exact than any port.
            ports.sort_by_key(|(port, _)| port.is_none());
        }
        Self { by_host }
    }
    fn find(&self, host: &str, port: Option<u16>) -> Option<usize> {
        let ports = self.by_host.get(host)?;
        ports
            .iter()
            .find(|(wanted, _)| wanted.is_none() || *wanted == port)
            .map(|(_, at)| *at)
    }
}
