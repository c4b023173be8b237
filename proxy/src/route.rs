//! Outbound: which service a request names. A [`Routed`] request is the only thing that is forwarded to a peer.

use crate::answer::{Cause, Refusal};
use crate::http::{Checked, MaybeReady, Refused};
use crate::response_body::ResponseBody;
use crate::snapshot::Service as Destination;
use crate::world::World;
use http::Response;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// A request and the service it goes to: made only here, so that no request ever chooses an address.
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
    /// The listener's name.
    pub(crate) listener: Arc<str>,
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
            Some(destination) => {
                checked.exchange_mut().service =
                    Some((destination.name.clone(), destination.identity.clone()));
                MaybeReady::Passed {
                    inner: self.inner.call(Routed {
                        checked,
                        destination,
                    }),
                }
            }
            None => {
                let refusal = Refusal::unsent(Cause::NoSuchService, "no_such_service");
                MaybeReady::Refused {
                    refused: Some(checked.refuse(refusal)),
                }
            }
        }
    }
}

impl Route {
    fn find(&self, checked: &Checked) -> Option<Arc<Destination>> {
        let snapshot = self.world.snapshot();
        snapshot
            .destination(&self.listener, checked.authority())
            .cloned()
    }
}
