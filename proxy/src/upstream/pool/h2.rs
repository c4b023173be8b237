//! One connection over HTTP/2: many requests at a time.

use super::driven::{Sender, Tasks, drive};
use super::framed::{Framed, Said};
use super::{UpstreamConfig, broken};
use crate::believed::Believed;
use crate::clock::Passed;
use crate::front::Blocks;
use crate::upstream::{Connected, DialError, Disbelief, Ending, Open};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Small enough to bound what one slow stream holds, large enough not to throttle a fast one on a local network.
const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// A connection that requests share.
pub(super) struct H2 {
    pub(super) sender: Sender,
    /// When its last stream ended, while it has none.
    pub(super) idle_since: Mutex<Instant>,
    pub(super) tls_group: &'static str,
    pub(super) ends: Option<SystemTime>,
    pub(super) cut_at: Option<SystemTime>,
    pub(super) disbelief: Disbelief,
    pub(super) server: Option<Arc<Believed>>,
    /// What its server's frames said, and how many requests use it.
    pub(super) frames: Arc<Said>,
    _open: Open,
}

/// Speaks HTTP/2 on a new connection.
pub(super) async fn start(
    connected: Connected,
    config: &UpstreamConfig,
) -> Result<Arc<H2>, DialError> {
    let to_peer = connected.peer.is_some();
    let header_bytes = config.answers(to_peer).bytes;
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
    let (io, watching) = Framed::new(io, header_bytes);
    let frames = watching.said.clone();
    let (tasks, mut first) = Tasks::new();
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(Blocks::listed_max(header_bytes))
        .max_send_buf_size(256 * 1024);
    if to_peer {
        // Apps take pings for abuse (too_many_pings cuts streams); peers of ours expect them.
        builder
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
    }
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(broken)?;
    let reads_and_writes = first.try_recv().map_err(std::io::Error::other);
    let reads_and_writes = reads_and_writes.map_err(DialError::Connect)?;
    let sender = Sender::new(sender);
    tokio::spawn(drive(
        connection,
        reads_and_writes,
        sender.closing(),
        watching,
    ));
    Ok(Arc::new(H2 {
        sender,
        idle_since: Mutex::new(Instant::now()),
        tls_group,
        ends,
        cut_at,
        disbelief,
        server,
        frames,
        _open: open,
    }))
}
