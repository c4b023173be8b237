//! A gate that another listener may take over while it listens, so that nobody who calls meanwhile is refused.
//!
//! 1. At any moment one listener accepts from a gate at most: who takes it over comes after who had it.
//! 2. The gate closes when the last loop that accepts from it has ended.

use daemon::accept::Incoming;
use daemon::bind::Gate;
use daemon::socket::{Peer, Socket};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use tokio_util::sync::CancellationToken;

/// What a loop accepts from.
pub(crate) struct Held {
    gate: Arc<Gate>,
    passed_on: CancellationToken,
}

/// What may be taken from that loop.
pub(crate) struct Hold {
    gate: Weak<Gate>,
    passed_on: CancellationToken,
}

impl Held {
    /// A gate that nobody accepts from yet.
    pub(crate) fn new(gate: Gate) -> Self {
        Self {
            gate: Arc::new(gate),
            passed_on: CancellationToken::new(),
        }
    }
    /// By which it may be taken.
    pub(crate) fn hold(&self) -> Hold {
        Hold {
            gate: Arc::downgrade(&self.gate),
            passed_on: self.passed_on.clone(),
        }
    }
    /// Its port, if it has one.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.gate.local_addr()
    }
}

impl Hold {
    /// Its loop accepts nobody any more: who calls waits.
    pub(crate) fn stop(&self) {
        self.passed_on.cancel();
    }
    /// The gate, for another loop; `None`: it is closed.
    pub(crate) fn take(&self) -> Option<Held> {
        let gate = self.gate.upgrade()?;
        self.stop();
        Some(Held {
            gate,
            passed_on: CancellationToken::new(),
        })
    }
    /// Whether it can be taken.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.strong_count() > 0
    }
}

impl Incoming for Held {
    type Stream = Socket;
    type Peer = Peer;
    async fn next(&self) -> io::Result<(Socket, Peer)> {
        tokio::select! {
            biased;
            () = self.passed_on.cancelled() => std::future::pending().await,
            next = self.gate.next() => next,
        }
    }
    fn name(&self) -> String {
        self.gate.name()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use config::Address;
    use std::time::Duration;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    #[tokio::test]
    async fn who_called_before_a_gate_was_taken_over_is_accepted_after() {
        let address = Address::parse("127.0.0.1:0").unwrap();
        let first = Held::new(Gate::listen(&address).await.unwrap());
        let (hold, at) = (first.hold(), first.local_addr().unwrap());
        hold.stop();
        let caller = TcpStream::connect(at).await.unwrap();
        let never = timeout(Duration::from_millis(20), first.next()).await;
        assert!(never.is_err(), "its loop accepts nobody any more");

        let second = hold.take().unwrap();
        drop(first);
        let (_, from) = second.next().await.unwrap();
        assert_eq!(from, Peer::Tcp(caller.local_addr().unwrap()));
        drop(second);
        assert!(!hold.is_open() && hold.take().is_none());
        assert!(TcpStream::connect(at).await.is_err());
    }
}
