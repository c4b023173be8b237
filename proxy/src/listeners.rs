//! The sockets that are open, and how a new configuration changes them.
//!
//! 1. A listener whose description did not change is never rebuilt.
//! 2. All that are new are bound before anything changes: a taken port refuses the whole reload.
//! 3. One that is gone stops accepting at once; its connections end after what is in flight.
//! 4. What carries traffic listens only in a [`World`], which has an identity and a policy. Before that its port is
//!    reserved, and the kernel refuses whoever calls.

use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::pages::Pages;
use crate::world::World;
use config::Address;
use config::sidecar::{Protocol, Sidecar};
use daemon::bind::{self, BindError, Listener, Reserved};
use daemon::drain::{self, Drain};
use daemon::{accept, admin, pages};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;

/// What a listener is: two with the same description are the same listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Description {
    /// From the network to the app.
    Inbound(String, Protocol, Address),
    /// From the app to the network.
    Outbound(String, Protocol, Address),
    /// `/metrics`.
    Metrics(Address),
    /// `/started`, `/ready`, `/live`.
    Health(Address),
    /// The admin pages.
    Admin(Address),
    /// The admin socket.
    AdminSocket(PathBuf),
}

impl Description {
    /// Everything that a configuration asks for.
    pub(crate) fn all(config: &Sidecar) -> Vec<Self> {
        let inbound = config
            .inbound
            .iter()
            .map(|it| Self::Inbound(it.name.clone(), it.protocol, it.listen.clone()));
        let outbound = config
            .outbound
            .iter()
            .map(|it| Self::Outbound(it.name.clone(), it.protocol, it.listen.clone()));
        let pages = [
            Self::Metrics(config.metrics.clone()),
            Self::Health(config.health.clone()),
            Self::Admin(config.admin.listen.clone()),
        ];
        let socket = config
            .admin
            .socket
            .iter()
            .map(|path| Self::AdminSocket(path.clone()));
        inbound.chain(outbound).chain(pages).chain(socket).collect()
    }
    /// Its name in logs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Inbound(name, ..) | Self::Outbound(name, ..) => name,
            Self::Metrics(_) => "metrics",
            Self::Health(_) => "health",
            Self::Admin(_) => "admin",
            Self::AdminSocket(_) => "admin socket",
        }
    }
    fn carries_traffic(&self) -> bool {
        matches!(self, Self::Inbound(..) | Self::Outbound(..))
    }
    fn address(&self) -> Option<&Address> {
        match self {
            Self::Inbound(_, _, address) | Self::Outbound(_, _, address) => Some(address),
            Self::Metrics(address) | Self::Health(address) | Self::Admin(address) => Some(address),
            Self::AdminSocket(_) => None,
        }
    }
}

/// A bound socket that nobody accepts from yet.
enum Bound {
    /// It waits for a world.
    Reserved(Reserved),
    Tcp(Listener),
    Unix(UnixListener),
}

/// Which of the sockets that are bound listen at once; the others only have their ports until [`Listeners::enter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// All: there is a world, and the configuration enters it now.
    All,
    /// Pages, while there is no world.
    Pages,
    /// None: the configuration waits for its identity, and whoever calls is better refused than left waiting with it.
    Nobody,
}

/// What was bound for the next configuration.
pub(crate) struct Fresh(Vec<(Description, Bound)>);

struct Open {
    description: Description,
    local: Option<SocketAddr>,
    drain: Drain,
}

/// The listeners of one sidecar.
#[derive(Default)]
pub(crate) struct Listeners {
    open: Vec<Open>,
    /// What waits for a world.
    reserved: Vec<(Description, Reserved)>,
}

/// Why a configuration's listeners cannot be opened.
#[derive(Debug)]
pub enum ListenError {
    /// A socket could not be bound.
    Bind(BindError),
    /// An address stays and what listens there changes: the old one would have to go before the new one is known to come.
    Changed {
        /// Its name in the new configuration.
        name: String,
        /// The address.
        address: Address,
    },
}

impl std::fmt::Display for ListenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "{error}"),
            Self::Changed { name, address } => {
                write!(
                    f,
                    "listener {name}: {address} is open under another name or protocol; restart, or give the new listener another address"
                )
            }
        }
    }
}

impl std::error::Error for ListenError {}

