//! The end of a connection of which its peer does not know yet.
//!
//! A socket that is closed with something unread in it resets the connection, and what its peer writes after that fails: before it
//! has read our last word, which is there and worth nothing then. So only our half is closed, and what still comes is thrown
//! away until the peer closes too, for as long as a round trip and a lost packet take.

use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// So long a peer may take to close.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// How far such an end is; until when it is waited for the peer.
#[derive(Default)]
pub(super) struct Last(Option<Pin<Box<Sleep>>>);

impl Last {
    /// Closes our half, and waits.
    pub(super) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let until = match &mut self.0 {
            Some(until) => until,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                self.0.insert(Box::pin(sleep(CLOSES_WITHIN)))
            }
        };
        while until.as_mut().poll(cx).is_pending() {
            let mut bytes = [0; 1024];
            let mut unread = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut unread));
            if read.is_err() || unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
