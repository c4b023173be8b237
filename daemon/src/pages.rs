//! Small pages for people, probes and scrapers.
//!
//! In: a listener and a function from a request's head to a [`Page`]. Out: HTTP/1.1, GET and HEAD only; POST and PUT with a body only
//! where [`crate::admin`] knows who asks. Anybody may connect: heads and bodies are bounded in size and time, answers and
//! connections in time, connections in number.
//!
//! 1. Nobody holds a connection longer than 65 seconds, whatever they send or do not read.
//! 2. Nothing is called with a part of a body.
//! 3. Who holds the most connections gives one up to who has fewer: a probe is answered however many somebody else keeps open.
use crate::accept::{self, Incoming};
use crate::drain::Draining;
use crate::places::{Origin, Places};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming as Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

/// How long a head may take to arrive, and a kept connection to be used again.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Far more than a browser sends.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How much a POST may bring: several times a signing request of the greatest size, as JSON.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long making an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// After this long a connection ends with the answer under way.
const AGE_MAX: Duration = Duration::from_secs(60);
/// How long that answer may still take to be read.
const GRACE: Duration = Duration::from_secs(5);
/// How many connections at a time: a few scrapers, probes and people, not a crowd.
const CONNECTIONS_MAX: usize = 256;

/// A request's head.
pub type Request = http::Request<()>;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Page {
    /// A line or more of plain text; its newline is added.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let mut body = text.into();
        body.push('\n');
        Page {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    /// A JSON document.
    pub fn json(document: impl Into<Bytes>) -> Self {
        Page {
            status: StatusCode::OK,
            content_type: "application/json",
            body: document.into(),
        }
    }

    /// There is no such page; names the ones there are.
    pub fn not_found(pages: &[&str]) -> Self {
        Page::text(
            StatusCode::NOT_FOUND,
            format!("no such page; there are {}", pages.join(" ")),
        )
    }
}

/// Serves pages until the drain starts; answers under way are finished.
pub async fn serve<L, A, F>(listener: L, draining: Draining, answer: A)
where
    L: Incoming,
    L::Stream: AsyncRead + AsyncWrite + Unpin,
    L::Peer: Origin,
    A: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    serve_whom(
        listener,
        draining,
        |_| Some(()),
        move |request, ()| look(request, answer.clone()),
    )
    .await;
}

/// An answer on its way out.
pub(crate) type Response = http::Response<Full<Bytes>>;

/// For peers whom `know` knows: each request is answered with what it made of its peer; the others' connections are closed.
pub(crate) async fn serve_whom<L, W, K, A, F>(listener: L, draining: Draining, know: W, answer: A)
where
    L: Incoming,
    L::Stream: AsyncRead + AsyncWrite + Unpin,
    L::Peer: Origin,
    W: Fn(&L::Peer) -> Option<K> + Send,
    K: Copy + Send + Sync + 'static,
    A: Fn(http::Request<Body>, K) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let places = Places::new(CONNECTIONS_MAX);
    let watch = draining.clone();
    accept::run(listener, draining, move |stream, peer| {
        let place = places.take(peer.source());
        let seated = place.and_then(|place| Some((place, know(&peer)?)));
        let (watch, answer) = (watch.clone(), answer.clone());
        async move {
            // Without a place the stream is dropped here: closed at once is an answer too.
            let Some((place, peer)) = seated else { return };
            tokio::select! {
                () = serve_connection(stream, watch, |request| answer(request, peer)) => {}
                () = place.asked_back() => {}
            }
        }
    })
    .await;
}

async fn serve_connection<IO, A, F>(stream: IO, draining: Draining, answer: A)
where
    IO: AsyncRead + AsyncWrite + Unpin,
    A: Fn(http::Request<Body>) -> F,
    F: Future<Output = Response>,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);

    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = draining.started() => None,
        () = sleep(AGE_MAX) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "page connection ended");
    }
}

/// Answers GET and HEAD from the head alone.
pub(crate) async fn look<A, F>(request: http::Request<Body>, answer: A) -> Response
where
    A: Fn(Request) -> F,
    F: Future<Output = Page>,
{
    if !is_look(request.method()) {
        return only("GET, HEAD", "only GET and HEAD");
    }
    let (head, _unread) = request.into_parts();
    in_time(answer(Request::from_parts(head, ()))).await
}

