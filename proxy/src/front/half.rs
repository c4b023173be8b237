//! A client's half of a connection that it may close while it waits for answers.
//!
//! In: that nothing more comes. Out: whether its answers go out all the same, and from then on whether it is still there. hyper
//! knows but one end of what it reads, and ends with it what is under way: it is told of this one only after the last answer.
//!
//! 1. Other sidecars never close one half: at their end what they asked is ended, or whoever gives up would do so for one hop.

use crate::exchange::Facts;
use crate::far_end::{FarEnd, Gone};
use config::sidecar::HalfClose;
use std::task::{Context, Poll, ready};

/// One such half.
pub(super) struct Half {
    means: HalfClose,
    /// Once it is closed and its client waits for answers.
    gone: Option<Gone>,
}

impl Half {
    /// Of a connection that begins.
    pub(super) fn new(means: HalfClose) -> Self {
        Self { means, gone: None }
    }
    /// Whether it was closed by a client that waits.
    pub(super) fn is_closed(&self) -> bool {
        self.gone.is_some()
    }
    /// It is closed while something is under way. Whether its client may wait for that.
    pub(super) fn closes(&mut self, stream: &impl FarEnd, facts: &Facts) -> bool {
        if self.means == HalfClose::Allow && !facts.has_sidecar() {
            // A client that could go unnoticed does not wait.
            self.gone = stream.gone().ok();
        }
        self.is_closed()
    }
    /// Resolves when a client that waited is gone: the half is then as if it were not closed yet, and closes again.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gone) = &mut self.gone else {
            return Poll::Pending;
        };
        ready!(gone.as_mut().poll(cx));
        self.gone = None;
        Poll::Ready(())
    }
    /// Nobody waits any more.
    pub(super) fn is_answered(&mut self) {
        self.gone = None;
    }
}
