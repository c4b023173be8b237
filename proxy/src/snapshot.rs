//! Everything that decides what happens to a request, as one immutable value.
//!
//! In: a valid configuration, a valid policy, a generation of identity, and the snapshot before. Out: the next
//! [`Snapshot`]; upstreams whose description did not change keep their connections.

use crate::authority::Authority;
use crate::believed::Believed;
use crate::over::Over;
use crate::retry::Budget;
use crate::secured::Secured;
use crate::upstream::{How, Means, Upstream, UpstreamConfig};
use crate::which::{Described, Which};
use crate::whom::Whom;
use config::sidecar::{Inbound, Mode, Outbound, Protocol, Retries, Sidecar, Unknown};
use config::{Address, Endpoint, SpiffeId};
use http::HeaderValue;
use identity::Generation;
use policy::{CallerRules, Rules};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::AccessLog;

/// What is in force.
pub(crate) struct Snapshot {
    /// Grows by one with every snapshot, from 1.
    pub(crate) number: u64,
    /// Grows by one with every snapshot that believes others than the one before: as long as it stays, nobody has to be judged
    /// again.
    pub(crate) trust: u64,
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
    means: Arc<Means>,
}

/// A service and the connections to it.
pub(crate) struct Service {
    /// Its name, and who its server must be.
    pub(crate) whom: Arc<Whom>,
    /// Until the response head.
    pub(crate) timeout: Option<Duration>,
    /// Until the last byte of the answer.
    pub(crate) total_timeout: Option<Duration>,
    /// When a request is sent again.
    pub(crate) retries: Option<Retries>,
    /// How much of a body is kept for that.
    pub(crate) keep_bytes: usize,
    /// What all that may cost; outlives reloads.
    pub(crate) budget: Arc<Budget>,
    /// Whether it takes bytes: an outbound `tcp` listener leads to it.
    pub(crate) takes_bytes: bool,
    /// What `Host` says for who names nobody, as HTTP/1.0 may on a listener with `service`.
    pub(crate) unnamed: HeaderValue,
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
    /// How its services are secured, in their order.
    pub(crate) secured: Arc<[Secured]>,
    /// The access log.
    pub(crate) access_log: Option<AccessLog>,
}

impl Service {
    /// What stands for a service where a request names none: nothing is written of it, so nothing is tried again for long.
    pub(crate) fn passed(whom: Arc<Whom>, upstream: Arc<Upstream>) -> Arc<Self> {
        Arc::new(Self {
            whom,
            timeout: None,
            total_timeout: None,
            retries: None,
            keep_bytes: 0,
            budget: Arc::new(Budget::new(Instant::now())),
            takes_bytes: false,
            unnamed: HeaderValue::from_static(""),
            upstream,
        })
    }
}

