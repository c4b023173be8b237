//! One listener at work: its loop that accepts, and what it accepted.

use crate::connections::Listens;
use crate::description::Description;
use crate::exchange::LISTENER_REMOVED;
use crate::held::{Held, Hold};
use crate::inbound::Inbound;
use crate::open::Opened;
use crate::outbound::Outbound;
use crate::pages::Pages;
use crate::which::Which;
use crate::world::World;
use daemon::bind::SocketFile;
use daemon::drain::{self, Drain, Draining};
use daemon::{accept, admin, pages};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A listener that accepts, or has accepted.
pub(crate) struct Open {
    /// What for.
    pub(crate) description: Description,
    /// Its port, if it has one.
    pub(crate) local: Option<SocketAddr>,
    /// What ends it.
    pub(crate) drain: Drain,
    /// What is open there.
    pub(crate) opened: Arc<Opened>,
    /// By which another may take its gate; `None`: it has none that others may have.
    pub(crate) hold: Option<Hold>,
}

impl Open {
    /// Accepts from a gate. `None` where it carries traffic and there is no world to carry it in.
    pub(crate) fn gate(
        description: Description,
        held: Held,
        world: Option<&Arc<World>>,
        own: &Arc<Pages>,
    ) -> Option<Self> {
        let ((drain, draining), opened) = (drain::pair(), Arc::<Opened>::default());
        let open = Self {
            local: held.local_addr(),
            drain,
            opened: opened.clone(),
            hold: Some(held.hold()),
            description,
        };
        let shown = accept::Incoming::name(&held);
        match &open.description {
            Description::Inbound(which) => serve_inbound(which, held, world?, opened, draining),
            Description::Outbound(which) => serve_outbound(which, held, world?, opened, draining),
            _ => open.serve_page(held, own, draining),
        }
        let listener = open.description.name();
        tracing::info!(listener, address = shown, "listening on {shown}");
        Some(open)
    }
    /// Accepts from the admin socket.
    pub(crate) fn admin(
        description: Description,
        listener: SocketFile,
        pages: &Arc<Pages>,
    ) -> Self {
        if let Some(others) = listener.replaceable() {
            tracing::warn!(
                "admin.socket: {others} may put a socket of their own in its place; give it a folder that only this user writes to"
            );
        }
        let (drain, draining) = drain::pair();
        let pages = pages.clone();
        let loops = draining.clone();
        loops.track(admin::serve_calls(listener, draining, move |call, user| {
            let pages = pages.clone();
            async move { pages.call(&call, user).await }
        }));
        Self {
            description,
            local: None,
            drain,
            opened: Arc::default(),
            hold: None,
        }
    }
    /// The loop is waited for too, here as for traffic: when the drain is over, the address is free.
    fn serve_page(&self, held: Held, own: &Arc<Pages>, draining: Draining) {
        let (own, loops) = (own.clone(), draining.clone());
        match &self.description {
            Description::Metrics(_) => loops.track(pages::serve(held, draining, move |request| {
                let own = own.clone();
                async move { own.metrics(&request) }
            })),
            Description::Health(_) => loops.track(pages::serve(held, draining, move |request| {
                let own = own.clone();
                async move { own.health(&request).await }
            })),
            // Whatever else there is: what shows the least to strangers.
            _ => loops.track(admin::serve_tcp(held, draining, move |request| {
                let own = own.clone();
                async move { own.admin(&request).await }
            })),
        };
    }
    /// It is called so from now on, for whoever is here as well.
    pub(crate) fn rename(&mut self, now: Description) {
        if now.name() != self.description.name() {
            let (listener, was) = (now.name(), self.description.name());
            tracing::info!(listener, was, "listener has another name");
        }
        self.description = now;
    }
    /// As the pages show it, if it carries traffic.
    pub(crate) fn shown(&self, leaves: bool) -> Option<Listens> {
        Some(Listens {
            name: self.description.name().into(),
            direction: self.description.direction()?,
            at: self.local,
            leaves,
            opened: self.opened.clone(),
        })
    }
    /// Lets what is open end within this time, and cuts the rest, which says why.
    pub(crate) async fn end(&self, patience: Duration) {
        if !self.drain.ended(Instant::now() + patience).await {
            self.opened.condemn(LISTENER_REMOVED);
            self.drain.cut();
            self.drain.gone().await;
        }
    }
}

fn serve_inbound(
    which: &Which,
    held: Held,
    world: &Arc<World>,
    opened: Arc<Opened>,
    draining: Draining,
) {
    let inbound = Arc::new(Inbound {
        which: Arc::new(which.clone()),
        world: world.clone(),
        opened,
        told: Arc::default(),
    });
    let (loops, stop) = (draining.clone(), draining.clone());
    loops.track(accept::run(held, draining, move |socket, from| {
        inbound.clone().serve(socket, from, stop.clone())
    }));
}

fn serve_outbound(
    which: &Which,
    held: Held,
    world: &Arc<World>,
    opened: Arc<Opened>,
    draining: Draining,
) {
    let outbound = Arc::new(Outbound {
        which: Arc::new(which.clone()),
        world: world.clone(),
        opened,
    });
    let (loops, stop) = (draining.clone(), draining.clone());
    loops.track(accept::run(held, draining, move |socket, from| {
        outbound.clone().serve(socket, from, stop.clone())
    }));
}
