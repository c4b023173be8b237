//! An upstream's answer, on its way back; and what it makes of the connection, when the request wished for that.

use super::Way;
use crate::answer::{Cause, Refusal, is_grpc};
use crate::exchange::Exchange;
use crate::expect::Latch;
use crate::headers::{Bound, FIELD_BYTES, Upgrade, fault_of_fields, strip_head};
use crate::http::Refused;
use crate::response_body::ResponseBody;
use crate::upgrade::{Far, Granted};
use crate::upstream::{Lease, RESPONSE_HEAD_TOO_LARGE, SWITCHED_UNASKED};
use crate::version::Version;
use crate::wish::{Wish, say_websocket};
use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

/// Passes an answer on, or refuses one that lies. `caller` is the caller's side of a connection that is to become something.
pub(super) fn received(
    mut response: Response<Incoming>,
    lease: Lease,
    mut exchange: Box<Exchange>,
    caller: Option<OnUpgrade>,
    way: &Way<'_>,
) -> Result<Response<ResponseBody>, Refused> {
    let bound = way.upstream.answers();
    let too_large = too_large(&response, bound);
    // As HTTP/1 it was judged before it was read.
    let fault = match way.version {
        Version::Http2 => fault_of_fields(response.headers()),
        Version::Http1 => None,
    };
    let is_grpc = way.version == Version::Http2 && is_grpc(response.headers());
    let upgrade = strip_head(response.headers_mut());
    let granted = if too_large {
        Err(exchange.facts().limits_it(RESPONSE_HEAD_TOO_LARGE))
    } else if let Some(fault) = fault {
        Err(fault)
    } else {
        granted(response.status(), upgrade, exchange.wish, way.version)
    };
    let granted = match granted {
        Ok(granted) => granted,
        Err(reason) => {
            let refusal = Refusal::sent(Cause::LyingResponse, reason);
            return Err(Refused { refusal, exchange });
        }
    };
    lease.spells(exchange.facts());
    exchange.status = response.status().as_u16();
    *response.version_mut() = http::Version::default();
    if exchange.latch.as_ref().is_some_and(Latch::answered) {
        // What its caller sends next on this connection might be the body or another request (RFC 9110 §10.1.1).
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let Some(caller) = caller.filter(|_| granted) else {
        return Ok(
            response.map(|body| ResponseBody::upstream(body, lease, exchange, (bound, is_grpc)))
        );
    };
    let upstream = hyper::upgrade::on(&mut response);
    let connection = Granted {
        exchange,
        caller,
        upstream: Far::Switched(upstream, lease),
    };
    way.handover.take(way.version, connection);
    if way.version == Version::Http1 {
        say_websocket(response.headers_mut());
    }
    Ok(response.map(|_| ResponseBody::none()))
}

/// Whether an answer's head is larger than it may be: hyper bounds that on HTTP/1 only.
fn too_large<B>(response: &Response<B>, bound: Bound) -> bool {
    let besides = ":status200".len() + FIELD_BYTES;
    response.version() == http::Version::HTTP_2
        && bound.broken_by(response.headers(), besides).is_some()
}

/// Whether an answer with this status, and whose `Upgrade` said this, grants a wish; or why it is a lie.
fn granted(
    status: StatusCode,
    upgrade: Upgrade,
    wish: Wish,
    version: Version,
) -> Result<bool, &'static str> {
    let wished = wish == Wish::WebSocket;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // HTTP/2 has no such answer (RFC 9113 §8.6).
        if !wished || version == Version::Http2 {
            return Err(SWITCHED_UNASKED);
        }
        let as_asked = upgrade.websocket && !upgrade.other;
        return as_asked.then_some(true).ok_or("switched_to_another");
    }
    if !wished || version == Version::Http1 || !status.is_success() {
        return Ok(false);
    }
    // Any other 2xx would open the stream as well (RFC 9110 §9.3.6), and hyper does not open it.
    (status == StatusCode::OK)
        .then_some(true)
        .ok_or("opened_by_another_status")
}
