//! Outbound: which service a request names. A [`Routed`] request is the only thing that is forwarded to a peer.
//!
//! CONNECT leads only to a service that takes bytes, under an authority that is its own: with the port of `hosts` where they
//! name one.

use crate::answer::{Cause, Refusal};
use crate::http::{Checked, MaybeReady, Refused};
use crate::passthrough;
use crate::response_body::ResponseBody;
use crate::snapshot::{Service as Destination, Snapshot};
use crate::uid::{self, NotAllowed};
use crate::which::Which;
use crate::wish::Wish;
use crate::world::World;
use daemon::socket::Peer;
use http::header::HOST;
use http::{Response, uri};
use std::sync::Arc;
use std::task::{Context, Poll};
use telemetry::Verdict;
use tower::{Layer, Service};

/// A request and the service it goes to: made only here, so that no request chooses an address where the configuration does not
/// let it, and none that is closed to all requests.
pub(crate) struct Routed {
    /// The request.
    pub(crate) checked: Checked,
    /// Where it goes.
    pub(crate) destination: Arc<Destination>,
}

/// After the checks, since a route is found by the one authority that they left.
#[derive(Clone)]
pub(crate) struct Route {
    /// Where the snapshot in force is.
    pub(crate) world: Arc<World>,
    /// The listener.
    pub(crate) listener: Arc<Which>,
    /// Whose connection it is.
    pub(crate) from: Peer,
}

impl<S> Layer<S> for Route {
    type Service = Routing<S>;
    fn layer(&self, inner: S) -> Routing<S> {
        Routing {
            route: self.clone(),
            inner,
        }
    }
}

/// [`Route`] over an inner service.
#[derive(Clone)]
pub(crate) struct Routing<S> {
    route: Route,
    inner: S,
}

impl<S> Service<Checked> for Routing<S>
where
    S: Service<Routed, Response = Response<ResponseBody>, Error = Refused>,
{
    type Response = Response<ResponseBody>;
    type Error = Refused;
    type Future = MaybeReady<S::Future, Refused>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, mut checked: Checked) -> Self::Future {
        match self.route.find(&checked) {
            Ok((number, destination)) => {
                let exchange = checked.exchange_mut();
                exchange.to = Some(destination.whom.clone());
                exchange.permitted(number);
                if checked.authority().is_none() {
                    let headers = checked.request_mut().headers_mut();
                    headers.insert(HOST, destination.unnamed.clone());
                }
                MaybeReady::Passed {
                    inner: self.inner.call(Routed {
                        checked,
                        destination,
                    }),
                }
            }
            Err(refusal) => {
                if refusal.cause == Cause::PolicyDenied {
                    let exchange = checked.exchange_mut();
                    exchange.verdict = Verdict::Denied;
                    exchange.facts().metrics.denied("", refusal.reason);
                }
                MaybeReady::Refused {
                    refused: Some(checked.refuse(refusal)),
                }
            }
        }
    }
}

impl Route {
    /// What stands for the host that a request names, where no service does. Only here a request says where it goes, and only as
    /// far as `passthrough` lets it.
    fn passed(
        &self,
        snapshot: &Snapshot,
        checked: &Checked,
    ) -> Result<Arc<Destination>, &'static str> {
        // A tunnel would carry anything anywhere, unseen.
        let authority = checked
            .authority()
            .filter(|_| checked.wish() != Wish::Tunnel);
        let authority = authority.ok_or("no_such_service")?;
        let scheme = checked.request().uri().scheme();
        if scheme == Some(&uri::Scheme::HTTPS) {
            // Whoever asks for TLS to its server must not get less.
            return Err("passthrough_is_clear_text");
        }
        let port = authority.port().unwrap_or(passthrough::PORT);
        let found = self
            .world
            .passthrough
            .find(snapshot, authority.host(), port);
        found.ok_or("no_such_service")
    }
    /// And by which snapshot.
    fn find(&self, checked: &Checked) -> Result<(u64, Arc<Destination>), Refusal> {
        let snapshot = self.world.snapshot();
        uid::may_call(&snapshot, &self.listener, self.from).map_err(NotAllowed::refusal)?;
        let destination = snapshot.destination(&self.listener, checked.authority());
        let none = |reason| Refusal::unsent(Cause::NoSuchService, reason);
        match destination {
            None if snapshot.passes(&self.listener) => {
                let destination = self.passed(&snapshot, checked).map_err(none)?;
                Ok((snapshot.number, destination))
            }
            None => Err(none("no_such_service")),
            Some(to) if checked.wish() == Wish::Tunnel && !to.takes_bytes => {
                Err(none("connect_to_no_tcp_service"))
            }
            Some(to) => Ok((snapshot.number, to.clone())),
        }
    }
}
