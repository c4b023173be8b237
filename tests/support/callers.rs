//! Callers without a pause through one outbound listener, of every kind that apps have, and what each of them saw fail.
//!
//! Every POST has a path of its own, so that those who were asked can be compared with what was asked: none may come twice.

use super::PATIENCE;
use super::client::Client;
use super::http::{Flow, as_h1, fields, h1, h2, request};
use super::until;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Method, Request, Response};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two bursts: the connections of one are quiet until the next.
const BURSTS: Duration = Duration::from_millis(400);
/// Messages of one stream, each written when the one before was answered.
const MESSAGES: usize = 10;

/// Calls until it is stopped.
pub struct Callers {
    tally: Arc<Tally>,
    tasks: JoinSet<()>,
}

/// What all of them saw.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    next: AtomicU64,
    answered: AtomicU64,
    streams: AtomicU64,
    sockets: AtomicU64,
    posted: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Told {
    /// Calls that were answered.
    pub answered: u64,
    /// Streams that came to their end.
    pub streams: u64,
    /// WebSockets that were opened.
    pub sockets: u64,
    /// The POSTs that were answered.
    pub posted: Vec<String>,
    /// What failed.
    pub failed: Vec<String>,
}

impl Tally {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
    fn failed(&self, what: String) {
        self.failed.lock().expect("no caller panics").push(what);
    }
    /// A GET, or a POST that there is once.
    fn next(&self, kind: &str) -> Request<Flow> {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        let path = format!("/{kind}/{nth}");
        match nth % 2 {
            0 => request("GET", &path, Flow::none()),
            _ => {
                let mut post = request("POST", &path, Flow::of("buy one"));
                post.headers_mut()
                    .extend(fields(&[("content-length", "7")]));
                post
            }
        }
    }
    /// Awaits an answer and judges it.
    async fn judge(
        &self,
        what: &str,
        (path, is_post): (String, bool),
        answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    ) {
        let came = tokio::time::timeout(PATIENCE, async {
            let answer = answer.await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = answer.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| format!("in the body: {error:?}"))?;
            let said = head.headers.get("proxy-status").cloned();
            match head.status.as_u16() {
                200 => Ok(body.trailers().cloned()),
                status => Err(format!("{status} {said:?}")),
            }
        });
        match came.await.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(_) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                if is_post {
                    self.posted.lock().expect("no caller panics").push(path);
                }
            }
            Err(why) => self.failed(format!("{what} {path}: {why}")),
        }
    }
}

impl Callers {
    /// Four HTTP/1 connections and bursts of four on others, four callers on one HTTP/2 connection, two that stream on
    /// another as gRPC does, and two WebSockets.
    pub async fn start(at: SocketAddr) -> Self {
        let tally = Arc::<Tally>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            tasks.spawn(over_h1(tally.clone(), at, PAUSE));
            tasks.spawn(over_h1(tally.clone(), at, BURSTS));
        }
        let (sender, streaming) = (h2(at).await, h2(at).await);
        for _ in 0..4 {
            tasks.spawn(over_h2(tally.clone(), sender.clone()));
        }
        for _ in 0..2 {
            tasks.spawn(streams(tally.clone(), streaming.clone()));
            tasks.spawn(websockets(tally.clone(), at));
        }
        Callers { tally, tasks }
    }

    /// Waits until so many more calls were answered.
    pub async fn more(&self, calls: u64) {
        let answered = || self.tally.answered.load(Ordering::Relaxed);
        let wanted = answered() + calls;
        until("more calls", async || (answered() >= wanted).then_some(())).await;
    }

    /// Stops; what came of all calls.
    pub async fn end(mut self) -> Told {
        self.tally.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no caller panics");
        }
        let tally = &self.tally;
        let all = |list: &Mutex<Vec<String>>| list.lock().expect("no caller panics").clone();
        Told {
            answered: tally.answered.load(Ordering::Relaxed),
            streams: tally.streams.load(Ordering::Relaxed),
            sockets: tally.sockets.load(Ordering::Relaxed),
            posted: all(&tally.posted),
            failed: all(&tally.failed),
        }
    }
}

