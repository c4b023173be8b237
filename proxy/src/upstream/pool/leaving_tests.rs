//! Servers that end connections while requests are on their way to them: every request is answered or told of, and none is taken
//! for unsent that its server may have seen.
//!
//! Over unix sockets: connections that end by the thousand would fill the kernel's tables of those over TCP.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::tests::upstream_at;
use super::{Tried, Unanswered, Upstream};
use crate::request_body::RequestBody;
use crate::spelled::Spelled;
use crate::upstream::How;
use crate::version::Version;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// So many call at a time, for so long.
const CALLERS: usize = 16;
const LASTS: Duration = Duration::from_secs(3);
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often each path came.
type Came = Arc<Mutex<HashMap<String, usize>>>;

/// A place of its own, and an upstream that leads there.
fn at_a_socket() -> (TempDir, UnixListener, Arc<Upstream>) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = format!("unix:{}", path.display());
    let upstream = upstream_at(&endpoint, How::App, Duration::from_secs(60));
    (dir, listener, upstream)
}

fn comes(came: &Came, path: &str) {
    *came.lock().unwrap().entry(path.to_owned()).or_default() += 1;
}

/// Takes every request, and with the first of a connection says what a server says that ends in peace: GOAWAY with a last stream
/// of 2^31-1, and, once that has come, another with the last that it took (RFC 9113 §6.8).
async fn goes_away(socket: UnixStream, came: Came) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(socket).await?;
    while let Some(next) = connection.accept().await {
        let (request, mut respond) = next?;
        comes(&came, request.uri().path());
        connection.graceful_shutdown();
        // It may be reset already.
        let _ = respond.send_response(http::Response::new(()), true);
    }
    Ok(())
}

/// Takes one request over HTTP/1, answers it, and closes without a word.
async fn closes(mut socket: UnixStream, came: Came) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8(head).unwrap();
    comes(&came, head.split(' ').nth(1).unwrap());
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(answer).await
}

/// Sends a POST until it is answered, or may have been seen; whether it was answered.
async fn post(upstream: &Upstream, version: Version, path: &str) -> bool {
    loop {
        let mut request = http::Request::new(RequestBody::none());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = format!("http://orders{path}").parse().unwrap();
        let leased = upstream.lease(version, &Tried::default()).await;
        let mut lease = leased.map_err(|refusal| refusal.reason).unwrap();
        let sending =
            tokio::time::timeout(PATIENCE, lease.send(request, &Spelled::default())).await;
        match sending.map_err(|_| format!("{path} hangs")).unwrap() {
            Ok(_) => {
                lease.give_back();
                return true;
            }
            Err(Unanswered::Unsent(_) | Unanswered::Unprocessed(_)) => {}
            Err(Unanswered::Sent(_)) => return false,
        }
    }
}

/// Calls without a pause; how many POSTs came, which of them twice, and how many of those that were made had no answer.
async fn calls<F>(
    version: Version,
    serve: impl Fn(UnixStream, Came) -> F + Send + 'static,
) -> (usize, Vec<String>, usize)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (_dir, listener, upstream) = at_a_socket();
    let came = Came::default();
    let remembers = came.clone();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(serve(socket, remembers.clone()));
        }
    });

    let (next, until) = (Arc::new(AtomicUsize::new(0)), Instant::now() + LASTS);
    let callers = (0..CALLERS).map(|_| {
        let (upstream, next) = (upstream.clone(), next.clone());
        async move {
            let mut unanswered = 0;
            while Instant::now() < until {
                let path = format!("/{}", next.fetch_add(1, Ordering::Relaxed));
                unanswered += usize::from(!post(&upstream, version, &path).await);
            }
            unanswered
        }
    });
    let unanswered = callers.collect::<JoinSet<usize>>().join_all().await;

    serving.abort();
    let came = came.lock().unwrap();
    let twice = came.iter().filter(|(_, times)| **times > 1);
    let twice: Vec<_> = twice.map(|(path, _)| path.clone()).collect();
    let unanswered = unanswered.iter().sum();
    println!("{version:?}: {} came, {unanswered} unanswered", came.len());
    (came.len(), twice, unanswered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_post_to_a_server_that_says_goaway_comes_once_and_is_answered() {
    let (came, twice, unanswered) = calls(Version::Http2, goes_away).await;

    assert!(twice.is_empty(), "of {came}: {twice:?}");
    assert_eq!(unanswered, 0, "of {came}");
    assert!(came > 100, "{came}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_post_to_a_server_that_closes_comes_once_and_its_caller_is_told_of_it() {
    let (came, twice, _) = calls(Version::Http1, closes).await;

    assert!(twice.is_empty(), "of {came}: {twice:?}");
    assert!(came > 100, "{came}");
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()[..]];
    [&head.concat(), payload].concat()
}

/// Its kind and its stream.
async fn read_frame(socket: &mut UnixStream) -> std::io::Result<(u8, u32)> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await?;
    let [a, b, c, kind, _, s1, s2, s3, s4] = head;
    let length = u32::from_be_bytes([0, a, b, c]);
    socket.read_exact(&mut vec![0; length as usize]).await?;
    Ok((kind, u32::from_be_bytes([s1, s2, s3, s4])))
}

/// Takes one stream at a time, and counts the heads that come. The first waits until it is told to, then says that it will end,
/// and answers; all others are answered at once.
async fn takes_one(
    mut socket: UnixStream,
    heads: Arc<AtomicUsize>,
    may_answer: Arc<Notify>,
) -> std::io::Result<()> {
    socket.read_exact(&mut [0; 24]).await?;
    let at_most_one = [0, 3, 0, 0, 0, 1];
    socket.write_all(&frame(4, 0, 0, &at_most_one)).await?;
    loop {
        let (kind, stream) = read_frame(&mut socket).await?;
        if kind != 1 {
            continue;
        }
        let is_first = heads.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first {
            may_answer.notified().await;
            let notice = frame(7, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
            socket.write_all(&notice).await?;
        }
        // `:status: 200`, from HPACK's static table.
        socket.write_all(&frame(1, 5, stream, &[0x88])).await?;
    }
}

/// One thread: whatever is ready has run when this has been passed over a few times.
async fn all_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_stream_is_sent_once_and_answered_when_the_server_says_that_it_will_end()
 {
    let (_dir, listener, upstream) = at_a_socket();
    let (heads, may_answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counts, waits) = (heads.clone(), may_answer.clone());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(takes_one(socket, counts.clone(), waits.clone()));
        }
    });
    let posting = |path: &'static str| {
        let upstream = upstream.clone();
        tokio::spawn(async move { post(&upstream, Version::Http2, path).await })
    };

    let first = posting("/1");
    while heads.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let second = posting("/2");
    all_run().await;
    may_answer.notify_one();

    let answered = (first.await.unwrap(), second.await.unwrap());
    all_run().await;
    assert_eq!((answered, heads.load(Ordering::Relaxed)), ((true, true), 2));
}
