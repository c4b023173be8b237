//! What a source of identity says of itself, and what it is told of the use that is made of what it gave.
//!
//! In: from the source, how its last attempt ended; from the proxy, which generation its new handshakes use and by which
//! policy it decides. Out: each to the other, and both can be awaited. Clones share it.
//!
//! 1. What was received is not what is enforced: only the proxy says what is, and only of what it has put into force.
//! 2. Saying the same again wakes nobody.

use crate::Skew;
use std::sync::Arc;
use tokio::sync::watch;

/// What a source says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Why there is no identity, or why the last attempt to renew it failed; `None`: all is well.
    pub why: Option<Why>,
    /// Whether the source's other side answered when it was last asked; `None`: nobody is asked, or nobody was yet.
    pub reachable: Option<bool>,
    /// How far this machine's clock is from the other side's, as last measured.
    pub skew: Option<Skew>,
}

/// A reason, for machines and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// A label that never changes.
    pub reason: &'static str,
    /// One line that says what to do.
    pub text: String,
}

/// What new handshakes use and by what is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// The number of the generation.
    pub generation: u64,
    /// The SHA-256 of the policy's text; `None`: there is no policy.
    pub policy_sha256: Option<[u8; 32]>,
}

/// What a source and its user say to each other.
#[derive(Clone, Debug)]
pub struct Standing {
    state: watch::Sender<Arc<State>>,
    enforced: watch::Sender<Option<Enforced>>,
}

impl Default for Standing {
    fn default() -> Self {
        Standing {
            state: watch::Sender::new(Arc::default()),
            enforced: watch::Sender::new(None),
        }
    }
}

impl Standing {
    /// What the source last said of itself.
    pub fn load(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Resolves to what the source says of itself as soon as that is not `seen`.
    pub async fn changed(&self, seen: &State) -> Arc<State> {
        let mut state = self.state.subscribe();
        // It cannot fail: the sender lives in `self`.
        let _ = state.wait_for(|state| **state != *seen).await;
        self.load()
    }

    /// For the source: says of itself what is so now.
    pub fn tell(&self, state: State) {
        self.state.send_if_modified(|told| {
            let news = **told != state;
            if news {
                *told = Arc::new(state);
            }
            news
        });
    }

    /// For the user: new handshakes use this generation, and by this policy is decided.
    pub fn enforces(&self, generation: u64, policy_sha256: Option<[u8; 32]>) {
        let now = Some(Enforced {
            generation,
            policy_sha256,
        });
        self.enforced.send_if_modified(|told| {
            let news = *told != now;
            *told = now;
            news
        });
    }

    /// What is enforced; `None`: nothing that this source gave.
    pub fn enforced(&self) -> Option<Enforced> {
        *self.enforced.borrow()
    }

    /// For the source: resolves to what is enforced as soon as that is something, and not `seen`.
    pub async fn enforced_other_than(&self, seen: Option<Enforced>) -> Enforced {
        let mut enforced = self.enforced.subscribe();
        loop {
            let now = *enforced.borrow_and_update();
            match now {
                Some(now) if Some(now) != seen => return now,
                // It cannot fail: the sender lives in `self`.
                _ => drop(enforced.changed().await),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn failing(reason: &'static str) -> State {
        State {
            why: Some(Why {
                reason,
                text: "the CA is away".to_owned(),
            }),
            reachable: Some(false),
            skew: None,
        }
    }

    #[test]
    fn what_was_said_before_one_waits_is_not_missed_and_the_same_again_wakes_nobody() {
        let standing = Standing::default();
        let mut context = Context::from_waker(Waker::noop());
        let seen = standing.load();
        standing.clone().tell(failing("away"));

        let mut changed = pin!(standing.changed(&seen));
        assert_eq!(
            changed.as_mut().poll(&mut context),
            Poll::Ready(Arc::new(failing("away")))
        );
        let seen = standing.load();
        let mut changed = pin!(standing.changed(&seen));
        standing.tell(failing("away"));
        assert_eq!(changed.as_mut().poll(&mut context), Poll::Pending);
        standing.tell(State::default());
        assert_eq!(
            changed.as_mut().poll(&mut context),
            Poll::Ready(Arc::default())
        );
    }

    #[test]
    fn nothing_is_enforced_before_the_user_says_so() {
        let standing = Standing::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(standing.enforced_other_than(None));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(standing.enforced(), None);

        standing.enforces(1, Some([7; 32]));
        let one = Enforced {
            generation: 1,
            policy_sha256: Some([7; 32]),
        };
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(one));

        let mut next = pin!(standing.enforced_other_than(Some(one)));
        standing.enforces(1, Some([7; 32]));
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        standing.enforces(1, None);
        let unjudged = Enforced {
            policy_sha256: None,
            ..one
        };
        assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(unjudged));
    }
}
