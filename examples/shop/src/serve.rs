//! Listening: accepts connections until the [`Running`] service is dropped, and serves each as HTTP or as raw TCP.

use crate::seen::{Request, Seen};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) type Answer = hyper::Response<Full<Bytes>>;

/// A service that runs until this is dropped; its open connections end with it.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens: the bound port when 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What really reached it so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The requests that really reached it, oldest first; at most the last 1000.
    pub fn requests_seen(&self) -> Vec<Request> {
        self.seen.requests()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves each connection with `serve`.
pub(crate) fn tcp<F, S>(listener: TcpListener, seen: Arc<Seen>, serve: F) -> io::Result<Running>
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let addr = listener.local_addr()?;
    let counted = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        counted.connection();
                        connections.spawn(serve(socket));
                    }
                    // Out of file descriptors, or a client that left before it was accepted: the next one may fare better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(Running { addr, seen, task })
}

/// Serves HTTP/1.1 and HTTP/2 without TLS; every request is remembered before it is answered.
pub(crate) fn http<F, A>(listener: TcpListener, answer: F) -> io::Result<Running>
where
    F: Fn(hyper::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let seen = Arc::new(Seen::default());
    let remembered = Arc::clone(&seen);
    tcp(listener, seen, move |socket| {
        let (answer, seen) = (answer.clone(), Arc::clone(&remembered));
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            seen.request(as_seen(&request));
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        async move {
            // A connection that breaks concerns its client alone.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    })
}

pub(crate) fn as_seen(request: &hyper::Request<Incoming>) -> Request {
    // A header that came twice is one list (RFC 9110 §5.3): a second one must not go unseen.
    let client_certs: Vec<_> = request
        .headers()
        .get_all("x-forwarded-client-cert")
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    Request {
        method: request.method().to_string(),
        path: request
            .uri()
            .path_and_query()
            .map_or("*", |path| path.as_str())
            .to_owned(),
        client_cert: (!client_certs.is_empty()).then(|| client_certs.join(",")),
    }
}