impl Snapshot {
    /// Builds the snapshot that follows `previous`; its upstreams are made with `means`.
    pub(crate) fn build(
        from: Ingredients,
        previous: Option<&Snapshot>,
        means: &Arc<Means>,
    ) -> Arc<Self> {
        let Ingredients {
            config,
            rules,
            identity,
            secured,
            access_log,
        } = from;
        let apps = config
            .inbound
            .iter()
            .map(|inbound| app(&config, &inbound.app, previous, means))
            .collect();
        let services = config
            .services
            .iter()
            .zip(secured.iter())
            .map(|(service, secured)| {
                let how = how(service, secured, &identity);
                build_service(&config, service, how, previous, means)
            })
            .collect();
        let routes = Routes::new(&config.services);
        let local_id = identity.svid().leaf().id.as_str().into();
        let number = previous.map_or(1, |previous| previous.number + 1);
        let trust = previous.map_or(1, |previous| {
            let (before, now) = (previous.identity.bundles(), identity.bundles());
            previous.trust + u64::from(!now.believe_the_same_as(before))
        });
        Arc::new(Self {
            number,
            trust,
            config,
            rules,
            identity,
            local_id,
            access_log,
            apps,
            services,
            routes,
            means: means.clone(),
        })
    }
    /// The app behind an inbound listener.
    pub(crate) fn app(&self, listener: &Which) -> Option<&Arc<Upstream>> {
        self.apps.get(listener.among(&self.config.inbound)?)
    }
    /// What is configured of an inbound listener.
    pub(crate) fn inbound(&self, listener: &Which) -> Option<&Inbound> {
        let at = listener.among(&self.config.inbound)?;
        self.config.inbound.get(at)
    }
    /// What is configured of an outbound listener.
    pub(crate) fn outbound(&self, listener: &Which) -> Option<&Outbound> {
        let at = listener.among(&self.config.outbound)?;
        self.config.outbound.get(at)
    }
    /// What policy decides for somebody at an inbound listener.
    pub(crate) fn rules_for(&self, id: &SpiffeId, listener: &Which) -> CallerRules {
        let now = self.inbound(listener);
        let name = now.map_or(&*listener.name, |inbound| inbound.name.as_str());
        self.rules.for_caller(id, name)
    }
    /// Whether an inbound listener hears callers in clear text.
    pub(crate) fn is_permissive(&self, listener: &Which) -> bool {
        let inbound = self.inbound(listener);
        inbound.is_some_and(|inbound| inbound.mode == Mode::Permissive)
    }
    /// Says which listeners hear callers in clear text that did not before.
    pub(crate) fn warn_of_clear_text(&self, before: Option<&Snapshot>) {
        for inbound in &self.config.inbound {
            let name = inbound.name.as_str();
            let which = inbound.which();
            let was = before.is_some_and(|before| before.is_permissive(&which));
            if self.is_permissive(&which) && !was {
                tracing::warn!(
                    listener = name,
                    "{name} hears callers in clear text (mode: permissive): they have no identity, and what they send can be read and changed on its way"
                );
            }
        }
    }
    /// The port that must be closed to everybody else before the app behind a listener is called, if one must.
    pub(crate) fn must_be_closed(&self, listener: &Which) -> Option<u16> {
        let inbound = self.inbound(listener)?;
        inbound.watched_port().filter(|_| inbound.require_loopback)
    }
    /// Whether what is open to a service may stay: the service is there and its server has to prove the same, in the same way; and
    /// it leads to the same endpoint, if that is asked. The error is for the operator.
    pub(crate) fn leads_to(&self, whom: &Whom, endpoint: Option<&str>) -> Result<(), &'static str> {
        let mut services = self.services.iter();
        let service = services.find(|service| service.whom.service == whom.service);
        let Some(service) = service else {
            return Err("its service is not configured any more");
        };
        if service.whom.tls != whom.tls {
            return Err("its service is secured in another way now");
        }
        if *service.whom != *whom {
            return Err("its service has another identity now");
        }
        let declared = &service.upstream.config().endpoints;
        let declares = |label| declared.iter().any(|it| it.to_string() == label);
        if !endpoint.is_none_or(declares) {
            return Err("its endpoint does not belong to its service any more");
        }
        Ok(())
    }
    /// Whether the server of something that is open to `whom` is believed.
    pub(crate) fn believes(&self, server: &Believed, whom: Option<&Whom>) -> Result<(), Over> {
        let service = whom.and_then(|whom| {
            let mut services = self.services.iter();
            services.find(|service| service.whom.service == whom.service)
        });
        let outside = service.and_then(|service| service.upstream.outside());
        server.still(&self.identity, self.trust, outside)
    }
    /// Whether a request on this listener that names no service goes where it says.
    pub(crate) fn passes(&self, listener: &Which) -> bool {
        let outbound = self.outbound(listener);
        outbound.is_some_and(|outbound| outbound.unknown == Unknown::Passthrough)
    }
    /// Whether there is a listener of that kind.
    pub(crate) fn passes_anything(&self) -> bool {
        let mut outbound = self.config.outbound.iter();
        outbound.any(|outbound| outbound.unknown == Unknown::Passthrough)
    }
    /// What the upstream of a host is made from that a request names.
    pub(crate) fn passed(&self, whom: &Whom, host: &str, port: u16) -> UpstreamConfig {
        let host = host.to_owned();
        let endpoint = Endpoint::At(Address::Tcp { host, port });
        upstream_config(&self.config, &whom.service, vec![endpoint])
    }
    /// What upstreams are made with now.
    pub(crate) fn means(&self) -> &Arc<Means> {
        &self.means
    }
    /// Whether what was let through to the host of `authority` may stay. The error is for the operator.
    pub(crate) fn still_passes(
        &self,
        listener: &Which,
        authority: Option<&HeaderValue>,
    ) -> Result<(), &'static str> {
        if !self.passes(listener) {
            return Err("its listener lets nothing through any more");
        }
        let authority = authority.and_then(|text| Authority::read(text).ok());
        match self.destination(listener, authority.as_ref()) {
            Some(_) => Err("its host belongs to a service now"),
            None => Ok(()),
        }
    }
    /// Where a request on an outbound listener goes: to the one service of a bound listener, else to the one that it names.
    pub(crate) fn destination(
        &self,
        listener: &Which,
        authority: Option<&Authority>,
    ) -> Option<&Arc<Service>> {
        let outbound = self.outbound(listener)?;
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

fn upstream_config(config: &Sidecar, service: &str, endpoints: Vec<Endpoint>) -> UpstreamConfig {
    let limits = &config.limits;
    UpstreamConfig {
        service: service.into(),
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
    means: &Arc<Means>,
) -> Arc<Upstream> {
    let wanted = upstream_config(config, "", vec![Endpoint::At(address.clone())]);
    let same = |app: &&Arc<Upstream>| *app.config() == wanted && Arc::ptr_eq(app.means(), means);
    let kept = previous.and_then(|previous| previous.apps.iter().find(same));
    kept.cloned()
        .unwrap_or_else(|| Upstream::new(wanted, How::App, means.clone()))
}

/// How a service is spoken to.
fn how(service: &config::sidecar::Service, secured: &Secured, identity: &Arc<Generation>) -> How {
    match secured {
        Secured::Mutual(expected) => How::Mutual {
            generation: identity.clone(),
            expected: expected.clone(),
            name: sni(service),
        },
        Secured::Outside(outside) => How::Outside(outside.clone()),
        Secured::Clear => How::Clear,
    }
}

fn build_service(
    config: &Sidecar,
    service: &config::sidecar::Service,
    how: How,
    previous: Option<&Snapshot>,
    means: &Arc<Means>,
) -> Arc<Service> {
    let wanted = upstream_config(config, &service.name, service.endpoints.clone());
    let same = |kept: &&Arc<Service>| {
        *kept.whom.service == *service.name
            && *kept.upstream.config() == wanted
            && Arc::ptr_eq(kept.upstream.means(), means)
            && kept.upstream.how().is_same(&how)
    };
    let kept = previous.and_then(|previous| previous.services.iter().find(same));
    let upstream = kept.map_or_else(
        || Upstream::new(wanted, how, means.clone()),
        |kept| kept.upstream.clone(),
    );
    let budget = previous.and_then(|previous| {
        let same = |known: &&Arc<Service>| *known.whom.service == *service.name;
        previous.services.iter().find(same)
    });
    let budget = budget.map_or_else(
        || Arc::new(Budget::new(Instant::now())),
        |known| known.budget.clone(),
    );
    Arc::new(Service {
        whom: Whom::of(&service.name, &service.tls),
        timeout: service.timeout,
        total_timeout: service.total_timeout,
        retries: service.retries.clone(),
        keep_bytes: config.limits.retry_buffer_bytes,
        budget,
        takes_bytes: takes_bytes(config, &service.name),
        unnamed: unnamed(service),
        upstream,
    })
}

/// A service says nothing of what it speaks: that it is bytes is said by the `tcp` listener that leads to it.
fn takes_bytes(config: &Sidecar, name: &str) -> bool {
    let leads_there = |at: usize| {
        let service = config.services.get(at);
        service.is_some_and(|service| service.name == name)
    };
    let mut outbound = config.outbound.iter();
    outbound.any(|it| it.protocol == Protocol::Tcp && it.service.is_some_and(leads_there))
}

fn unnamed(service: &config::sidecar::Service) -> HeaderValue {
    let first = service.hosts.first();
    let name = first.map_or(service.name.as_str(), |host| host.as_str());
    HeaderValue::from_str(name).unwrap_or(HeaderValue::from_static(""))
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
