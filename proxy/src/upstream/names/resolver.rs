//! Asks the DNS: a thin coat around its library.
//!
//! In: a [`Question`]. Out: the addresses that answer it and how long they hold, or why there are none. Nothing is kept
//! here but connections to servers; hosts and servers are read again when their files change.

use super::{Found, Question, WEIGHT};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType, rdata::SRV};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

/// Hosts of one SRV record set that are looked up; what stands beyond them, by priority, is not used.
const HOSTS_MAX: usize = 64;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Unanswered {
    /// The DNS says that there is none.
    Missing(String),
    /// Nobody said anything of use.
    Failed(String),
}

/// Addresses, and how long they hold.
pub(super) type Answered = Result<(Vec<Found>, Duration), Unanswered>;

/// Whoever is asked.
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    current: Mutex<Option<(Files, TokioResolver)>>,
}

/// When the files last changed that a resolver was made from.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Files {
    hosts: Option<SystemTime>,
    servers: Option<SystemTime>,
}

impl Files {
    fn now() -> Self {
        let changed = |path| {
            std::fs::metadata(path)
                .and_then(|file| file.modified())
                .ok()
        };
        Self {
            hosts: changed("/etc/hosts"),
            servers: changed("/etc/resolv.conf"),
        }
    }
}

impl Resolver {
    /// Asks these servers, or if there are none the system's.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            current: Mutex::default(),
        }
    }
    pub(super) async fn ask(&self, question: &Question) -> Answered {
        let resolver = self.current().map_err(|error| unanswered(&error))?;
        match question {
            Question::Host { host, port } if is_localhost(host) => Ok(localhost(*port)),
            Question::Host { host, port } => ask_host(&resolver, host, *port, 0).await,
            Question::Srv(name) => ask_srv(&resolver, name).await,
        }
    }
    /// Looking at two files costs microseconds, and is done once a look-up.
    fn current(&self) -> Result<TokioResolver, NetError> {
        let files = Files::now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_from, resolver)) = &*current
            && *made_from == files
        {
            return Ok(resolver.clone());
        }
        let resolver = self.made()?;
        *current = Some((files, resolver.clone()));
        Ok(resolver)
    }
    fn made(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(named).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        // What is kept, and for how long, is said by who asks.
        builder.options_mut().cache_size = 0;
        builder.build()
    }
}

fn named(server: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
    NameServerConfig::new(server.ip(), true, connections.into())
}

/// `localhost` is this machine, whatever a server says (RFC 6761 §6.3).
pub(super) fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
}

/// IPv4 first: an app that listens on one of the two listens there.
fn localhost(port: u16) -> (Vec<Found>, Duration) {
    let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let found = (0..).zip(both).map(|(rank, ip)| Found {
        at: SocketAddr::new(ip, port),
        rank,
        weight: WEIGHT,
    });
    (found.collect(), Duration::MAX)
}

async fn ask_host(resolver: &TokioResolver, host: &str, port: u16, rank: u16) -> Answered {
    let looked = resolver.lookup_ip(host).await;
    let looked = looked.map_err(|error| unanswered(&error))?;
    let left = left(looked.valid_until());
    let found = looked.iter().map(|ip| Found {
        at: SocketAddr::new(ip, port),
        rank,
        weight: WEIGHT,
    });
    Ok((found.collect(), left))
}

/// The hosts of a service with their ports, the most wanted first.
async fn ask_srv(resolver: &TokioResolver, name: &str) -> Answered {
    let looked = resolver.lookup(name, RecordType::SRV).await;
    let looked = looked.map_err(|error| unanswered(&error))?;
    let records = looked.answers().iter().filter_map(|record| {
        // The root as a target says that the service is not there (RFC 2782).
        let RData::SRV(srv) = &record.data else {
            return None;
        };
        (!srv.target.is_root()).then(|| srv.clone())
    });
    let mut records: Vec<SRV> = records.collect();
    records.sort_by_key(|srv| srv.priority);
    records.truncate(HOSTS_MAX);
    let mut asking = JoinSet::new();
    for srv in records {
        let resolver = resolver.clone();
        asking.spawn(async move {
            let host = srv.target.to_utf8();
            let asked = ask_host(&resolver, &host, srv.port, srv.priority).await;
            asked.map(|(found, left)| (weighed(found, srv.weight), left))
        });
    }
    let (mut all, mut least) = (Vec::new(), left(looked.valid_until()));
    let mut unanswered = Unanswered::Missing(format!("{name} names no host"));
    while let Some(asked) = asking.join_next().await {
        match asked {
            Ok(Ok((found, left))) => {
                all.extend(found);
                least = least.min(left);
            }
            Ok(Err(why)) => unanswered = why,
            Err(gone) => unanswered = Unanswered::Failed(gone.to_string()),
        }
    }
    if all.is_empty() {
        return Err(unanswered);
    }
    all.sort();
    Ok((all, least))
}

/// The addresses of a host share what its SRV record weighs. One that weighs nothing has a very small chance beside others (RFC 2782).
fn weighed(mut found: Vec<Found>, weight: u16) -> Vec<Found> {
    let all = u32::from(weight) * WEIGHT;
    let each = all / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
    for found in &mut found {
        found.weight = each.max(1);
    }
    found
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn unanswered(error: &NetError) -> Unanswered {
    let text = error.to_string();
    if error.is_no_records_found() {
        Unanswered::Missing(text)
    } else {
        Unanswered::Failed(text)
    }
}
