//! Connections kept for the next request.
//!
//! HTTP/1: a stack per endpoint, last in first out, so that few stay warm. HTTP/2: few connections per endpoint, the one
//! with the fewest streams is taken, another is dialled when all are full. Dialling is shared: a burst on an empty
//! HTTP/2 pool makes one connection, or fails with one failure.

mod choice;
mod rest;
mod judged;
mod h1;
mod framed;
mod driven;
mod h2;
mod endpoint;
mod lease;
mod set;
mod seen;
mod upstream;

use super::DialError;
use crate::clock;
use crate::headers::Bound;
use crate::trail;
use config::Endpoint as Written;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub(crate) use judged::{RESPONSE_HEAD_TOO_LARGE, RESPONSE_TRAILERS_TOO_LARGE, SWITCHED_UNASKED};
pub(crate) use lease::{Lease, Unanswered};
pub(crate) use seen::{AddressSeen, Seen};
pub(crate) use upstream::{Tried, Upstream};

/// Bounds and addresses of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConfig {
    /// The service's name; empty for an app.
    pub(crate) service: Arc<str>,
    /// Where it is reached.
    pub(crate) endpoints: Vec<Written>,
    /// Bytes of a response head.
    pub(crate) header_bytes: usize,
    /// Fields of a response head.
    pub(crate) headers: usize,
    /// Time to connect.
    pub(crate) connect: Duration,
    /// Time to shake hands.
    pub(crate) handshake: Duration,
    /// A kept connection is closed after this long without a request. Below the peer's own bound, so that we close first.
    pub(crate) idle: Duration,
    /// How long what is open runs on after an identity on its connection has ended.
    pub(crate) after_expiry: Duration,
}

/// This long before a leaf on it ends, a connection is no longer used: clocks differ, and a request that arrives a moment too
/// late is refused.
const ENDING: Duration = Duration::from_secs(2);

/// Poisoning means that a panic happened elsewhere while pushing or popping: the list itself is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No new request starts on a connection whose peer's or own leaf has ended, or will have when the request arrives.
fn is_ending(ends: Option<SystemTime>, now: SystemTime) -> bool {
    ends.is_some_and(|ends| ends <= now + ENDING)
}

impl UpstreamConfig {
    /// How large heads and trailers may be.
    pub(crate) fn bound(&self) -> Bound {
        Bound {
            bytes: self.header_bytes,
            fields: self.headers,
        }
    }
    /// The same of what a peer's sidecar, or an app, answers.
    fn answers(&self, is_of_peer: bool) -> Bound {
        let bound = self.bound();
        match is_of_peer {
            true => Bound {
                bytes: bound.bytes + trail::BYTES,
                fields: bound.fields + trail::FIELDS,
            },
            false => bound,
        }
    }
    /// When what is open on a connection is ended, if its identities end.
    fn cut_at(&self, ends: Option<SystemTime>) -> Option<SystemTime> {
        clock::cut_at(ends?, self.after_expiry)
    }
}

fn broken(error: hyper::Error) -> DialError {
    DialError::Connect(std::io::Error::other(error))
}

#[cfg(test)]
mod leaving_tests;
#[cfg(test)]
mod tests;
