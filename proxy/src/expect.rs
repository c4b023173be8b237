//! `Expect: 100-continue`, end to end: the app decides whether it wants a body, not the first hop that would carry it.
//!
//! In: a request of HTTP/1 whose caller waits with its body. Out: a [`Gate`] before that body, which the upstream's `100
//! Continue` opens. A final answer leaves it shut: then the body is never asked for, and the caller is never told to go on. The
//! server's side says `100 Continue` when the body is first asked for.
//!
//! Callers do not wait for ever (RFC 9110 §10.1.1), and some apps never say it: after [`PATIENCE`] the gate opens by itself.
//! hyper passes no interim answer on HTTP/2: there a body goes when its caller sends it.

use crate::answer::{Cause, Refusal};
use crate::ordered;
use http::{HeaderMap, Request, Version, header};
use http_body::Body;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// How long a body waits for an app that says nothing: as long as curl does. Counted from when the upstream was asked.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said.
    Waiting,
    /// The final answer came: the body is not wanted.
    Answered,
    /// The body goes, if it is still there.
    Open,
}

type Shared = Arc<watch::Sender<State>>;

/// Lets only `100-continue` through, once. RFC 9110 §10.1.1 lets a server answer 417 to every other expectation: readers that do not
/// agree on whether a body is waited for do not agree on where the next request begins. Of HTTP/1.0 it is ignored, and so goes
/// no further.
pub(crate) fn look(version: Version, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut expected = headers.get_all(header::EXPECT).iter();
    match (expected.next(), expected.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if version == Version::HTTP_10 => {
            ordered::remove(headers, |name| *name == header::EXPECT);
            Ok(())
        }
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(CONTINUE) => Ok(()),
        _ => Err(Refusal::unsent(Cause::Expectation, "unknown_expectation")),
    }
}

const CONTINUE: &[u8] = b"100-continue";

/// What stands before a body.
pub(crate) struct Gate(Pin<Box<dyn Future<Output = ()> + Send>>);

/// What keeps it shut.
pub(crate) struct Latch(Shared);

/// The upstream's `100 Continue`.
pub(crate) struct Word(Shared);

impl Word {
    /// It was said.
    pub(crate) fn say(&self) {
        turn(&self.0, State::Open);
    }
}

impl Gate {
    /// Before the body of this request, if its caller waits with that. Costs nothing for a request without a body.
    pub(crate) fn before<B: Body>(request: &Request<B>) -> Option<(Self, Latch)> {
        if request.body().is_end_stream() {
            return None;
        }
        let expected = request.headers().get(header::EXPECT)?;
        if !expected.as_bytes().eq_ignore_ascii_case(CONTINUE) {
            return None;
        }
        let state = Arc::new(watch::Sender::new(State::Waiting));
        let latch = Latch(state.clone());
        Some((Self(Box::pin(opens(state))), latch))
    }
    /// Whether it is open. Not to be asked again once it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

async fn opens(state: Shared) {
    let mut seen = state.subscribe();
    let said = seen.wait_for(|state| *state != State::Waiting);
    if tokio::time::timeout(PATIENCE, said).await.is_err() {
        turn(&state, State::Open);
    }
    // Whoever could open it is held here.
    let _ = seen.wait_for(|state| *state == State::Open).await;
}

/// Only what waits is turned.
fn turn(state: &Shared, to: State) -> bool {
    state.send_if_modified(|state| {
        let waits = *state == State::Waiting;
        if waits {
            *state = to;
        }
        waits
    })
}

impl Latch {
    /// How it is opened.
    pub(crate) fn word(&self) -> Word {
        Word(self.0.clone())
    }
    /// The final answer came. Whether the body was not asked for before that, and so never will be.
    pub(crate) fn answered(&self) -> bool {
        turn(&self.0, State::Answered)
    }
    /// The answer has gone to its caller: whoever waits at the gate is let through, to find that there is nothing, if this is
    /// true.
    pub(crate) fn give_up(&self) -> bool {
        self.0.send_replace(State::Open) != State::Open
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn there_is_one_expectation_and_none_in_http_1_0() {
        let check = |version, said: &[&'static str], expected: Result<usize, &str>| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(header::EXPECT, HeaderValue::from_static(value));
            }
            let seen = look(version, &mut headers).map_err(|refusal| refusal.reason);
            let left = seen.map(|()| headers.len());
            assert_eq!(left, expected, "{version:?} {said:?}");
        };
        for version in [Version::HTTP_11, Version::HTTP_2] {
            check(version, &[], Ok(0));
            check(version, &["100-continue"], Ok(1));
            check(version, &["100-Continue"], Ok(1));
            for unknown in [
                &[""][..],
                &["200-ok"],
                &["100-continue, 200-ok"],
                &["100-continue", "100-continue"],
            ] {
                check(version, unknown, Err("unknown_expectation"));
            }
        }
        check(Version::HTTP_10, &["100-continue"], Ok(0));
        check(Version::HTTP_10, &["200-ok", ""], Ok(0));
    }
}
