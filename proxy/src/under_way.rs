//! The requests that are under way on one connection: what each was permitted for, and how to end it.
//!
//! In: a request when it is permitted, the task that serves it if it has one of its own, its end. Out: those that a later
//! snapshot forbids, ended, and each with its reason for when it is told.
//!
//! 1. A request is known here from its permission until its answer has ended and all of its body was passed on.
//! 2. It costs a request two looks into a list of its own connection, one more on HTTP/2 and to a peer; the list grows to the most that were
//!    under way at a time, until the connection rests.
//! 3. Nothing is ended under the lock: what ends tells this list of it.

use crate::believed::Believed;
use crate::over::Over;
use crate::whom::Whom;
use http::{HeaderValue, Method, Uri};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::{AbortHandle, Id};

/// What a request was permitted for.
#[derive(Clone)]
pub(crate) struct Claim {
    /// The number of the snapshot that permitted it.
    pub(crate) permitted_by: u64,
    /// Its method.
    pub(crate) method: Method,
    /// Its target.
    pub(crate) uri: Uri,
    /// The authority that it names.
    pub(crate) host: Option<HeaderValue>,
    /// To whom it goes, on an outbound listener.
    pub(crate) to: Option<Arc<Whom>>,
    /// The endpoint that it must go to, as it is written, once it is bytes to one.
    pub(crate) endpoint: Option<Arc<str>>,
    /// The server that it goes to, once there is a connection.
    pub(crate) server: Option<Arc<Believed>>,
}

/// The body of a request, which may outlive the answer.
pub(crate) trait Upload: Send + Sync {
    /// Whether all of it was passed on, or given up.
    fn has_ended(&self) -> bool;
    /// It has this place from now on: to be given back at its end.
    fn takes(&self, place: Place);
    /// Ends it: nothing more of it is passed on.
    fn cut(&self);
}

/// A request's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// What is under way on one connection.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<State>);

#[derive(Default)]
struct State {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// The request that came last, and in which task: the next that this task spawns serves it.
    fresh: Option<(usize, Id)>,
}

struct Entry {
    claim: Claim,
    runs: Runs,
    over: Option<Over>,
}

/// What has to be ended to end a request.
#[derive(Clone)]
enum Runs {
    /// The connection: it serves one at a time.
    Connection,
    /// Its task.
    Task(AbortHandle),
    /// What is left of it: its body.
    Body(Arc<dyn Upload>),
}

impl UnderWay {
    /// A request was permitted, in the task of its connection.
    pub(crate) fn enter(&self, claim: Claim) -> Place {
        let mut state = self.state();
        let entry = Some(Entry {
            claim,
            runs: Runs::Connection,
            over: None,
        });
        let at = match state.free.pop() {
            Some(at) => {
                state.entries[at] = entry;
                at
            }
            None => {
                state.entries.push(entry);
                state.entries.len() - 1
            }
        };
        state.fresh = tokio::task::try_id().map(|task| (at, task));
        Place(at)
    }
    /// The connection's task spawned this one, to serve the request that it permitted just before, if it did.
    pub(crate) fn runs_in(&self, task: impl FnOnce() -> AbortHandle) {
        let mut state = self.state();
        match state.fresh {
            // A stream of its own task may spawn too: that is not what serves the last request.
            Some((at, spawner)) if tokio::task::try_id() == Some(spawner) => {
                state.fresh = None;
                if let Some(Some(entry)) = state.entries.get_mut(at) {
                    entry.runs = Runs::Task(task());
                }
            }
            Some(_) | None => {}
        }
    }
    /// What a request was permitted for.
    pub(crate) fn claim(&self, place: Place) -> Option<Claim> {
        let state = self.state();
        let entry = state.entries.get(place.0)?.as_ref()?;
        Some(entry.claim.clone())
    }
    /// Where a request goes is known by now. The number of the snapshot that permitted it.
    pub(crate) fn goes(
        &self,
        place: Place,
        server: Option<&Arc<Believed>>,
        endpoint: Option<&Arc<str>>,
    ) -> Option<u64> {
        let mut state = self.state();
        let claim = &mut state.entries.get_mut(place.0)?.as_mut()?.claim;
        claim.server = server.cloned();
        claim.endpoint = endpoint.cloned();
        Some(claim.permitted_by)
    }
    /// A request was answered or given up; its body keeps the place as long as it is passed on. Why it was ended here, if it was.
    pub(crate) fn leave(&self, place: Place, body: Option<Arc<dyn Upload>>) -> Option<Over> {
        let mut state = self.state();
        let entry = state.entries.get_mut(place.0)?.as_mut()?;
        match body {
            Some(body) if entry.over.is_none() && !body.has_ended() => {
                body.takes(place);
                entry.runs = Runs::Body(body);
                None
            }
            Some(_) | None => state.remove(place),
        }
    }
    /// The body of a request has ended. `place` is asked for here, so that it is either still the request's or already the body's.
    pub(crate) fn body_ended(&self, place: impl FnOnce() -> Option<Place>) {
        let mut state = self.state();
        if let Some(place) = place() {
            state.remove(place);
        }
    }
    /// Asks of each whether it may stay, and ends those that may not. Whether the connection itself has to end for that.
    pub(crate) fn judge(&self, mut stays: impl FnMut(&Claim) -> Result<(), Over>) -> bool {
        let mut ended = Vec::new();
        for entry in self.state().entries.iter_mut().flatten() {
            if entry.over.is_none()
                && let Err(over) = stays(&entry.claim)
            {
                entry.over = Some(over);
                ended.push(entry.runs.clone());
            }
        }
        let mut connection = false;
        for runs in ended {
            match runs {
                Runs::Connection => connection = true,
                Runs::Task(task) => task.abort(),
                Runs::Body(body) => body.cut(),
            }
        }
        connection
    }
    /// Gives its room back, while nothing is under way.
    pub(crate) fn rest(&self) {
        let mut state = self.state();
        if state.entries.iter().all(Option::is_none) {
            *state = State::default();
        }
    }
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that happens under this lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, place: Place) -> Option<Over> {
        let entry = self.entries.get_mut(place.0)?.take()?;
        self.free.push(place.0);
        if self.fresh.is_some_and(|(at, _)| at == place.0) {
            self.fresh = None;
        }
        entry.over
    }
}
