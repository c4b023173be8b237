//! What both versions of HTTP share: one authority, a scheme that we know, a method that we carry; heads cleaned of what
//! belongs to the hop that ends here; and what a request wants its connection to become.

use super::observe::{Asked, MaybeReady, Refused};
use crate::answer::{Cause, Refusal};
use crate::authority::Authority;
use crate::exchange::Exchange;
use crate::expect;
use crate::headers::{Bound, FIELD_BYTES, TooMuch, Upgrade, fault_of_fields, say_te, strip_head};
use crate::request_id::{REQUEST_ID, REQUEST_ID_BYTES, identify};
use crate::response_body::ResponseBody;
use crate::trail::Marks;
use crate::wish::{Wish, say_websocket};
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use std::task::{Context, Poll};
use telemetry::Direction;
use tower::{Layer, Service};

/// A request whose shape was checked and whose head was cleaned. Made only here.
pub(crate) struct Checked {
    request: Request<Incoming>,
    exchange: Box<Exchange>,
    authority: Option<Authority>,
}

impl Checked {
    /// The request.
    pub(crate) fn request(&self) -> &Request<Incoming> {
        &self.request
    }
    /// To set what we vouch for, after everything that claims it was removed.
    pub(crate) fn request_mut(&mut self) -> &mut Request<Incoming> {
        &mut self.request
    }
    /// What it names; an HTTP/1.0 request may name nothing.
    pub(crate) fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }
    /// What it wants besides an answer.
    pub(crate) fn wish(&self) -> Wish {
        self.exchange.wish
    }
    /// What will be told of it.
    pub(crate) fn exchange_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
    /// Refuses it.
    pub(crate) fn refuse(self, refusal: Refusal) -> Refused {
        Refused {
            refusal,
            exchange: self.exchange,
        }
    }
    /// Its parts.
    pub(crate) fn into_parts(self) -> (Request<Incoming>, Box<Exchange>, Option<Authority>) {
        (self.request, self.exchange, self.authority)
    }
}

/// Before policy and routing, so that both see one meaning of every request.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// How large a head may be: hyper bounds that on HTTP/1 only.
    pub(crate) bound: Bound,
}

impl<S> Layer<S> for Check {
    type Service = Checking<S>;
    fn layer(&self, inner: S) -> Checking<S> {
        let bound = self.bound;
        Checking { bound, inner }
    }
}

/// [`Check`] over an inner service.
#[derive(Clone)]
pub(crate) struct Checking<S> {
    bound: Bound,
    inner: S,
}

impl<S> Service<Asked> for Checking<S>
where
    S: Service<Checked, Response = Response<ResponseBody>, Error = Refused>,
{
    type Response = Response<ResponseBody>;
    type Error = Refused;
    type Future = MaybeReady<S::Future, Refused>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, asked: Asked) -> Self::Future {
        match check(asked, self.bound) {
            Ok(checked) => MaybeReady::Passed {
                inner: self.inner.call(checked),
            },
            Err(refused) => MaybeReady::Refused {
                refused: Some(refused),
            },
        }
    }
}

fn check(asked: Asked, bound: Bound) -> Result<Checked, Refused> {
    let Asked {
        mut request,
        mut exchange,
    } = asked;
    // Before anything is looked at: full means 503 now, and not a queue. Whether it is a probe is known later.
    if !exchange.facts().is_plain()
        && let Err(refusal) = exchange.take_room()
    {
        return Err(Refused { refusal, exchange });
    }
    // First: they count for nothing else.
    exchange.marks = Marks::take(request.headers_mut());
    if exchange.marks.are_of_sidecar() {
        exchange.facts().is_of_sidecar();
    }
    let authority = match shape(&request, bound) {
        Ok(authority) => authority,
        Err(refusal) => return Err(Refused { refusal, exchange }),
    };
    let version = request.version();
    if let Err(refusal) = expect::look(version, request.headers_mut()) {
        return Err(Refused { refusal, exchange });
    }
    let direction = exchange.facts().direction;
    exchange.host = authority.as_ref().map(|authority| authority.text().clone());
    let upgrade = strip_head(request.headers_mut());
    match wish(&request, upgrade, direction) {
        Ok(wish) => exchange.wish = wish,
        Err(refusal) => return Err(Refused { refusal, exchange }),
    }
    if exchange.wish == Wish::WebSocket && request.version() == Version::HTTP_11 {
        say_websocket(request.headers_mut());
    }
    identify(request.headers_mut());
    if request.version() != Version::HTTP_2 {
        say_te(request.headers_mut());
    }
    Ok(Checked {
        request,
        exchange,
        authority,
    })
}