/// Answers GET and HEAD without a body, POST and PUT with their whole one.
pub(crate) async fn call<A, F>(request: http::Request<Body>, answer: A) -> Response
where
    A: Fn(http::Request<Bytes>) -> F,
    F: Future<Output = Page>,
{
    let (head, body) = request.into_parts();
    let body = match &head.method {
        method if is_look(method) => Ok(Bytes::new()),
        &Method::POST | &Method::PUT => whole(body).await,
        _ => return only("GET, HEAD, POST, PUT", "only GET, HEAD, POST and PUT"),
    };
    match body {
        Ok(body) => in_time(answer(http::Request::from_parts(head, body))).await,
        Err(refused) => response(refused),
    }
}

fn is_look(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// All of a body, or the page that says why not.
async fn whole(body: Body) -> Result<Bytes, Page> {
    let read = timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let (status, why) = match read {
        Ok(Ok(body)) => return Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {BODY_BYTES_MAX} bytes; send less"),
        ),
        Ok(Err(error)) => (
            StatusCode::BAD_REQUEST,
            format!("the body is not whole: {error}; send it again"),
        ),
        Err(_) => (
            StatusCode::REQUEST_TIMEOUT,
            format!("no whole body within {} s", BODY_WITHIN.as_secs()),
        ),
    };
    Err(Page::text(status, why))
}

fn only(methods: &'static str, why: &str) -> Response {
    let mut refused = response(Page::text(StatusCode::METHOD_NOT_ALLOWED, why));
    refused
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

async fn in_time(answered: impl Future<Output = Page>) -> Response {
    let page = timeout(ANSWER_WITHIN, answered).await;
    response(page.unwrap_or_else(|_| {
        Page::text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        )
    }))
}

