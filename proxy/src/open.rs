//! What is open at a listener: who it is and what it did so far, so that somebody can look, and an end can say what it cut.
//!
//! 1. A connection is listed from when it was accepted until its task ends, however it ends.
//! 2. Nothing is counted per request but on its own connection, and nothing per byte under a lock.

use crate::exchange::{CUT_BY_DRAIN, Facts};
use crate::metered::{Metered, Passed};
use crate::version::Version;
use daemon::socket::{Peer, Socket};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

/// The connections of one listener.
#[derive(Default)]
pub(crate) struct Opened(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    /// By age.
    connections: BTreeMap<u64, Arc<Connection>>,
}

/// One connection, as far as it is known.
pub(crate) struct Connection {
    /// From where it came.
    pub(crate) from: Peer,
    /// When.
    pub(crate) since: SystemTime,
    /// Its bytes.
    pub(crate) passed: Arc<Passed>,
    kind: OnceLock<Kind>,
    proven: OnceLock<Proven>,
    /// Why bytes on it are about to be cut, if they are.
    condemned: OnceLock<&'static str>,
}

/// What a connection carries.
pub(crate) enum Kind {
    /// Requests: one at a time, or each in a stream.
    Http(Version, Arc<Facts>),
    /// Bytes, on a `tcp` listener.
    Tcp,
}

/// Who is at its other end: the caller on its way in, the server of a `tcp` listener on its way out.
pub(crate) struct Proven {
    /// Its identity.
    pub(crate) id: Arc<str>,
    /// When its certificate ends.
    pub(crate) not_after: SystemTime,
}

/// Takes a connection off the list when it is dropped.
pub(crate) struct Listed {
    opened: Arc<Opened>,
    id: u64,
    connection: Arc<Connection>,
}

impl Listed {
    /// It carries this.
    pub(crate) fn carries(&self, kind: Kind) {
        let _first = self.connection.kind.set(kind);
    }
    /// Who is at its other end.
    pub(crate) fn proved(&self, proven: Proven) {
        let _first = self.connection.proven.set(proven);
    }
    /// The connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.opened.state().connections.remove(&self.id);
    }
}

impl Connection {
    /// What it carries, once that is known: not while hands are shaken.
    pub(crate) fn kind(&self) -> Option<&Kind> {
        self.kind.get()
    }
    /// Who is at its other end, if that was proved.
    pub(crate) fn proven(&self) -> Option<&Proven> {
        self.proven.get()
    }
    /// It is about to be cut: whatever is still open on it gives this reason, the first that was given.
    pub(crate) fn condemn(&self, reason: &'static str) {
        match self.kind() {
            Some(Kind::Http(_, facts)) => facts.condemn(reason),
            Some(Kind::Tcp) | None => {
                let _first = self.condemned.set(reason);
            }
        }
    }
    /// Why bytes on it that were cut were.
    pub(crate) fn condemned(&self) -> &'static str {
        self.condemned.get().copied().unwrap_or(CUT_BY_DRAIN)
    }
}

impl Opened {
    /// Lists a connection for as long as the guard lives, and counts its bytes.
    pub(crate) fn list(self: &Arc<Self>, socket: Socket, from: Peer) -> (Metered, Listed) {
        let passed = Arc::<Passed>::default();
        let listed = self.enter(from, passed.clone());
        (Metered::new(socket, passed), listed)
    }
    fn enter(self: &Arc<Self>, from: Peer, passed: Arc<Passed>) -> Listed {
        let connection = Arc::new(Connection {
            from,
            since: SystemTime::now(),
            passed,
            kind: OnceLock::new(),
            proven: OnceLock::new(),
            condemned: OnceLock::new(),
        });
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.connections.insert(id, connection.clone());
        Listed {
            opened: self.clone(),
            id,
            connection,
        }
    }
    /// How many there are, and the oldest of them.
    pub(crate) fn oldest(&self, at_most: usize) -> (usize, Vec<Arc<Connection>>) {
        let state = self.state();
        let oldest = state.connections.values().take(at_most).cloned();
        (state.connections.len(), oldest.collect())
    }
    /// What is under way now.
    pub(crate) fn count(&self) -> Busy {
        let mut busy = Busy::default();
        for connection in self.state().connections.values() {
            let (version, facts) = match connection.kind() {
                Some(Kind::Http(version, facts)) => (version, facts),
                Some(Kind::Tcp) => {
                    busy.tcp += 1;
                    continue;
                }
                None => continue,
            };
            let (asked, upgraded) = facts.exchanges();
            busy.upgraded += upgraded;
            match version {
                Version::Http1 => busy.requests += asked,
                Version::Http2 => busy.streams += asked,
            }
        }
        busy
    }
    /// Everything that is under way is about to be cut: the log will say so, with this reason. Returns what is.
    pub(crate) fn condemn(&self, reason: &'static str) -> Busy {
        for connection in self.state().connections.values() {
            connection.condemn(reason);
        }
        self.count()
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is under way, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Requests of HTTP/1.
    pub requests: u64,
    /// Streams of HTTP/2.
    pub streams: u64,
    /// Connections that were upgraded: WebSockets and the like.
    pub upgraded: u64,
    /// Connections on `tcp` listeners.
    pub tcp: u64,
}

impl Busy {
    /// How many in all.
    pub fn total(&self) -> u64 {
        self.requests + self.streams + self.upgraded + self.tcp
    }
}

impl AddAssign for Busy {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.streams += more.streams;
        self.upgraded += more.upgraded;
        self.tcp += more.tcp;
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.requests, "request", "requests"),
            (self.streams, "stream", "streams"),
            (self.upgraded, "upgraded connection", "upgraded connections"),
            (self.tcp, "tcp connection", "tcp connections"),
        ];
        let some: Vec<String> = kinds
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        match some.as_slice() {
            [] => f.write_str("nothing"),
            some => f.write_str(&some.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_told_by_kind_and_what_is_not_is_not() {
        let busy = Busy {
            requests: 1,
            streams: 12,
            upgraded: 0,
            tcp: 2,
        };
        assert_eq!(busy.to_string(), "1 request, 12 streams, 2 tcp connections");
        assert_eq!(Busy::default().to_string(), "nothing");
        assert_eq!(busy.total(), 15);
    }

    #[test]
    fn a_connection_is_counted_for_as_long_as_it_is_listed_and_told_oldest_first() {
        let opened = Arc::new(Opened::default());
        let enter = |uid| {
            let from = Peer::Unix { uid, pid: None };
            opened.enter(from, Arc::default())
        };
        let (first, second, third) = (enter(1), enter(2), enter(3));
        first.carries(Kind::Tcp);
        second.carries(Kind::Tcp);
        assert_eq!(opened.count().tcp, 2, "a third is no more than accepted");
        let (count, oldest) = opened.oldest(2);
        let from: Vec<_> = oldest.iter().map(|it| it.from.to_string()).collect();
        assert_eq!((count, from), (3, vec!["uid 1".to_owned(), "uid 2".into()]));

        drop(first);
        assert_eq!(opened.condemn("why").tcp, 1);
        let condemned = [&second, &third].map(|it| it.connection().condemned());
        assert_eq!(condemned, ["why"; 2]);
        drop((second, third));
        assert_eq!(opened.count(), Busy::default());
        assert_eq!(opened.oldest(2).0, 0);
    }
}