/// What it wants besides an answer, where that is to be had.
fn wish(
    request: &Request<Incoming>,
    upgrade: Upgrade,
    direction: Direction,
) -> Result<Wish, Refusal> {
    let wish = Wish::of(request, upgrade)?;
    if wish == Wish::Tunnel {
        if direction == Direction::Inbound {
            return Err(Refusal::unsent(
                Cause::NotOffered,
                "connect_is_outbound_only",
            ));
        }
        // RFC 9110 §9.3.6: what follows the head is the next protocol's.
        if !request.body().is_end_stream() {
            return Err(Refusal::unsent(Cause::Malformed, "connect_with_body"));
        }
    }
    Ok(wish)
}

/// Refuses a head that is too large. On HTTP/1 hyper has counted its bytes already, as they were written.
fn size<B>(request: &Request<B>, bound: Bound) -> Result<(), Refusal> {
    let uri = request.uri();
    // What a sidecar may have added for the app is not its caller's.
    let bound = match request.headers().contains_key(&REQUEST_ID) {
        true => Bound {
            bytes: bound.bytes.saturating_add(REQUEST_ID_BYTES),
            fields: bound.fields.saturating_add(1),
        },
        false => bound,
    };
    let (bound, besides) = match request.version() {
        Version::HTTP_2 => {
            let target = uri.path_and_query().map_or(0, |it| it.as_str().len());
            let authority = uri.authority().map_or(0, |it| it.as_str().len());
            let scheme = uri.scheme_str().map_or(0, str::len);
            let method = request.method().as_str().len();
            (bound, target + authority + scheme + method + PSEUDO_BYTES)
        }
        _ => {
            let bytes = usize::MAX;
            (Bound { bytes, ..bound }, 0)
        }
    };
    let reason = match bound.broken_by(request.headers(), besides) {
        None => return Ok(()),
        Some(TooMuch::Fields) => "too_many_headers",
        Some(TooMuch::Bytes) => "head_too_large",
    };
    Err(Refusal::unsent(Cause::HeadTooLarge, reason))
}

/// What four pseudo-header fields cost besides their values.
const PSEUDO_BYTES: usize = ":method:path:scheme:authority".len() + 4 * FIELD_BYTES;

