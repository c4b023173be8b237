//! A request's target, written in the form of the hop.

use crate::answer::{Cause, Refusal};
use crate::authority::Authority;
use crate::ordered;
use crate::request_body::RequestBody;
use crate::version::Version;
use http::{HeaderValue, Request, Uri, header, uri};
use http_body::Body;

/// Writes the target in the form of the hop: origin form and `Host` on HTTP/1, scheme and authority on HTTP/2. `scheme` is what
/// it must be at the other end; `None`: as it came, and `http` where none did.
pub(super) fn address(
    request: &mut Request<RequestBody>,
    authority: Option<&Authority>,
    version: Version,
    scheme: Option<uri::Scheme>,
) -> Result<(), Refusal> {
    let bad = |_| Refusal::unsent(Cause::Malformed, "bad_target");
    match version {
        Version::Http1 => {
            *request.version_mut() = http::Version::HTTP_11;
            if request.uri().authority().is_some() {
                let path = request
                    .uri()
                    .path_and_query()
                    .cloned()
                    .unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
                let mut parts = uri::Parts::default();
                parts.path_and_query = Some(path);
                *request.uri_mut() = Uri::from_parts(parts)
                    .map_err(|_| Refusal::unsent(Cause::Malformed, "bad_target"))?;
                if let Some(authority) = authority {
                    request
                        .headers_mut()
                        .insert(header::HOST, authority.text().clone());
                }
            } else if !request.headers().contains_key(header::HOST) {
                // HTTP/1.0 may come without; HTTP/1.1 must not go without (RFC 9112 §3.2).
                request
                    .headers_mut()
                    .insert(header::HOST, HeaderValue::from_static(""));
            }
            frame(request);
        }
        Version::Http2 => {
            *request.version_mut() = http::Version::HTTP_2;
            let is_other = scheme.is_some() && request.uri().scheme() != scheme.as_ref();
            if is_other || request.uri().scheme().is_none() || request.uri().authority().is_none() {
                let mut parts = request.uri().clone().into_parts();
                let came = parts.scheme.take().unwrap_or(uri::Scheme::HTTP);
                parts.scheme = Some(scheme.unwrap_or(came));
                if parts.authority.is_none() {
                    let named =
                        authority.ok_or_else(|| Refusal::unsent(Cause::Malformed, "no_host"))?;
                    let named = uri::Authority::try_from(named.text().as_bytes()).map_err(bad)?;
                    parts.authority = Some(named);
                }
                *request.uri_mut() = Uri::from_parts(parts)
                    .map_err(|_| Refusal::unsent(Cause::Malformed, "bad_target"))?;
            }
            // What `:authority` says is not said twice.
            ordered::remove(request.headers_mut(), |name| *name == header::HOST);
        }
    }
    Ok(())
}

/// Says that there is a body whose length nobody knows. hyper would take it that GET and HEAD have none, and send the request
/// without it (RFC 9110 §9.3.1 gives such a body no meaning, but a recipient may).
fn frame(request: &mut Request<RequestBody>) {
    let body = request.body();
    if body.is_end_stream() || body.size_hint().exact().is_some() {
        return;
    }
    let chunked = HeaderValue::from_static("chunked");
    let headers = request.headers_mut();
    headers.insert(header::TRANSFER_ENCODING, chunked);
}
