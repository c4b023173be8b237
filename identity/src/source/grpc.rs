//! gRPC over a connection that is already there.
//!
//! In: a byte stream to the other side (a unix socket, or TLS). Out: a [`Channel`], which the clients of [`api`] call through.
//! It dials nobody and judges nobody.
//!
//! 1. What the other side can make us hold is bounded: headers by [`HEADERS_BYTES_MAX`], what is on its way by
//!    [`WINDOW_BYTES`]. How large a message may be is the caller's to say.
//! 2. The connection ends with the last handle of its channel; nothing goes on behind it.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::Service;

/// Header fields of one answer at most: a refusal's text is among them.
const HEADERS_BYTES_MAX: u32 = 32 * 1024;

/// What may be on its way to us, of one stream and of the connection.
const WINDOW_BYTES: u32 = 256 * 1024;

/// One HTTP/2 connection on which calls are made. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    sender: http2::SendRequest<Body>,
    _connection: Arc<AbortOnDropHandle<()>>,
}

impl Channel {
    /// Speaks HTTP/2, and nothing else, over `stream`.
    pub(super) async fn over<S>(stream: S) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::shake_hands(stream, http2::Builder::new(TokioExecutor::new())).await
    }

    /// The same, asking the other side whether it is still there whenever it was silent for so long while a call is under way.
    /// Not every server likes to be asked.
    pub(super) async fn asking<S>(stream: S, every: Duration) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(every)
            .keep_alive_timeout(every);
        Self::shake_hands(stream, builder).await
    }

    async fn shake_hands<S>(
        stream: S,
        mut builder: http2::Builder<TokioExecutor>,
    ) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = builder
            .max_header_list_size(HEADERS_BYTES_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = tokio::spawn(async move {
            // Why it ended is told to the calls on it.
            let _ = connection.await;
        });
        Ok(Channel {
            sender,
            _connection: Arc::new(AbortOnDropHandle::new(connection)),
        })
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