fn response(page: Page) -> Response {
    let mut response = http::Response::new(Full::new(page.body));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{bind, drain};
    use config::Address;
    use std::future::pending;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    async fn answer(request: Request) -> Page {
        match request.uri().path() {
            "/" => Page::text(StatusCode::OK, "hello"),
            "/never" => pending().await,
            "/big" => Page::text(StatusCode::OK, "x".repeat(1 << 20)),
            _ => Page::not_found(&["/"]),
        }
    }

    /// A connection being served; the drain must be kept.
    fn dial() -> (DuplexStream, drain::Drain) {
        let (ours, theirs) = duplex(4096);
        let (drain, draining) = drain::pair();
        let watch = draining.clone();
        draining.track(async move { serve_connection(theirs, watch, |r| look(r, answer)).await });
        (ours, drain)
    }

    /// All that comes back where POST is served.
    async fn post(request: &str) -> String {
        let (mut ours, theirs) = duplex(1 << 20);
        let (drain, draining) = drain::pair();
        let watch = draining.clone();
        let echo = |request: http::Request<Bytes>| async move {
            let shown = format!("{} {} bytes", request.method(), request.body().len());
            Page::text(StatusCode::OK, shown)
        };
        draining.track(async move { serve_connection(theirs, watch, |r| call(r, echo)).await });
        ours.write_all(request.as_bytes()).await.unwrap();
        let mut all = String::new();
        ours.read_to_string(&mut all).await.unwrap();
        drop(drain);
        all
    }

    async fn check_post(head: &str, body: &str, status: &str, ending: &str) {
        let answer = post(&format!(
            "{head} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}"
        ))
        .await;
        let line = answer.lines().next();
        assert_eq!(line, Some(&*format!("HTTP/1.1 {status}")), "{head}");
        assert!(answer.ends_with(ending), "{head}: {answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_post_is_answered_with_its_whole_body_or_refused() {
        let body =
            |length: usize| format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length));
        check_post("POST /", &body(0), "200 OK", "\nPOST 0 bytes\n").await;
        check_post("GET /", "\r\n", "200 OK", "\nGET 0 bytes\n").await;
        let full = format!("\nPOST {BODY_BYTES_MAX} bytes\n");
        check_post("POST /", &body(BODY_BYTES_MAX), "200 OK", &full).await;
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        check_post("POST /", chunked, "200 OK", "\nPOST 3 bytes\n").await;

        let large = format!("the body has more than {BODY_BYTES_MAX} bytes; send less\n");
        let too_large = "413 Payload Too Large";
        check_post("POST /", &body(BODY_BYTES_MAX + 1), too_large, &large).await;
        let slow = "no whole body within 10 s\n";
        let unfinished = "Content-Length: 3\r\n\r\nab";
        check_post("POST /", unfinished, "408 Request Timeout", slow).await;
        let put = "\nPUT 1 bytes\n";
        check_post("PUT /", &body(1), "200 OK", put).await;
        let only = "only GET, HEAD, POST and PUT\n";
        check_post("DELETE /", &body(1), "405 Method Not Allowed", only).await;
    }

    /// All that comes back on these bytes until the connection ends.
    async fn exchange(request: &str) -> String {
        let (mut stream, _drain) = dial();
        // An answer may come, and the connection end, before all of it is written.
        let _written_or_refused = stream.write_all(request.as_bytes()).await;
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    async fn check(request: &str, status_line: &str, ending: &str) {
        let answer = exchange(&format!(
            "{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
        .await;
        assert_eq!(answer.lines().next(), Some(status_line), "{request}");
        assert!(answer.ends_with(ending), "{request}: {answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn pages_answer_get_and_head_and_nothing_else() {
        check("GET /", "HTTP/1.1 200 OK", "\r\n\r\nhello\n").await;
        check("HEAD /", "HTTP/1.1 200 OK", "\r\n\r\n").await;
        check(
            "GET /x",
            "HTTP/1.1 404 Not Found",
            "\r\n\r\nno such page; there are /\n",
        )
        .await;
        check(
            "POST /",
            "HTTP/1.1 405 Method Not Allowed",
            "\r\n\r\nonly GET and HEAD\n",
        )
        .await;
        check(
            "GET /never",
            "HTTP/1.1 503 Service Unavailable",
            "\r\n\r\nno answer within 5 s\n",
        )
        .await;
        let head = exchange("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(head.contains("content-length: 6\r\n"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_head_slowly_is_cut() {
        let (mut stream, _drain) = dial();
        let began = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaa" {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let _rest = stream.read_to_end(&mut Vec::new()).await;
        assert!(
            began.elapsed() < HEAD_WITHIN + Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_or_does_not_read_is_cut() {
        for request in ["", "GET /big HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let (mut stream, drain) = dial();
            stream.write_all(request.as_bytes()).await.unwrap();
            let began = Instant::now();
            while drain.open() > 0 {
                sleep(Duration::from_secs(1)).await;
            }
            assert!(
                began.elapsed() <= AGE_MAX + GRACE + Duration::from_secs(1),
                "{:?}",
                began.elapsed()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_headers_is_refused() {
        let flood = "x".repeat(4 * HEAD_BYTES_MAX);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {flood}\r\n\r\n");
        let answer = timeout(Duration::from_secs(30), exchange(&request)).await;
        assert!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 431 ")));
    }

    #[tokio::test]
    async fn a_crowd_is_turned_away_and_a_place_that_was_left_is_free() {
        let (drain, draining) = drain::pair();
        let address = Address::Tcp {
            host: "127.0.0.1".into(),
            port: 0,
        };
        let listener = bind::listen(&address).await.unwrap();
        let address = listener.local_addr();
        draining.track(serve(listener, draining.clone(), answer));
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }

        let mut one_more = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            one_more.read(&mut [0]).await.unwrap(),
            0,
            "closed without a word"
        );

        crowd.clear();
        while drain.open() > 1 {
            tokio::task::yield_now().await;
        }
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 12];
        next.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_probe_is_answered_however_many_connections_somebody_else_keeps_open() {
        let (_drain, draining) = drain::pair();
        let address = Address::parse("127.0.0.1:0").unwrap();
        let listener = bind::listen(&address).await.unwrap();
        let address = listener.local_addr();
        draining.track(serve(listener, draining.clone(), answer));
        let mut crowd = Vec::new();
        for _ in 0..CONNECTIONS_MAX + 50 {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }

        let probe = tokio::net::TcpSocket::new_v4().unwrap();
        probe.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut probe = probe.connect(address).await.unwrap();
        probe
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();

        let mut start = [0; 12];
        probe.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }

    #[tokio::test]
    async fn a_kept_connection_ends_when_the_drain_starts() {
        let (mut stream, drain) = dial();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");

        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
    }
}