fn shape<B>(request: &Request<B>, bound: Bound) -> Result<Option<Authority>, Refusal> {
    let malformed = |reason| Refusal::unsent(Cause::Malformed, reason);
    size(request, bound)?;
    if request.version() == Version::HTTP_2
        && let Some(reason) = fault_of_fields(request.headers())
    {
        return Err(malformed(reason));
    }
    let uri = request.uri();
    let is_extended = request.extensions().get::<Protocol>().is_some();
    let is_connect = request.method() == Method::CONNECT && !is_extended;
    // RFC 9112 §3.2.3: an authority alone is a target of CONNECT only, and CONNECT has no other.
    let alone = uri.authority().is_some() && uri.scheme().is_none();
    match (is_connect, alone) {
        (false, true) => return Err(malformed("authority_without_connect")),
        (true, false) => return Err(malformed("connect_without_authority")),
        (true, true) if uri.port().is_none() => return Err(malformed("connect_without_port")),
        (true, true) | (false, false) => {}
    }
    if uri.path() == "*" && request.method() != Method::OPTIONS {
        return Err(malformed("asterisk_without_options"));
    }
    if uri
        .scheme_str()
        .is_some_and(|scheme| !matches!(scheme, "http" | "https"))
    {
        return Err(malformed("bad_scheme"));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(malformed("two_hosts"));
    }
    let in_target = uri
        .authority()
        .map(|authority| HeaderValue::from_str(authority.as_str()));
    let in_target = in_target.transpose().map_err(|_| malformed("bad_host"))?;
    let named = match (request.version(), in_target, host) {
        // HTTP/2: both may be there, and must then agree (RFC 9113 §8.3.1).
        (Version::HTTP_2, Some(target), Some(host))
            if !target.as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(malformed("host_differs_from_authority"));
        }
        // HTTP/1: a target in absolute form replaces Host (RFC 9112 §3.2.2), which 1.1 must send all the same.
        (Version::HTTP_11, _, None) | (Version::HTTP_2, None, None) => {
            return Err(malformed("no_host"));
        }
        (_, Some(target), _) => Some(target),
        (_, None, host) => host.cloned(),
    };
    named
        .map(|named| Authority::read(&named))
        .transpose()
        .map_err(malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::Version as V;

    const BOUND: Bound = Bound {
        bytes: 8192,
        fields: 3,
    };

    /// A field of as many bytes as are left, more or less, where the rest of the head is what it is below.
    #[track_caller]
    fn check_size(version: V, more: isize, expected: Result<(), &'static str>) {
        let used = ":methodGET:path/x?y:schemehttp:authorityorders".len() + 4 * 32;
        let left = (BOUND.bytes - used - "x".len() - 32).saturating_add_signed(more);
        let request = Request::builder().version(version).uri("http://orders/x?y");
        let request = request.header("x", "v".repeat(left)).body(()).unwrap();
        let seen = size(&request, BOUND).map_err(|refusal| refusal.reason);
        assert_eq!(seen, expected, "{version:?} {more}");
    }

    #[test]
    fn a_head_of_http2_is_counted_with_its_pseudo_headers() {
        check_size(V::HTTP_2, 0, Ok(()));
        check_size(V::HTTP_2, 1, Err("head_too_large"));
        check_size(V::HTTP_11, 1, Ok(()));
    }

    #[track_caller]
    fn check(
        version: V,
        method: &str,
        target: &str,
        hosts: &[&str],
        expected: Result<Option<&str>, &'static str>,
    ) {
        let mut request = Request::builder()
            .version(version)
            .method(method)
            .uri(target)
            .body(())
            .unwrap();
        for host in hosts {
            request
                .headers_mut()
                .append(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        let seen = shape(&request, BOUND).map_err(|refusal| refusal.reason);
        let seen = seen.map(|authority| {
            authority.map(|authority| authority.text().to_str().unwrap().to_owned())
        });
        assert_eq!(
            seen,
            expected.map(|host| host.map(str::to_owned)),
            "{method} {target} {hosts:?}"
        );
    }

    #[test]
    fn every_request_names_one_authority() {
        check(
            V::HTTP_11,
            "GET",
            "/",
            &["Orders:80"],
            Ok(Some("orders:80")),
        );
        check(V::HTTP_11, "GET", "/", &[], Err("no_host"));
        check(V::HTTP_11, "GET", "/", &["a", "a"], Err("two_hosts"));
        check(
            V::HTTP_11,
            "GET",
            "http://orders/x",
            &["other"],
            Ok(Some("orders")),
        );
        check(V::HTTP_10, "GET", "/", &[], Ok(None));
        check(V::HTTP_11, "GET", "/", &["user@orders"], Err("userinfo"));
        check(
            V::HTTP_11,
            "GET",
            "ftp://orders/",
            &["orders"],
            Err("bad_scheme"),
        );
        check(V::HTTP_11, "OPTIONS", "*", &["orders"], Ok(Some("orders")));
        check(
            V::HTTP_11,
            "GET",
            "*",
            &["orders"],
            Err("asterisk_without_options"),
        );
        check(
            V::HTTP_11,
            "GET",
            "orders",
            &["orders"],
            Err("authority_without_connect"),
        );
        check(
            V::HTTP_11,
            "CONNECT",
            "db:5432",
            &["db:5432"],
            Ok(Some("db:5432")),
        );
        check(
            V::HTTP_11,
            "CONNECT",
            "db:5432",
            &["elsewhere"],
            Ok(Some("db:5432")),
        );
        check(V::HTTP_2, "CONNECT", "db:5432", &[], Ok(Some("db:5432")));
        check(
            V::HTTP_11,
            "CONNECT",
            "db",
            &["db"],
            Err("connect_without_port"),
        );
        check(
            V::HTTP_11,
            "CONNECT",
            "http://db:5432/",
            &["db"],
            Err("connect_without_authority"),
        );
        check(
            V::HTTP_11,
            "CONNECT",
            "user@db:5432",
            &["db"],
            Err("userinfo"),
        );
        check(V::HTTP_2, "GET", "http://orders/", &[], Ok(Some("orders")));
        check(
            V::HTTP_2,
            "GET",
            "http://orders/",
            &["orders"; 4],
            Err("too_many_headers"),
        );
        check(
            V::HTTP_2,
            "GET",
            "http://orders/",
            &["orders"],
            Ok(Some("orders")),
        );
        check(
            V::HTTP_2,
            "GET",
            "http://orders/",
            &["payments"],
            Err("host_differs_from_authority"),
        );
    }
}
