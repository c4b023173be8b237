//! One immutable generation of identity, and the current one.
//!
//! In: an SVID and the bundles. Out: everything derived from them (verifier, TLS configurations), built once and dropped
//! together; and [`Current`], which swaps whole generations.
//!
//! 1. Nothing of one generation is used with anything of another.
//! 2. There is one client configuration and one verifier per (expected identity, ALPN, generation): never one for two.

use crate::issuer::Issuer;
use crate::moment::{rfc3339, to_unix};
use crate::tls::{Outside, Templates};
use crate::{Bundles, Facts, Peer, Refused, Role, Svid, Verifier};
use arc_swap::ArcSwapOption;
use config::SpiffeId;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{ClientConfig, ServerConfig};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::sync::watch;

/// An SVID, the bundles and everything derived from them.
pub struct Generation {
    number: u64,
    svid: Arc<Svid>,
    verifier: Arc<Verifier>,
    templates: Templates,
    servers: [Arc<ServerConfig>; Alpn::ALL.len()],
    clients: RwLock<HashMap<(SpiffeId, Alpn), Arc<ClientConfig>>>,
    expiry: Expiry,
}

/// Which protocols a TLS configuration offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /** `http/1.1` */
    Http1,
    /** `h2` */
    Http2,
    /** `h2`, then `http/1.1` */
    Http,
    /** None at all. */
    None,
}

impl Alpn {
    const ALL: [Alpn; 4] = [Alpn::Http1, Alpn::Http2, Alpn::Http, Alpn::None];

    fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Alpn::Http1 => &[b"http/1.1"],
            Alpn::Http2 => &[b"h2"],
            Alpn::Http => &[b"h2", b"http/1.1"],
            Alpn::None => &[],
        }
    }
}

impl Outside {
    /// A client's configuration for it: no generation has a part in it, since it shows nothing of ours.
    pub fn client(&self, alpn: Alpn) -> Arc<ClientConfig> {
        self.client_offering(alpn.protocols())
    }
}

/// When what a generation stands on ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The own leaf.
    pub leaf: SystemTime,
    /// The first of the issuers in the own chain to end; `None`: a root issued the leaf itself.
    pub issuer: Option<SystemTime>,
    /// The root that the own chain leads to by name, the longest-lived of several; else the longest-lived of the own trust
    /// domain. `None`: there is no bundle for it.
    pub root: Option<SystemTime>,
}

/// Why no generation came of an SVID and bundles.
#[derive(Debug)]
pub struct GenerationError(rustls::Error);

impl fmt::Display for GenerationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no TLS configuration could be made of key and certificate: {}; use ECDSA P-256 or P-384",
            self.0
        )
    }
}
impl std::error::Error for GenerationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Generation {
    /// Derives everything from an SVID and bundles. No clock: whether they are good now, [`Generation::check`] says.
    pub fn new(
        number: u64,
        svid: impl Into<Arc<Svid>>,
        bundles: Bundles,
    ) -> Result<Self, GenerationError> {
        let svid = svid.into();
        let expiry = Expiry::of(&svid, &bundles);
        let verifier = Arc::new(Verifier::new(bundles));
        let templates = Templates::new(&svid, &verifier).map_err(GenerationError)?;
        let servers = Alpn::ALL.map(|alpn| Arc::new(templates.server(alpn.protocols())));
        let clients = RwLock::default();
        Ok(Generation {
            number,
            svid,
            verifier,
            templates,
            servers,
            clients,
            expiry,
        })
    }

    /// Grows by one with every generation of this process, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The own SVID.
    pub fn svid(&self) -> &Svid {
        &self.svid
    }

    /// The verifier of this generation.
    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// The bundles: whom this generation believes.
    pub fn bundles(&self) -> &Bundles {
        self.verifier.bundles()
    }

    /// When leaf, issuer and root end.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Whether a peer with these bundles would believe this SVID, at both ends of a handshake.
    pub fn check(&self, now: UnixTime) -> Result<(), Refused> {
        for role in [Role::Client, Role::Server] {
            self.verifier.verify(self.svid.chain(), role, now)?;
        }
        Ok(())
    }

    /// The server configuration (client certificate required, TLS 1.3 only, no early data, no resumption).
    pub fn server(&self, alpn: Alpn) -> Arc<ServerConfig> {
        let [http1, http2, http, none] = &self.servers;
        Arc::clone(match alpn {
            Alpn::Http1 => http1,
            Alpn::Http2 => http2,
            Alpn::Http => http,
            Alpn::None => none,
        })
    }

    /// The server configuration of a CA: as [`Generation::server`], but who has no certificate yet may connect without. Built
    /// anew each time: keep it.
    pub fn server_for_strangers(&self, alpn: Alpn) -> ServerConfig {
        self.templates.server_for_strangers(alpn.protocols())
    }

