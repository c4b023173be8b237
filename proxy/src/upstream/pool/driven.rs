//! hyper's two tasks of one connection over HTTP/2, the one that opens streams and the one that reads and writes, run as one.
//!
//! hyper opens a stream, and then asks h2 whether the connection still stands. Where the other task may take a GOAWAY in between,
//! also one that takes nothing back, the request fails as if its stream had been refused, and its head goes out nevertheless.
//! So:
//!
//! 1. Nothing is read of a connection while a stream is opened: a request that fails with the server's GOAWAY is above the last
//!    stream that it names, or was never given one.
//! 2. When no stream is opened any more, nobody can ask for one either. A channel of tokio's whose receiver is dropped while
//!    something is put into it may keep that until its last sender is gone: a request in it is answered only then.

use super::framed::{Framed, Watching};
use super::lock;
use crate::request_body::RequestBody;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::client::conn::http2::{Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// A task of hyper's.
type Task = BoxFuture<'static, ()>;

/// Runs the tasks of a connection but for the first, which hyper hands over as it begins: that one reads and writes.
#[derive(Clone)]
pub(super) struct Tasks(Arc<Mutex<Option<oneshot::Sender<Task>>>>);

impl Tasks {
    /// Of one connection; where the first of them comes.
    pub(super) fn new() -> (Self, oneshot::Receiver<Task>) {
        let (first, reads_and_writes) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(first)))), reads_and_writes)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        match lock(&self.0).take() {
            // Where nobody takes it the connection ends with it.
            Some(first) => drop(first.send(task.boxed())),
            None => drop(tokio::spawn(task)),
        }
    }
}

/// By which requests are sent on a connection, as long as it takes any.
#[derive(Debug)]
pub(super) struct Sender(Arc<Mutex<Option<SendRequest<RequestBody>>>>);

/// Closes it; does not keep its connection open.
pub(super) struct Closing(Weak<Mutex<Option<SendRequest<RequestBody>>>>);

impl Sender {
    /// Of a connection that takes some.
    pub(super) fn new(sender: SendRequest<RequestBody>) -> Self {
        Self(Arc::new(Mutex::new(Some(sender))))
    }
    /// For one request; `None`: it takes no more. Not to be held until that is answered: see invariant 2.
    pub(super) fn get(&self) -> Option<SendRequest<RequestBody>> {
        lock(&self.0).clone()
    }
    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).as_ref().is_none_or(SendRequest::is_closed)
    }
    /// By which it is closed.
    pub(super) fn closing(&self) -> Closing {
        Closing(Arc::downgrade(&self.0))
    }
}

impl Closing {
    fn close(&self) {
        let sender = self.0.upgrade().and_then(|sender| lock(&sender).take());
        drop(sender);
    }
}

/// Drives a connection to its end; why it ended shows in the requests that it was carrying.
pub(super) async fn drive<S>(
    mut opens: Connection<TokioIo<Framed<S>>, RequestBody, Tasks>,
    reads_and_writes: Task,
    closing: Closing,
    watching: Watching,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Watching { said, mut settled } = watching;
    let mut reads_and_writes = Some(reads_and_writes);
    let mut is_settled = false;
    let ended = poll_fn(|cx| {
        // It comes first: what it opens is written at once, and a server that sends without a pause does not hold it up.
        let opened = opens.poll_unpin(cx);
        if opened.is_ready() {
            return opened;
        }
        if let Some(task) = &mut reads_and_writes
            && task.poll_unpin(cx).is_ready()
        {
            // What it holds of the connection ends with it: the other hears of that.
            reads_and_writes = None;
            cx.waker().wake_by_ref();
        }
        if !is_settled && Pin::new(&mut settled).poll(cx).is_ready() {
            is_settled = true;
            let offers = opens.is_extended_connect_protocol_enabled();
            said.offers_connect.send_replace(Some(offers));
            let max = opens.current_max_send_streams();
            said.streams_max.store(max, Ordering::Relaxed);
        }
        if said.will_end() {
            // What was asked for already is sent; then it ends by itself.
            closing.close();
        }
        Poll::Pending
    })
    .await;
    drop(opens);
    closing.close();
    if !is_settled {
        // Who waits for its settings waits no longer.
        said.offers_connect.send_replace(Some(false));
    }
    if let Err(error) = ended {
        tracing::debug!(%error, "an upstream connection opens no more streams");
    }
    // Those that are under way go on.
    if let Some(task) = reads_and_writes {
        task.await;
    }
}
