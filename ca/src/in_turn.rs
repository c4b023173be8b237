//! The calls of one connection, worked on by the connection's own task.
//!
//! In: what hyper would have spawned. Out: a future that drives the connection and its calls in turn. An answer is then written in
//! one go with its trailers, no call wakes another thread to be sent, and a connection takes one processor at most.
//!
//! 1. With the connection end its calls: what they asked the store for is recorded or not, as when a client goes away.

use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::rt::Executor;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts the calls that have begun.
#[derive(Clone, Default)]
pub(crate) struct Begun(Arc<Mutex<Vec<Call>>>);

impl Begun {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Begun {
    fn execute(&self, call: F) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push(Box::pin(call));
    }
}

/// A connection with its calls.
pub(crate) struct InTurn<C> {
    connection: Pin<Box<C>>,
    begun: Begun,
    calls: FuturesUnordered<Call>,
}

impl<C> InTurn<C> {
    /// The connection must have been given this place for its calls.
    pub(crate) fn new(connection: C, begun: Begun) -> Self {
        InTurn {
            connection: Box::pin(connection),
            begun,
            calls: FuturesUnordered::new(),
        }
    }

    /// The connection, to be told something.
    pub(crate) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future> Future for InTurn<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        loop {
            // Calls before the connection, so that it writes what they said.
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {}
            if let Poll::Ready(ended) = self.connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            let begun = self.begun.take();
            if begun.is_empty() {
                return Poll::Pending;
            }
            self.calls.extend(begun);
        }
    }
}

/// A call knows the place of its kind, so what is left there would keep itself.
impl<C> Drop for InTurn<C> {
    fn drop(&mut self) {
        drop(self.begun.take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::future::{pending, poll_fn};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_call_that_begins_in_a_poll_is_worked_on_in_the_same_poll() {
        let begun = Begun::default();
        let (say, mut said) = oneshot::channel();
        let (place, mut say) = (begun.clone(), Some(say));
        let connection = poll_fn(move |_| {
            if let Some(say) = say.take() {
                place.execute(async move { say.send(()).unwrap() });
            }
            Poll::<()>::Pending
        });
        let mut serving = InTurn::new(connection, begun);

        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut serving).poll(cx))).await;

        assert!(polled.is_pending());
        assert_eq!(said.try_recv(), Ok(()));
    }

    #[tokio::test]
    async fn with_the_connection_end_its_calls_also_those_that_were_never_polled() {
        let begun = Begun::default();
        let (held, mut gone) = oneshot::channel::<()>();
        let serving = InTurn::new(pending::<()>(), begun.clone());
        // As hyper's: a call knows where its kind is put.
        let own = begun.clone();
        begun.execute(async move {
            let _kept = (held, own);
            pending::<()>().await;
        });

        drop((serving, begun));

        assert_eq!(gone.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
