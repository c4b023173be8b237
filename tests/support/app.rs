//! Apps behind a sidecar, in clear text, that remember what really reached them.

use super::http::{Flow, Pen};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Where nothing listens.
pub fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// An app that answers at once with a head, and with a body that comes out of the channel to be written.
pub async fn app_of_pens() -> (HttpApp, mpsc::Receiver<Pen>) {
    let (calling, calls) = mpsc::channel(16);
    let app = HttpApp::serving(move |_| {
        let calling = calling.clone();
        async move {
            let (pen, flow) = Flow::open();
            calling.send(pen).await.expect("the test still runs");
            Response::new(flow)
        }
    })
    .await;
    (app, calls)
}

/// A request as the app saw it, whole.
#[derive(Clone, Debug)]
pub struct Seen {
    pub version: Version,
    pub method: String,
    /// Path and query, or `*`.
    pub target: String,
    /// What its target names besides, as it does on HTTP/2.
    pub authority: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An HTTP/1.1 and h2c server.
pub struct HttpApp {
    /// Where it listens.
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    begun: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl HttpApp {
    /// Answers every request with 200 and the request's own body.
    pub async fn start() -> Self {
        Self::answering(|seen| Response::new(Full::new(seen.body.clone()))).await
    }

    /// Answers as told, once the whole request is there.
    pub async fn answering(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let (remembered, begun) = (Arc::clone(&seen), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&begun);
        let (addr, task) = serve(move |socket| {
            let (seen, answer) = (Arc::clone(&remembered), Arc::clone(&answer));
            let counted = Arc::clone(&counted);
            let service = service_fn(move |request: Request<Incoming>| {
                counted.fetch_add(1, Ordering::Relaxed);
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                async move {
                    let request = whole(request).await?;
                    let response = answer(&request);
                    seen.lock().expect("no app panics").push(request);
                    Ok::<_, hyper::Error>(response)
                }
            });
            async move {
                // A connection that a test cuts is no mistake of the app.
                let _ = server()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            }
        })
        .await;
        HttpApp {
            addr,
            seen,
            begun,
            task,
        }
    }

    /// Answers as told, from the first byte of the request on: the answer is written as the test writes it. Remembers nothing.
    pub async fn serving<S, B>(
        answer: impl Fn(Request<Incoming>) -> S + Send + Sync + 'static,
    ) -> Self
    where
        S: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error = std::io::Error> + Send + 'static,
    {
        let answer = Arc::new(answer);
        let (addr, task) = serve(move |socket| {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, std::io::Error>(answer.await) }
            });
            async move {
                // A connection that a test cuts is no mistake of the app.
                let _ = server()
                    .serve_connection_with_upgrades(TokioIo::new(socket), service)
                    .await;
            }
        })
        .await;
        HttpApp {
            addr,
            seen: Arc::default(),
            begun: Arc::default(),
            task,
        }
    }

    /// How many requests came to it, also such as broke off; of [`HttpApp::serving`] nothing is known.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Everything that reached it whole, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no app panics").clone()
    }
}

impl Drop for HttpApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes larger heads than any sidecar lets through.
pub(super) fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().max_headers(1024);
    server
        .http2()
        .max_header_list_size(1 << 20)
        .enable_connect_protocol();
    server
}

async fn whole(request: Request<Incoming>) -> Result<Seen, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?;
    Ok(Seen {
        version: head.version,
        method: head.method.to_string(),
        target: head
            .uri
            .path_and_query()
            .map_or("*", |target| target.as_str())
            .to_owned(),
        authority: head
            .uri
            .authority()
            .map_or("", |authority| authority.as_str())
            .to_owned(),
        headers: head.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    })
}

/// A TCP server that gives back what it gets, and ends a connection when its client has ended its half.
pub struct EchoApp {
    /// Where it listens.
    pub addr: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl EchoApp {
    /// Says `banner` (which may be empty) before it listens to anything.
    pub async fn start(banner: &'static str) -> Self {
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let (addr, task) = serve(move |socket| {
            let counts = Arc::clone(&counted);
            async move {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                // A connection that a test cuts is no mistake of the app.
                let _ = echo(socket, banner, &counts).await;
            }
        })
        .await;
        EchoApp { addr, counts, task }
    }

    /// Connections that reached it.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes that reached it.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for EchoApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(mut socket: TcpStream, banner: &str, counts: &Counts) -> std::io::Result<()> {
    socket.write_all(banner.as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return socket.shutdown().await,
            n => {
                counts.bytes.fetch_add(n as u64, Ordering::Relaxed);
                socket.write_all(&buffer[..n]).await?;
            }
        }
    }
}

/// Accepts until the task is aborted; connections end with it.
async fn serve<S>(
    connection: impl Fn(TcpStream) -> S + Send + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let addr = listener
        .local_addr()
        .expect("a bound socket has an address");
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(connection(socket));
        }
    });
    (addr, task)
}
