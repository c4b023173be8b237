//! One connection over HTTP/1: one request at a time.

use super::judged::{Judged, Said};
use super::{UpstreamConfig, broken};
use crate::believed::Believed;
use crate::clock::Passed;
use crate::request_body::RequestBody;
use crate::upstream::{Connected, DialError, Disbelief, Ending, Open};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// An HTTP/1 connection's sending half.
pub(super) struct H1 {
    /// `None`: its connection has ended.
    sender: Option<SendRequest<RequestBody>>,
    ended: oneshot::Receiver<Infallible>,
    pub(super) tls_group: &'static str,
    pub(super) ends: Option<SystemTime>,
    pub(super) cut_at: Option<SystemTime>,
    pub(super) disbelief: Disbelief,
    pub(super) server: Option<Arc<Believed>>,
    _open: Open,
    /// Whether a byte came since its last request was sent.
    pub(super) heard: Arc<AtomicBool>,
    /// What it sends, and what is wrong with what comes.
    pub(super) said: Arc<Said>,
}

/// What comes of a request that was handed to a connection.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

impl H1 {
    /// Whether it takes no request any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(SendRequest::is_closed)
    }
    /// Whether it takes one now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.as_ref().is_some_and(SendRequest::is_ready)
    }
    /// Waits until it takes one; whether it will.
    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        }
    }
    /// Sends a request and awaits the response head; gives it back where the connection has ended.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Sent, Request<RequestBody>> {
        let Some(sender) = &mut self.sender else {
            return Err(request);
        };
        let mut sending = pin!(sender.try_send_request(request));
        tokio::select! {
            biased;
            sent = sending.as_mut() => return Ok(sent),
            _ = &mut self.ended => {}
        }
        // One that was sent just as its connection ended may lie where nobody looks until nobody can send one any more.
        self.sender = None;
        Ok(sending.await)
    }
}

/// Speaks HTTP/1 on a new connection.
pub(super) async fn start(connected: Connected, config: &UpstreamConfig) -> Result<H1, DialError> {
    let bound = config.answers(connected.peer.is_some());
    let Connected {
        io,
        server,
        ends,
        tls_group,
        open,
        ..
    } = connected;
    let cut_at = config.cut_at(ends);
    let disbelief = Disbelief::default();
    let io = Ending::new(io, Passed::at(cut_at), disbelief.clone());
    let heard = io.heard();
    let (io, said) = Judged::new(io, bound);
    let mut builder = http1::Builder::new();
    builder
        .max_headers(bound.fields)
        .max_header_size(bound.bytes)
        .max_buf_size(bound.bytes.max(16 * 1024));
    let (sender, connection) = builder
        .handshake::<TokioIo<Judged<Ending>>, RequestBody>(TokioIo::new(io))
        .await
        .map_err(broken)?;
    let (alive, ended) = oneshot::channel();
    tokio::spawn(async move {
        // It ends by itself when its sender is dropped; what ended it shows in the request that it was carrying.
        let _ = connection.with_upgrades().await;
        drop(alive);
    });
    Ok(H1 {
        sender: Some(sender),
        ended,
        tls_group,
        ends,
        cut_at,
        disbelief,
        server,
        _open: open,
        heard,
        said,
    })
}