impl Listeners {
    /// Binds what a configuration asks for beyond what is bound.
    pub(crate) async fn bind(
        &self,
        config: &Sidecar,
        listening: Listening,
    ) -> Result<Fresh, ListenError> {
        let mut fresh = Vec::new();
        for description in Description::all(config) {
            if self.all().any(|bound| *bound == description) {
                continue;
            }
            let bound = match (&description, description.address()) {
                (Description::AdminSocket(path), _) => bind::unix(path, 0o600).map(Bound::Unix),
                (_, Some(address)) => {
                    self.refuse_change(&description, address)?;
                    match listening {
                        Listening::Pages if description.carries_traffic() => {
                            bind::reserve(address).await.map(Bound::Reserved)
                        }
                        Listening::Nobody => bind::reserve(address).await.map(Bound::Reserved),
                        Listening::All | Listening::Pages => {
                            bind::listen(address).await.map(Bound::Tcp)
                        }
                    }
                }
                (_, None) => continue,
            };
            fresh.push((description, bound.map_err(ListenError::Bind)?));
        }
        Ok(Fresh(fresh))
    }
    fn all(&self) -> impl Iterator<Item = &Description> {
        let open = self.open.iter().map(|open| &open.description);
        open.chain(self.reserved.iter().map(|(description, _)| description))
    }
    fn refuse_change(
        &self,
        description: &Description,
        address: &Address,
    ) -> Result<(), ListenError> {
        // Port 0 is another port every time.
        let free = matches!(address, Address::Tcp { port: 0, .. });
        if !free && self.all().any(|bound| bound.address() == Some(address)) {
            return Err(ListenError::Changed {
                name: description.name().to_owned(),
                address: address.clone(),
            });
        }
        Ok(())
    }
    /// Opens what listens, keeps what is reserved, closes what the configuration no longer asks for. `patience` is how long the connections of a closed listener may take.
    pub(crate) fn apply(
        &mut self,
        fresh: Fresh,
        config: &Sidecar,
        world: Option<&Arc<World>>,
        pages: &Arc<Pages>,
        patience: Duration,
    ) {
        for (description, bound) in fresh.0 {
            match bound {
                Bound::Reserved(reserved) => self.reserved.push((description, reserved)),
                Bound::Tcp(listener) => {
                    self.open
                        .extend(open_tcp(description, listener, world, pages));
                }
                Bound::Unix(listener) => self.open.push(open_unix(description, listener, pages)),
            }
        }
        let wanted = Description::all(config);
        self.reserved
            .retain(|(description, _)| wanted.contains(description));
        let (kept, gone): (Vec<Open>, Vec<Open>) = self
            .open
            .drain(..)
            .partition(|open| wanted.contains(&open.description));
        self.open = kept;
        for open in gone {
            tracing::info!(listener = open.description.name(), "closed");
            tokio::spawn(async move { open.drain.start_and_wait(patience).await });
        }
    }
    /// Listens wherever traffic waited for this world. What cannot, because somebody else took the port meanwhile, is bound
    /// anew at the next call; the first of them is told.
    pub(crate) async fn enter(
        &mut self,
        config: &Sidecar,
        world: &Arc<World>,
        pages: &Arc<Pages>,
    ) -> Result<(), ListenError> {
        let mut first_error = None;
        for (description, reserved) in std::mem::take(&mut self.reserved) {
            match reserved.listen() {
                Ok(listener) => {
                    self.open
                        .extend(open_tcp(description, listener, Some(world), pages));
                }
                Err(error) => first_error = first_error.or(Some(ListenError::Bind(error))),
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        let fresh = self.bind(config, Listening::All).await?;
        self.apply(fresh, config, Some(world), pages, Duration::ZERO);
        Ok(())
    }
    /// Where a listener listens, or will, by its name in the configuration, or `metrics`, `health`, `admin`.
    pub(crate) fn address(&self, name: &str) -> Option<SocketAddr> {
        let open = self
            .open
            .iter()
            .find(|open| open.description.name() == name);
        let reserved = || self.reserved.iter().find(|(it, _)| it.name() == name);
        match open {
            Some(open) => open.local,
            None => reserved().map(|(_, reserved)| reserved.local_addr()),
        }
    }
    /// Ends all: what carries traffic first, the pages last. Returns how many connections were cut.
    pub(crate) async fn end(&mut self, patience: Duration) -> usize {
        self.reserved.clear();
        let (traffic, pages): (Vec<Open>, Vec<Open>) = self
            .open
            .drain(..)
            .partition(|open| open.description.carries_traffic());
        for open in &traffic {
            open.drain.start();
        }
        let ends = tokio::time::Instant::now() + patience;
        let mut cut = 0;
        for open in &traffic {
            cut += open
                .drain
                .start_and_wait(ends.saturating_duration_since(tokio::time::Instant::now()))
                .await;
        }
        for open in &pages {
            open.drain.start_and_wait(Duration::ZERO).await;
        }
        cut
    }
}

fn open_unix(description: Description, listener: UnixListener, pages: &Arc<Pages>) -> Open {
    let (drain, draining) = drain::pair();
    let pages = pages.clone();
    draining
        .clone()
        .track(admin::serve_unix(listener, draining, move |request| {
            let pages = pages.clone();
            async move { pages.admin(&request) }
        }));
    Open {
        description,
        local: None,
        drain,
    }
}

/// `None` where it carries traffic and there is no world to carry it in.
fn open_tcp(
    description: Description,
    listener: Listener,
    world: Option<&Arc<World>>,
    own: &Arc<Pages>,
) -> Option<Open> {
    let (drain, draining) = drain::pair();
    let local = listener.local_addr();
    let name = description.name().to_owned();
    // The loop is waited for too: when the drain is over, the address is free.
    let (loops, stop) = (draining.clone(), draining.clone());
    let own = own.clone();
    match &description {
        Description::Inbound(name, protocol, _) => {
            let inbound = Arc::new(Inbound {
                name: name.as_str().into(),
                protocol: *protocol,
                world: world?.clone(),
            });
            loops.track(accept::run(listener, draining, move |socket, from| {
                inbound.clone().serve(socket, from, stop.clone())
            }));
        }
        Description::Outbound(name, protocol, _) => {
            let outbound = Arc::new(Outbound {
                name: name.as_str().into(),
                protocol: *protocol,
                world: world?.clone(),
            });
            loops.track(accept::run(listener, draining, move |socket, _| {
                outbound.clone().serve(socket, stop.clone())
            }));
        }
        Description::Metrics(_) => {
            loops.track(pages::serve(listener, draining, move |request| {
                let own = own.clone();
                async move { own.metrics(&request) }
            }));
        }
        Description::Health(_) => {
            loops.track(pages::serve(listener, draining, move |request| {
                let own = own.clone();
                async move { own.health(&request).await }
            }));
        }
        Description::Admin(_) | Description::AdminSocket(_) => {
            loops.track(admin::serve_tcp(listener, draining, move |request| {
                let own = own.clone();
                async move { own.admin(&request) }
            }));
        }
    }
    tracing::info!(listener = name, address = %local, "listening on {local}");
    Some(Open {
        description,
        local: Some(local),
        drain,
    })
}
