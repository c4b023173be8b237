//! Looks for apps that are reached past us: that listen beyond loopback.
//!
//! In: the sockets of our own network namespace, looked at every second and after every reload. Out: a warning at the first
//! sight of one and a line when it is gone, `countersign_app_exposed`, and what `requireLoopback` goes by. Only apps that are
//! configured on loopback can be looked for: others are elsewhere, or reached where their configuration says.
//!
//! 1. With `requireLoopback` nothing is let through before the first look, nor while looking fails.

use crate::pages::Pages;
use crate::world::World;
use config::sidecar::Inbound;
use daemon::bind::{Exposed, exposed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;

/// What is opened to the network is noticed within a second; what it costs is reading a few lines of `/proc`.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The part of health that waits for apps to be closed.
const PART: &str = "loopback";

/// What is told of a listener's app; each is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Closed,
    Open(String),
    Unknown(String),
}

/// Looks as long as it is polled. `numbers` are those of snapshots.
pub(crate) async fn run(pages: Arc<Pages>, mut numbers: Receiver<u64>) {
    let mut told = BTreeMap::new();
    loop {
        if let Some(world) = pages.world() {
            look(&pages, world, &mut told).await;
        }
        tokio::select! {
            changed = numbers.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(pages: &Pages, world: &World, told: &mut BTreeMap<String, Seen>) {
    let config = world.snapshot().config.clone();
    let watched: Vec<(&Inbound, u16)> = config
        .inbound
        .iter()
        .filter_map(|inbound| Some((inbound, inbound.watched_port()?)))
        .collect();
    let ports: Vec<u16> = watched.iter().map(|(_, port)| *port).collect();
    let looking = ports.clone();
    // A file system that hangs must not stop the thread that serves.
    let found = tokio::task::spawn_blocking(move || exposed(&looking)).await;
    let found = found.unwrap_or_else(|gone| Err(gone.into()));
    let sight = |port: u16| match &found {
        Ok(found) => found
            .iter()
            .find(|it| it.address.port() == port)
            .map_or(Seen::Closed, |it| Seen::Open(it.address.to_string())),
        Err(error) => Seen::Unknown(error.to_string()),
    };
    let closed = ports
        .iter()
        .copied()
        .filter(|port| sight(*port) == Seen::Closed);
    world.exposure.set_closed(closed.collect());

    told.retain(|name, _| watched.iter().any(|(inbound, _)| inbound.name == *name));
    let mut refused = Vec::new();
    for (inbound, port) in watched {
        let seen = sight(port);
        world
            .metrics
            .set_app_exposed(&inbound.name, seen.is_exposed());
        if inbound.require_loopback {
            refused.extend(seen.why(inbound));
        }
        if told.get(&inbound.name) != Some(&seen) {
            let sockets = found.as_deref().unwrap_or_default();
            seen.tell(inbound, sockets, told.contains_key(&inbound.name));
            told.insert(inbound.name.clone(), seen);
        }
    }
    match refused.is_empty() {
        true => pages.health.up(PART),
        false => pages.health.down(PART, refused.join("; ")),
    }
}

impl Seen {
    fn is_exposed(&self) -> Option<bool> {
        match self {
            Self::Closed => Some(false),
            Self::Open(_) => Some(true),
            Self::Unknown(_) => None,
        }
    }
    /// Why nothing is let through, if something must be closed.
    fn why(&self, inbound: &Inbound) -> Option<String> {
        let name = &inbound.name;
        match self {
            Self::Closed => None,
            Self::Open(address) => Some(format!(
                "the app behind {name} listens on {address}, past this sidecar; let it listen on {} alone",
                inbound.app
            )),
            Self::Unknown(error) => Some(format!(
                "whether the app behind {name} listens beyond loopback cannot be told: {error}"
            )),
        }
    }
    fn tell(&self, inbound: &Inbound, sockets: &[Exposed], was_told: bool) {
        let listener = inbound.name.as_str();
        match self {
            Self::Closed if was_told => {
                tracing::info!(
                    listener,
                    "the app is reached through this sidecar only, again"
                );
            }
            Self::Closed => {}
            Self::Open(address) => {
                let socket = sockets.iter().find(|it| it.address.to_string() == *address);
                let owner = socket
                    .and_then(Exposed::owner)
                    .map_or_else(String::new, |owner| {
                        format!(" ({}, pid {})", owner.name, owner.pid)
                    });
                let then = match inbound.require_loopback {
                    true => "nothing is let through until then",
                    false => "whoever reaches that port is asked for no identity and no policy",
                };
                tracing::warn!(
                    listener,
                    address,
                    "the app listens beyond loopback, on {address}{owner}: let it listen on {} alone; {then}",
                    inbound.app
                );
            }
            Self::Unknown(error) => tracing::warn!(
                listener,
                "whether the app listens beyond loopback cannot be told: {error}"
            ),
        }
    }
}
