//! What both versions of HTTP share: one authority, a scheme that we know, a method that we carry; and heads cleaned of
//! what belongs to the hop that ends here.

use super::observe::{Asked, MaybeReady, Refused};
use crate::answer::{Cause, Refusal};
use crate::authority::Authority;
use crate::exchange::Exchange;
use crate::headers::strip_head;
use crate::response_body::ResponseBody;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use std::task::{Context, Poll};
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
    /// `limits.headers`: hyper counts them on HTTP/1 only.
    pub(crate) headers_max: usize,
}

impl<S> Layer<S> for Check {
    type Service = Checking<S>;
    fn layer(&self, inner: S) -> Checking<S> {
        let headers_max = self.headers_max;
        Checking { headers_max, inner }
    }
}

/// [`Check`] over an inner service.
#[derive(Clone)]
pub(crate) struct Checking<S> {
    headers_max: usize,
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
        match check(asked, self.headers_max) {
            Ok(checked) => MaybeReady::Passed {
                inner: self.inner.call(checked),
            },
            Err(refused) => MaybeReady::Refused {
                refused: Some(refused),
            },
        }
    }
}

fn check(asked: Asked, headers_max: usize) -> Result<Checked, Refused> {
    let Asked {
        mut request,
        mut exchange,
    } = asked;
    match shape(&request, headers_max) {
        Ok(authority) => {
            strip_head(request.headers_mut());
            exchange.host = authority.as_ref().map(|authority| authority.text().clone());
            Ok(Checked {
                request,
                exchange,
                authority,
            })
        }
        Err(refusal) => Err(Refused { refusal, exchange }),
    }
}

fn shape<B>(request: &Request<B>, headers_max: usize) -> Result<Option<Authority>, Refusal> {
    let malformed = |reason| Refusal::unsent(Cause::Malformed, reason);
    if request.headers().len() > headers_max {
        return Err(Refusal::unsent(Cause::HeadTooLarge, "too_many_headers"));
    }
    if request.method() == Method::CONNECT {
        return Err(Refusal::unsent(
            Cause::NoSuchService,
            "connect_not_supported_yet",
        ));
    }
    let uri = request.uri();
    // RFC 9112 §3.2.3: an authority alone is a target of CONNECT only.
    if uri.authority().is_some() && uri.scheme().is_none() {
        return Err(malformed("authority_without_connect"));
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
        (http::Version::HTTP_2, Some(target), Some(host))
            if !target.as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(malformed("host_differs_from_authority"));
        }
        // HTTP/1: a target in absolute form replaces Host (RFC 9112 §3.2.2), which 1.1 must send all the same.
        (http::Version::HTTP_11, _, None) => return Err(malformed("no_host")),
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
        let seen = shape(&request, 3).map_err(|refusal| refusal.reason);
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
            Err("connect_not_supported_yet"),
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
