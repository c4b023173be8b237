//! An agent that says what a test tells it to, byte by byte.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// Listens until it is dropped; what it accepted ends with it.
pub struct Agent {
    calls: UnboundedReceiver<Call>,
    _tasks: JoinSet<()>,
}

/// A call of `FetchX509SVID` that waits for what it is told.
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    frames: UnboundedSender<Frame<Bytes>>,
}

struct Frames(UnboundedReceiver<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

impl Agent {
    /// Takes over the path from whoever was there.
    pub fn at(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("a socket of a test");
        let (told, calls) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let told = told.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (frames, body) = unbounded_channel();
                    let call = Call {
                        path: request.uri().path().to_owned(),
                        headers: request.headers().clone(),
                        frames,
                    };
                    // Nobody waits for a call any more when the test is over.
                    let _ = told.send(call);
                    let reply = Response::builder().header("content-type", "application/grpc");
                    async move { reply.body(Frames(body)) }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Agent {
            calls,
            _tasks: tasks,
        }
    }

    /// The next call that comes in.
    pub async fn call(&mut self) -> Call {
        self.calls.recv().await.expect("the listener lives as long")
    }
}

impl Call {
    /// Bytes as they are.
    pub fn bytes(&self, bytes: impl Into<Bytes>) {
        // The other side may have gone away, which is its right.
        let _ = self.frames.send(Frame::data(bytes.into()));
    }

    /// A whole message.
    pub fn message(&self, message: &impl Message) {
        self.bytes(framed(&message.encode_to_vec()));
    }

    /// The end, with a status.
    pub fn status(self, code: i32, text: &str) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.into());
        trailers.insert("grpc-message", text.parse().expect("a header's text"));
        let _ = self.frames.send(Frame::trailers(trailers));
    }
}

/// A message as gRPC has it on the wire.
pub fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).expect("a message of a test"));
    bytes.put_slice(message);
    bytes.freeze()
}
