//! Constant traffic by every way, which remembers what failed and when.

use super::app::{EchoApp, HttpApp};
use super::client::Client;
use super::http::{Flow, as_h1, frame, get, h1, h2, request, whole};
use super::until;
use http_body_util::BodyExt;
use http_body_util::combinators::MapErr;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(10);

/// Apps that give back what they get, byte by byte, and remember with which certificates they were called.
pub struct Apps {
    pub web: HttpApp,
    pub db: EchoApp,
    callers: Arc<Mutex<BTreeSet<String>>>,
}

impl Apps {
    pub async fn start() -> Self {
        let callers = Arc::new(Mutex::new(BTreeSet::new()));
        let told = Arc::clone(&callers);
        let web = HttpApp::serving(move |request| {
            let xfcc = request.headers().get("x-forwarded-client-cert");
            let xfcc = xfcc.and_then(|xfcc| xfcc.to_str().ok()).unwrap_or_default();
            locked(&told).insert(xfcc.to_owned());
            async { answer(request) }
        });
        Apps {
            web: web.await,
            db: EchoApp::start("").await,
            callers,
        }
    }

    /// Under how many certificates it was called.
    pub fn certificates(&self) -> usize {
        locked(&self.callers).len()
    }
}

type Echoed = MapErr<Incoming, fn(hyper::Error) -> io::Error>;

/// The request's own body; where another protocol is asked for, that, and its bytes given back.
fn answer(mut request: Request<Incoming>) -> Response<Echoed> {
    let asks = request.headers().get(UPGRADE).cloned();
    let upgrading = asks.is_some().then(|| hyper::upgrade::on(&mut request));
    let body: Echoed = request.into_body().map_err(io::Error::other);
    let mut answer = Response::new(body);
    if let (Some(asked), Some(upgrading)) = (asks, upgrading) {
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(UPGRADE, asked);
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        tokio::spawn(async move {
            let Ok(upgraded) = upgrading.await else {
                return;
            };
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
            // One that a test cuts is no mistake of the app.
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
    answer
}

/// A failure: what, and when.
pub type Failed = (String, SystemTime);

/// Calls without an end, until it is stopped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<Failed>>>,
    cut: Arc<Mutex<Vec<Failed>>>,
    callers: JoinSet<()>,
}

/// What all callers share.
#[derive(Clone)]
struct Shared {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<Failed>>>,
    cut: Arc<Mutex<Vec<Failed>>>,
}

impl Shared {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
    async fn answered(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    async fn failed(&self, what: String) {
        locked(&self.failed).push((what, SystemTime::now()));
        tokio::time::sleep(PAUSE).await;
    }
    fn cut(&self, what: &str) {
        if self.runs() {
            locked(&self.cut).push((what.to_owned(), SystemTime::now()));
        }
    }
}

impl Traffic {
    /// Four HTTP/1 connections, four callers on one of HTTP/2, one long stream and one long connection of bytes, and one
    /// connection of bytes after another, through these listeners.
    pub async fn start(http: SocketAddr, db: SocketAddr) -> Self {
        let shared = Shared {
            stop: Arc::default(),
            done: Arc::default(),
            failed: Arc::default(),
            cut: Arc::default(),
        };
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            callers.spawn(over_h1(shared.clone(), http));
        }
        let sender = h2(http).await;
        for _ in 0..4 {
            callers.spawn(over_h2(shared.clone(), sender.clone()));
        }
        callers.spawn(long_stream(shared.clone(), sender));
        callers.spawn(long_bytes(shared.clone(), db));
        callers.spawn(short_bytes(shared.clone(), db));
        let Shared {
            stop,
            done,
            failed,
            cut,
        } = shared;
        Traffic {
            stop,
            done,
            failed,
            cut,
            callers,
        }
    }

    /// Waits until so many more calls were answered.
    pub async fn more(&self, calls: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + calls;
        until("more calls", async || {
            (self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// What failed so far of the short ones.
    pub fn failed(&self) -> Vec<Failed> {
        locked(&self.failed).clone()
    }

    /// Which of the long ones were cut so far.
    pub fn cut(&self) -> Vec<Failed> {
        locked(&self.cut).clone()
    }

    /// Stops; how many calls were answered.
    pub async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.shutdown().await;
        self.done.load(Ordering::Relaxed)
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("no caller panics")
}

/// Whether an answer is 200, or which it is.
async fn judged(answer: hyper::Result<Response<Incoming>>) -> Result<(), String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let ours = answer.headers().get("proxy-status").cloned();
    match whole(answer).await.map_err(|error| error.to_string())? {
        (200, ..) => Ok(()),
        (status, ..) => Err(format!("{status} {ours:?}")),
    }
}

async fn over_h1(shared: Shared, at: SocketAddr) {
    let mut sender = h1(at).await;
    while shared.runs() {
        match judged(sender.send_request(as_h1(get("/h1"))).await).await {
            Ok(()) => shared.answered().await,
            Err(why) => shared.failed(format!("HTTP/1: {why}")).await,
        }
        if sender.ready().await.is_err() {
            sender = h1(at).await;
        }
    }
}

async fn over_h2(shared: Shared, mut sender: hyper::client::conn::http2::SendRequest<Flow>) {
    while shared.runs() {
        match judged(sender.send_request(get("/h2")).await).await {
            Ok(()) => shared.answered().await,
            Err(why) => shared.failed(format!("HTTP/2: {why}")).await,
        }
    }
}

async fn long_stream(shared: Shared, mut sender: hyper::client::conn::http2::SendRequest<Flow>) {
    let (pen, flow) = Flow::open();
    let answer = sender.send_request(request("POST", "/stream", flow)).await;
    let mut answer = answer.expect("a stream can be opened").into_body();
    loop {
        let written = pen.data("ping").await;
        let came = frame(&mut answer).await;
        let data = came.and_then(Result::ok).and_then(|it| it.into_data().ok());
        if !written || data.as_deref() != Some(b"ping") {
            return shared.cut("the long stream");
        }
        shared.answered().await;
    }
}

async fn ping<S>(client: &mut Client<S>) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    client.send(b"ping").await?;
    match client.bytes(4).await?.as_slice() {
        b"ping" => Ok(()),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

async fn long_bytes(shared: Shared, at: SocketAddr) {
    let mut client = Client::connect(at).await;
    while ping(&mut client).await.is_ok() {
        shared.answered().await;
    }
    shared.cut("the long connection");
}

async fn short_bytes(shared: Shared, at: SocketAddr) {
    while shared.runs() {
        let mut client = Client::connect(at).await;
        match ping(&mut client).await {
            Ok(()) => shared.answered().await,
            Err(why) => shared.failed(format!("bytes: {why}")).await,
        }
    }
}
