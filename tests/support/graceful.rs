//! An app that runs as a process of its own, and ends as a good one does: told to, it takes no new connection, answers what it
//! has begun, says on every connection that it closes, and exits when all are closed.
//!
//! It gives back what it gets. It prints a line when it listens, and one for each POST that it took.

use super::app::server;
use super::http::{Flow, fields};
use super::process::Lines;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where the process of such an app listens.
const AT: &str = "COUNTERSIGN_TEST_APP";
/// So long a request takes: some are always under way.
const TAKES: Duration = Duration::from_millis(3);
/// A connection on which nothing is under way is closed this long after the app was told: a request may just be coming.
const LINGERS: Duration = Duration::from_millis(500);

/// This very test program as such an app: of all tests, the one of that name, which is to call [`serve_if_asked`].
pub fn command(test: &str, at: SocketAddr) -> Command {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut command = Command::new(program);
    command
        .args([test, "--exact", "--nocapture", "--quiet"])
        .env(AT, at.to_string());
    command
}

/// The POSTs that an app took, from what it printed.
pub fn took(printed: &Lines) -> Vec<String> {
    let taken = |line: String| Some(line.split_once("app took ")?.1.trim().to_owned());
    printed.so_far().into_iter().filter_map(taken).collect()
}

/// Serves until SIGTERM, in the process that [`command`] starts; in any other it returns at once.
pub fn serve_if_asked() {
    let Some(at) = std::env::var_os(AT) else {
        return;
    };
    let at = at.into_string().ok().and_then(|at| at.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads can be started");
    runtime.block_on(serve(at.expect("an address")));
}

async fn serve(at: SocketAddr) {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    let listener = TcpListener::bind(at).await.expect("its place is free");
    println!("app listens");
    let (told, open) = (CancellationToken::new(), TaskTracker::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted.expect("it has room");
                open.spawn(connection(socket, told.clone(), open.clone()));
            }
            _ = terminate.recv() => break,
        }
    }
    // Who has connected already is served: what was sent to a connection that nobody accepts is lost.
    while let Ok(Ok((socket, _))) = timeout(Duration::ZERO, listener.accept()).await {
        open.spawn(connection(socket, told.clone(), open.clone()));
    }
    drop(listener);
    told.cancel();
    open.close();
    open.wait().await;
}

async fn connection(socket: TcpStream, told: CancellationToken, open: TaskTracker) {
    let ends = told.clone();
    let service = service_fn(move |request| {
        let (told, open) = (told.clone(), open.clone());
        async move { Ok::<_, Infallible>(answer(request, told, open).await) }
    });
    let server = server();
    let connection = server.serve_connection_with_upgrades(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // One that its peer cuts is no mistake of the app.
        _ = connection.as_mut() => return,
        () = ends.cancelled() => {}
    }
    if timeout(LINGERS, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    told: CancellationToken,
    open: TaskTracker,
) -> Response<Flow> {
    if request.headers().contains_key(UPGRADE) {
        let upgrading = hyper::upgrade::on(&mut request);
        open.spawn(async move {
            if let Ok(upgraded) = upgrading.await {
                talk(TokioIo::new(upgraded), told).await;
            }
        });
        return switched(request.headers()[UPGRADE].clone());
    }
    if request.method() == Method::POST {
        println!("app took {}", request.uri().path());
    }
    if request.uri().path().starts_with("/stream") {
        return streamed(request.into_body());
    }
    let body = request.into_body().collect().await;
    tokio::time::sleep(TAKES).await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer = Response::new(Flow::of(body));
    if told.is_cancelled() {
        // HTTP/2 has another word for it, and hyper leaves this one out there.
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn switched(to: HeaderValue) -> Response<Flow> {
    let mut answer = Response::new(Flow::none());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(UPGRADE, to);
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer
}

/// Gives back bytes; when the app is told to end, those that it has, and then closes.
async fn talk(mut with: TokioIo<hyper::upgrade::Upgraded>, told: CancellationToken) {
    let mut buffer = [0; 1024];
    loop {
        let read = tokio::select! {
            biased;
            read = with.read(&mut buffer) => read,
            () = told.cancelled() => break,
        };
        match read {
            Ok(count) if count > 0 && with.write_all(&buffer[..count]).await.is_ok() => {}
            _ => return,
        }
    }
    // It may be gone.
    let _ = with.shutdown().await;
}

/// As gRPC streams: a frame for a frame, and a status in the trailers.
fn streamed(mut body: Incoming) -> Response<Flow> {
    let (pen, flow) = Flow::open();
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let Some(data) = frame.ok().and_then(|frame| frame.into_data().ok()) else {
                return pen.cut().await;
            };
            pen.data(data).await;
        }
        pen.trailers(fields(&[("grpc-status", "0")])).await;
    });
    Response::new(flow)
}
