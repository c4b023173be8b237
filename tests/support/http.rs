//! HTTP clients and bodies whose every frame a test sends and sees when it wants to.

use super::within;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A body that is written while it is read.
pub struct Flow(mpsc::Receiver<io::Result<Frame<Bytes>>>);

/// The writing end of a [`Flow`]; dropping it ends the body.
pub struct Pen(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Flow {
    /// A body still to be written.
    pub fn open() -> (Pen, Flow) {
        let (pen, flow) = mpsc::channel(4);
        (Pen(pen), Flow(flow))
    }

    /// No body.
    pub fn none() -> Self {
        Flow::open().1
    }

    /// A body of one frame.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let (pen, flow) = Flow::open();
        // There is room for it.
        let _ = pen.0.try_send(Ok(Frame::data(bytes.into())));
        flow
    }
}

impl Pen {
    /// Writes data; false when nobody reads any more.
    pub async fn data(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(bytes.into()))).await.is_ok()
    }

    /// Writes the trailers and ends.
    pub async fn trailers(self, trailers: HeaderMap) {
        // Whether they are read is what a test is about.
        let _ = self.0.send(Ok(Frame::trailers(trailers))).await;
    }

    /// Breaks off.
    pub async fn cut(self) {
        let _ = self.0.send(Err(io::ErrorKind::BrokenPipe.into())).await;
    }

    /// Waits until nobody reads any more.
    pub async fn given_up(&self) {
        within("the end of reading", self.0.closed()).await;
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

/// An HTTP/2 client in clear text, with prior knowledge.
pub async fn h2(at: SocketAddr) -> http2::SendRequest<Flow> {
    h2_over(TcpStream::connect(at).await.expect("it accepts")).await
}

/// The same over a socket of one's own.
pub async fn h2_over<S>(socket: S) -> http2::SendRequest<Flow>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(1 << 20);
    let (sender, connection) = builder
        .handshake(TokioIo::new(socket))
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

/// An HTTP/1.1 client.
pub async fn h1(at: SocketAddr) -> http1::SendRequest<Flow> {
    let socket = TcpStream::connect(at).await.expect("it accepts");
    let mut builder = http1::Builder::new();
    builder.max_headers(1024).max_header_size(1 << 20);
    let (sender, connection) = builder
        .handshake(TokioIo::new(socket))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    sender
}

/// A request without a body to `orders`.
pub fn get(path: &str) -> Request<Flow> {
    request("GET", path, Flow::none())
}

/// A request to `orders`, in the form that both versions send rightly.
pub fn request(method: &str, path: &str, body: Flow) -> Request<Flow> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://orders{path}"));
    request.body(body).expect("a test asks rightly")
}

/// The same for an HTTP/1.1 connection: origin form, and `Host`.
pub fn as_h1(mut request: Request<Flow>) -> Request<Flow> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .parse();
    *request.uri_mut() = target.expect("it was a target before");
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("orders"));
    request
}

/// The next frame of a body; `None` at its end.
pub async fn frame(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    within("a frame", body.frame()).await
}

/// All of an answer: status, body, trailers.
pub async fn whole(answer: Response<Incoming>) -> Result<(u16, Bytes, HeaderMap), hyper::Error> {
    let status = answer.status().as_u16();
    let body = within("the whole body", answer.into_body().collect()).await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok((status, body.to_bytes(), trailers))
}

/// Header fields, as they are written here.
pub fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    lines.iter().map(line).collect()
}