async fn over_h1(tally: Arc<Tally>, at: SocketAddr, pause: Duration) {
    let mut sender = h1(at).await;
    while tally.runs() {
        if sender.ready().await.is_err() {
            sender = h1(at).await;
        }
        let request = tally.next("h1");
        let named = (
            request.uri().path().to_owned(),
            request.method() == Method::POST,
        );
        tally
            .judge("HTTP/1", named, sender.send_request(as_h1(request)))
            .await;
        tokio::time::sleep(pause).await;
    }
}

async fn over_h2(tally: Arc<Tally>, mut sender: http2::SendRequest<Flow>) {
    while tally.runs() {
        let request = tally.next("h2");
        let named = (
            request.uri().path().to_owned(),
            request.method() == Method::POST,
        );
        tally
            .judge("HTTP/2", named, sender.send_request(request))
            .await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn streams(tally: Arc<Tally>, mut sender: http2::SendRequest<Flow>) {
    while tally.runs() {
        let nth = tally.next.fetch_add(1, Ordering::Relaxed);
        let path = format!("/stream/{nth}");
        match tokio::time::timeout(PATIENCE, stream(&mut sender, &path)).await {
            Ok(Ok(())) => {
                tally.streams.fetch_add(1, Ordering::Relaxed);
                tally.posted.lock().expect("no caller panics").push(path);
            }
            Ok(Err(why)) => tally.failed(format!("stream {path}: {why}")),
            Err(_) => tally.failed(format!("stream {path}: it stands still")),
        }
    }
}

/// One call that streams both ways, to its status.
async fn stream(sender: &mut http2::SendRequest<Flow>, path: &str) -> Result<(), String> {
    let (pen, flow) = Flow::open();
    let mut call = request("POST", path, flow);
    call.headers_mut().extend(fields(&[
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]));
    pen.data("0").await;
    let answer = sender
        .send_request(call)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let said = format!("{} {:?}", answer.status(), answer.headers());
    let mut body = answer.into_body();
    for message in 0..MESSAGES {
        let frame = body
            .frame()
            .await
            .ok_or_else(|| format!("it ended: {said}"))?;
        let frame = frame.map_err(|error| format!("at message {message}: {error:?}"))?;
        let data = frame
            .into_data()
            .map_err(|_| format!("trailers at message {message}: {said}"))?;
        if data != message.to_string() {
            return Err(format!("{data:?} at message {message}"));
        }
        tokio::time::sleep(PAUSE).await;
        if message + 1 < MESSAGES {
            pen.data((message + 1).to_string()).await;
        }
    }
    drop(pen);
    let rest = body
        .collect()
        .await
        .map_err(|error| format!("at its end: {error:?}"))?;
    let status = rest
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status").cloned());
    match status.as_ref().map(|status| status.as_bytes()) {
        Some(b"0") => Ok(()),
        _ => Err(format!("its status is {status:?}")),
    }
}

/// One WebSocket after the other: each goes on until its server ends it, and the next is there at once.
async fn websockets(tally: Arc<Tally>, at: SocketAddr) {
    const ASK: &[u8] =
        b"GET /talk HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    while tally.runs() {
        let asked = Instant::now();
        let mut client = Client::connect(at).await;
        let opened = async {
            client.send(ASK).await?;
            client.answer().await
        };
        match opened.await {
            Ok(answer) if answer.status == 101 => {}
            other => {
                tally.failed(format!("WebSocket: {other:?}"));
                continue;
            }
        }
        let took = asked.elapsed();
        if took > Duration::from_secs(2) {
            tally.failed(format!("WebSocket: opened after {took:?}"));
        }
        tally.sockets.fetch_add(1, Ordering::Relaxed);
        while tally.runs() {
            match echo(&mut client).await {
                Ok(echoed) if echoed == b"ping" => {}
                Ok(other) => tally.failed(format!("WebSocket: {other:?} came back")),
                // It ended; whether it had to is told by how often that happened.
                Err(_) => break,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn echo(client: &mut Client<TcpStream>) -> std::io::Result<Vec<u8>> {
    client.send(b"ping").await?;
    client.bytes(4).await
}
