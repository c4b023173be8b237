//! One connection over HTTP/1: one request at a time.

use super::judged::{Judged, Said};
use super::{UpstreamConfig, broken};
use crate::believed::Believed;
use crate::clock::Passed;
use crate::request_body::RequestBody;
use crate::upstream::{Connected, DialError, Disbelief, Ending, Open};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// An HTTP/1 connection's sending half.
pub(super) struct H1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
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
        .preserve_header_case(true)
        .max_headers(bound.fields)
        .max_header_size(bound.bytes)
        .max_buf_size(bound.bytes.max(16 * 1024));
    let (sender, connection) = builder
        .handshake::<TokioIo<Judged<Ending>>, RequestBody>(TokioIo::new(io))
        .await
        .map_err(broken)?;
    // The connection ends by itself when its sender is dropped; what ended it shows in the request it was carrying.
    tokio::spawn(connection.with_upgrades());
    Ok(H1 {
        sender,
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
