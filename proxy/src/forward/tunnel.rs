//! CONNECT: a connection of bytes to a service, in place of an answer.

use super::Way;
use crate::clock;
use crate::exchange::Exchange;
use crate::http::Refused;
use crate::response_body::ResponseBody;
use crate::upgrade::{Far, Granted};
use http::{Request, Response};
use hyper::body::Incoming;

/// Dials the service and leaves both sides to be relayed. The answer's head is all that the caller gets of ours.
pub(crate) async fn tunnel(
    mut request: Request<Incoming>,
    mut exchange: Box<Exchange>,
    way: Way<'_>,
) -> Result<Response<ResponseBody>, Refused> {
    let caller = hyper::upgrade::on(&mut request);
    let (upstream, endpoint) = match way.upstream.tcp().await {
        Ok(dialled) => dialled,
        Err(refusal) => return Err(Refused { refusal, exchange }),
    };
    exchange.goes(upstream.server.as_ref(), Some(&upstream.written));
    exchange.endpoint = Some(endpoint);
    exchange.upstream_tls_group = upstream.tls_group;
    exchange.status = 200;
    let after_expiry = way.upstream.config().after_expiry;
    let cut_at = upstream
        .ends
        .and_then(|ends| clock::cut_at(ends, after_expiry));
    let connection = Granted {
        exchange,
        caller,
        upstream: Far::Dialled(Box::new(upstream), cut_at),
    };
    way.handover.take(way.version, connection);
    Ok(Response::new(ResponseBody::none()))
}
