//! Servers that end connections while requests are on their way to them: every request is answered or told of, and none is taken
//! for unsent that its server may have seen.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::tests::{listener, upstream};
use super::{Tried, Unanswered, Upstream};
use crate::request_body::RequestBody;
use crate::upstream::How;
use crate::version::Version;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// So many call at a time, for so long.
const CALLERS: usize = 16;
const LASTS: Duration = Duration::from_secs(3);
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often each path came.
type Came = Arc<Mutex<HashMap<String, usize>>>;

fn comes(came: &Came, path: &str) {
    *came.lock().unwrap().entry(path.to_owned()).or_default() += 1;
}

/// Takes every request, and with the first of a connection says what a server says that ends in peace: GOAWAY with a last stream
/// of 2^31-1, and, once that has come, another with the last that it took (RFC 9113 §6.8).
async fn goes_away(socket: TcpStream, came: Came) -> Result<(), h2::Error> {
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
async fn closes(mut socket: TcpStream, came: Came) -> std::io::Result<()> {
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
        match lease.send(request).await {
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
    serve: impl Fn(TcpStream, Came) -> F + Send + 'static,
) -> (usize, Vec<String>, usize)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (listener, address) = listener().await;
    let came = Came::default();
    let remembers = came.clone();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(serve(socket, remembers.clone()));
        }
    });
    let upstream = upstream(address, How::App, Duration::from_secs(60));

    let (next, until) = (Arc::new(AtomicUsize::new(0)), Instant::now() + LASTS);
    let callers = (0..CALLERS).map(|_| {
        let (upstream, next) = (upstream.clone(), next.clone());
        async move {
            let mut unanswered = 0;
            while Instant::now() < until {
                let path = format!("/{}", next.fetch_add(1, Ordering::Relaxed));
                let posting = post(&upstream, version, &path);
                let answered = tokio::time::timeout(PATIENCE, posting).await;
                unanswered += usize::from(!answered.unwrap_or_else(|_| panic!("{path} hangs")));
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
