//! Where the streams of an HTTP/2 connection run: a task each, known to what is under way, so that one of them can be ended
//! alone, also while its peer takes nothing of it; and watched, so that one on which nothing moves is ended, and the others go on.
//!
//! hyper polls a request when its answer can go on, and its body is counted where it is read. A request for which neither happened
//! for `limits.streamIdle` is dropped, which resets its stream. Costs a timer and a small allocation a request.

use crate::activity::Stream;
use crate::exchange::{Facts, STREAM_IDLE};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// So often is looked within the time that nothing may move.
const LOOKS: u32 = 4;

/// Spawns the requests of one connection.
#[derive(Clone)]
pub(crate) struct Streams {
    facts: Arc<Facts>,
    idle: Duration,
}

impl Streams {
    /// Of this connection; nothing may move for so long.
    pub(crate) fn of(facts: &Arc<Facts>, idle: Duration) -> Self {
        facts.watch_streams();
        Self {
            facts: facts.clone(),
            idle,
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let look_every = self.idle / LOOKS;
        let task = match Stream::begun() {
            Some(stream) => tokio::spawn(Watched {
                request,
                look: sleep(look_every),
                look_every,
                facts: self.facts.clone(),
                stream,
                polls: 0,
                seen: (0, 0),
                quiet_looks: 0,
            }),
            // What was upgraded is no request any more.
            None => tokio::spawn(request),
        };
        self.facts.under_way.runs_in(|| task.abort_handle());
    }
}

pin_project! {
    /// One request and its answer.
    struct Watched<F> {
        #[pin]
        request: F,
        #[pin]
        look: Sleep,
        look_every: Duration,
        facts: Arc<Facts>,
        stream: Arc<Stream>,
        polls: u32,
        // How far it was at the last look: polls, and bytes of its body.
        seen: (u32, u64),
        quiet_looks: u32,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while this.look.as_mut().poll(cx).is_ready() {
            let now = (*this.polls, this.stream.uploaded.load(Ordering::Relaxed));
            *this.quiet_looks = if now == *this.seen {
                *this.quiet_looks + 1
            } else {
                0
            };
            // This poll is of our own making.
            *this.seen = (now.0.wrapping_add(1), now.1);
            if *this.quiet_looks >= LOOKS {
                this.stream.is_stalled.store(true, Ordering::Relaxed);
                this.facts
                    .metrics
                    .limited(this.facts.direction, &this.facts.listener, STREAM_IDLE);
                return Poll::Ready(());
            }
            this.look.as_mut().reset(Instant::now() + *this.look_every);
        }
        *this.polls = this.polls.wrapping_add(1);
        this.request.poll(cx)
    }
}
