//! A connection while one request uses it.

use super::endpoint::Endpoint;
use super::framed::Said;
use super::h1::H1;
use super::h2::H2;
use super::lock;
use crate::believed::Believed;
use crate::exchange::Facts;
use crate::front::Wrong;
use crate::request_body::RequestBody;
use crate::spelled::Spelled;
use crate::upstream::Open;
use http_body::Body;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// A connection in use by one request.
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    link: Link,
    _under_way: Open,
}

/// The connection.
pub(super) enum Link {
    H1(Option<H1>),
    H2(Arc<H2>),
}

impl Link {
    /// One more stream on a shared connection.
    pub(super) fn h2(link: Arc<H2>) -> Self {
        link.frames.streams.fetch_add(1, Ordering::Relaxed);
        Self::H2(link)
    }
}

/// A request that was not answered: what became of it.
pub(crate) enum Unanswered {
    /// Not a byte was sent: here it is again.
    Unsent(Box<http::Request<RequestBody>>),
    /// It was handed over, and its server did not look at it and will not.
    Unprocessed(hyper::Error),
    /// It may have reached the app.
    Sent(hyper::Error),
}

/// Whether its server did not look at a request and will not. Either it says so: the stream is above the last that its GOAWAY
/// names (RFC 9113 §6.8; h2 ends those, and only those, with it), or was refused (§8.7). Or the connection ended while the
/// stream waited to be opened: hyper then drops the request and calls that an error of the user, of which a request without a
/// body knows no other; it is unsent where nothing makes that unsure.
fn is_unprocessed(error: &hyper::Error, bodyless: bool, frames: &Said) -> bool {
    let source = std::error::Error::source(error);
    let Some(said) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return bodyless && error.is_user() && !frames.is_unsure();
    };
    let refused = said.is_reset() && said.reason() == Some(h2::Reason::REFUSED_STREAM);
    said.is_remote() && (said.is_go_away() || refused)
}

impl Lease {
    /// One more request under way at this endpoint.
    pub(super) fn new(endpoint: Arc<Endpoint>, link: Link) -> Self {
        let _under_way = endpoint.streams.enter();
        Self {
            endpoint,
            link,
            _under_way,
        }
    }
    /// Where it leads.
    pub(super) fn at(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
    /// Sends the request, its names spelled so on HTTP/1, and awaits the response head.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
        names: &Spelled,
    ) -> Result<http::Response<hyper::body::Incoming>, Unanswered> {
        let bodyless = request.body().is_end_stream();
        let sent = match &mut self.link {
            Link::H1(Some(link)) => {
                link.heard.store(false, Ordering::Relaxed);
                link.said.asks(&request, names);
                match link.send(request).await {
                    Ok(sent) => sent,
                    Err(request) => return Err(Unanswered::Unsent(Box::new(request))),
                }
            }
            Link::H1(None) => return Err(Unanswered::Unsent(Box::new(request))),
            Link::H2(link) => {
                let sent = match link.sender.get() {
                    Some(mut sender) => sender.try_send_request(request),
                    None => return Err(Unanswered::Unsent(Box::new(request))),
                };
                sent.await
            }
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => {
                self.leave();
                Unanswered::Unsent(Box::new(request))
            }
            None => {
                let error = error.into_error();
                match &self.link {
                    Link::H2(link) if is_unprocessed(&error, bodyless, &link.frames) => {
                        self.leave();
                        Unanswered::Unprocessed(error)
                    }
                    _ => Unanswered::Sent(error),
                }
            }
        })
    }
    /// Passes on how the names of the answer that came are spelled.
    pub(crate) fn spells(&self, caller: &Facts) {
        if let Link::H1(Some(link)) = &self.link {
            caller.answer_names.put(link.said.answer_names());
        }
    }
    fn leave(&self) {
        if let Link::H2(link) = &self.link {
            self.endpoint.leave(link);
        }
    }
    /// Whether a byte of an answer came. On HTTP/2 only a whole head counts, and then there is an answer.
    pub(crate) fn was_heard(&self) -> bool {
        match &self.link {
            Link::H1(link) => link
                .as_ref()
                .is_some_and(|link| link.heard.load(Ordering::Relaxed)),
            Link::H2(_) => false,
        }
    }
    /// The endpoint, as it is logged.
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint.label
    }
    /// Whether it was cut because an identity on it ended so long ago.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut_at()
            .is_some_and(|cut_at| cut_at <= SystemTime::now())
    }
    /// When it is cut because an identity on it ended.
    pub(crate) fn cut_at(&self) -> Option<SystemTime> {
        match &self.link {
            Link::H1(link) => link.as_ref().and_then(|link| link.cut_at),
            Link::H2(link) => link.cut_at,
        }
    }
    /// Whether its server takes WebSocket: over HTTP/2 only one whose settings offer it.
    pub(crate) async fn takes_websocket(&self, within: Duration) -> bool {
        match &self.link {
            Link::H1(_) => true,
            Link::H2(link) => link.frames.offers_connect(within).await,
        }
    }
    /// Why it was cut, where what its server sends is the reason; counted over HTTP/1, and where that is a limit.
    pub(crate) fn lied(&self, facts: &Facts) -> Option<&'static str> {
        let wrong = match &self.link {
            Link::H1(link) => {
                let lie = link.as_ref().and_then(|link| link.said.lie());
                return lie.map(|reason| facts.limits_it(reason));
            }
            Link::H2(link) => link.frames.wrong(),
        }?;
        Some(match wrong {
            Wrong::TooLarge => facts.limits_it(wrong.reason()),
            Wrong::Trailers | Wrong::TakenBack => wrong.reason(),
        })
    }
    /// What its server said, if it refused our certificate: then it looked at no request.
    pub(crate) fn disbelief(&self) -> Option<&str> {
        match &self.link {
            Link::H1(link) => link.as_ref().and_then(|link| link.disbelief.said()),
            Link::H2(link) => link.disbelief.said(),
        }
    }
    /// The server at its other end; `None`: the app.
    pub(crate) fn server(&self) -> Option<&Arc<Believed>> {
        match &self.link {
            Link::H1(link) => link.as_ref().and_then(|link| link.server.as_ref()),
            Link::H2(link) => link.server.as_ref(),
        }
    }
    /// The key exchange group of its handshake.
    pub(crate) fn tls_group(&self) -> &'static str {
        match &self.link {
            Link::H1(link) => link.as_ref().map_or("", |link| link.tls_group),
            Link::H2(link) => link.tls_group,
        }
    }
    /// The answer has ended: the connection is free. A lease that is dropped without it closes its HTTP/1 connection.
    pub(crate) fn give_back(&mut self) {
        if let Link::H1(link) = &mut self.link
            && let Some(link) = link.take()
            && !link.is_closed()
            && link.said.fault().is_none()
        {
            self.endpoint.keep_h1(link);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Link::H2(link) = &self.link
            && link.frames.streams.fetch_sub(1, Ordering::Relaxed) == 1
        {
            *lock(&link.idle_since) = Instant::now();
        }
    }
}