    /// The client configuration that accepts only `expected`. Built at first use per (expected, alpn) and kept for the
    /// generation; expected identities come from the configuration, so their number is bounded.
    pub fn client(&self, expected: &SpiffeId, alpn: Alpn) -> Arc<ClientConfig> {
        let key = (expected.clone(), alpn);
        if let Some(built) = self
            .clients
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Arc::clone(built);
        }
        let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
        let built = clients
            .entry(key)
            .or_insert_with(|| Arc::new(self.templates.client(expected, alpn.protocols())));
        Arc::clone(built)
    }

    /// Judges a finished handshake's peer again (full or resumed), at the wall clock: decision 4. `chain` is
    /// `peer_certificates()`.
    pub fn judge_client(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<Peer, Refused> {
        self.verifier
            .verify(chain.unwrap_or_default(), Role::Client, UnixTime::now())
    }

    /// The same for a server that must be `expected`.
    pub fn judge_server(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        expected: &SpiffeId,
    ) -> Result<Peer, Refused> {
        let peer =
            self.verifier
                .verify(chain.unwrap_or_default(), Role::Server, UnixTime::now())?;
        if peer.id != *expected {
            return Err(Refused::WrongIdentity {
                expected: expected.clone(),
                found: peer.id,
            });
        }
        Ok(peer)
    }

    /// Judges once more whoever an open connection belongs to, whose leaf ends at `not_after`: whether it would still be vouched
    /// for. As of the last moment at which its leaf was good, since what an ended leaf ends is not asked here.
    pub fn judge_open(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        not_after: SystemTime,
    ) -> Result<(), Refused> {
        let at = to_unix(SystemTime::now().min(not_after));
        self.verifier.verify(chain, role, at).map(drop)
    }

    /// What the admin page shows.
    pub fn describe(&self) -> Described {
        let read = |certificates: &[CertificateDer<'_>]| {
            certificates
                .iter()
                .filter_map(|der| Facts::read(der))
                .collect()
        };
        Described {
            generation: self.number,
            id: self.svid.leaf().id.clone(),
            chain: read(self.svid.chain()),
            bundles: self
                .bundles()
                .iter()
                .map(|bundle| (bundle.trust_domain().to_string(), read(bundle.roots())))
                .collect(),
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("id", &self.svid.leaf().id)
            .field("not_after", &rfc3339(self.expiry.leaf))
            .finish_non_exhaustive()
    }
}

/// A generation for people to look at: nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its number.
    pub generation: u64,
    /// Who we are.
    pub id: SpiffeId,
    /// The own chain, leaf first.
    pub chain: Vec<Facts>,
    /// Trust domain and roots, ordered by trust domain.
    pub bundles: Vec<(String, Vec<Facts>)>,
}

impl Expiry {
    fn of(svid: &Svid, bundles: &Bundles) -> Self {
        let issuers: Vec<Issuer> = svid.chain()[1..]
            .iter()
            .filter_map(|der| Issuer::parse(der).ok())
            .collect();
        let roots = bundles
            .get(svid.leaf().id.trust_domain())
            .map(|bundle| bundle.facts())
            .unwrap_or_default();
        let named = issuers.last().map(|last| &last.issuer);
        let of_chain = roots
            .iter()
            .filter(|root| named.is_none_or(|name| root.subject == *name));
        Expiry {
            leaf: svid.leaf().not_after,
            issuer: issuers.iter().map(|issuer| issuer.not_after).min(),
            root: of_chain
                .map(|root| root.not_after)
                .max()
                .or(roots.iter().map(|root| root.not_after).max()),
        }
    }
}

/// The current generation, if there is one yet: cheap to load, can be awaited. Clones share it.
#[derive(Clone)]
pub struct Current {
    inner: Arc<Inner>,
}

struct Inner {
    generation: ArcSwapOption<Generation>,
    /// Its number; 0: there is none.
    newest: watch::Sender<u64>,
}

impl Current {
    /// A holder with its first generation in it.
    pub fn new(first: Generation) -> Self {
        let newest = watch::Sender::new(first.number);
        Current {
            inner: Arc::new(Inner {
                generation: ArcSwapOption::from_pointee(first),
                newest,
            }),
        }
    }

    /// A holder without a generation: who has it is nobody yet.
    pub fn empty() -> Self {
        Current {
            inner: Arc::new(Inner {
                generation: ArcSwapOption::empty(),
                newest: watch::Sender::new(0),
            }),
        }
    }

    /// Puts a generation in force and wakes who waits for it. It must be newer than the one in force, which else stays.
    pub fn publish(&self, next: Generation) {
        let number = next.number;
        self.inner.newest.send_if_modified(|newest| {
            let newer = number > *newest;
            if newer {
                // Stored while the number is locked, so that two publishers cannot cross.
                self.inner.generation.store(Some(Arc::new(next)));
                *newest = number;
            }
            newer
        });
    }

    /// The generation now in force; `None`: there is none yet.
    pub fn load(&self) -> Option<Arc<Generation>> {
        self.inner.generation.load_full()
    }

    /// Resolves to the generation in force when it is newer than `seen`; than 0 the first is.
    pub async fn newer_than(&self, seen: u64) -> Arc<Generation> {
        let mut newest = self.inner.newest.subscribe();
        loop {
            let found = self.load().filter(|found| found.number > seen);
            match found {
                Some(found) => return found,
                // It cannot fail: the sender lives in `self`.
                None => drop(newest.changed().await),
            }
        }
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.load()).finish()
    }
}
