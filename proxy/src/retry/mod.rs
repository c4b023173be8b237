//! Whether a request that was not answered well is sent again.
//!
//! In: what became of it, what it is, what its service allows. Out: a [`Verdict`]. Pure: time and chance come in as
//! arguments; what is spent comes out of a [`Budget`].
//!
//! 1. What may have reached the app is repeated only if its method may be, and only where the service says so.
//! 2. Never after a byte of the answer, never a request that is a retry itself, never what a server asks not to repeat.
//! 3. Retries of a service are at most 20 % of its requests and 3 a second, whatever fails.
//!
//! A kept connection that turns out to be closed before a byte went costs nothing but another connection: that is no retry.
//! Nor is it one to ask the next endpoint where a sidecar has no app: nobody worked, and each is asked once.

mod budget;
mod wait;

pub(crate) use budget::Budget;
pub(crate) use wait::{Wait, asked_to_wait};

use config::sidecar::{On, Retries};
use http::{Method, StatusCode};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A kept connection may be closed by its server at the moment of taking it. A server that loses this many in a row is down.
const RACES_MAX: usize = 3;
/// Where the service says nothing: how often a request is sent again that its server did not look at.
const DECLINED_MAX: usize = 3;
/// Before the first retry, on average; twice as long before each further one.
const BACKOFF: Duration = Duration::from_millis(25);
/// A caller is not held longer than this for what a server asks to wait: it gets the answer, and may wait by itself.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its connection was closed before a byte went.
    Raced,
    /// No endpoint took a connection.
    NotConnected,
    /// Its server says that it did not look at it, and will not.
    Declined,
    /// The same, because its server has no app just now; another endpoint may have one.
    Elsewhere,
    /// The connection ended, or the stream was reset, before a byte of the answer.
    Lost,
    /// It was answered.
    Answered(Answered),
    /// Anything else: it is not sent again.
    Final,
}

/// The head of an answer, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// 503, or UNAVAILABLE to a gRPC request before any message.
    pub(crate) unavailable: bool,
    /// For how long its server asks to wait.
    pub(crate) wait: Wait,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Its method.
    pub(crate) method: &'a Method,
    /// Whether it carries the mark of a retry: somebody before us repeats it already.
    pub(crate) is_retry: bool,
    /// Whether all of it can be sent once more.
    pub(crate) repeatable: bool,
    /// How many connections were lost before a byte of it went.
    pub(crate) races: usize,
    /// How often it was sent again.
    pub(crate) retries: usize,
    /// For how long its caller waits still; `None`: as long as it takes.
    pub(crate) left: Option<Duration>,
}

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed<'a> {
    /// To the app: only what was lost before a byte went, and what ends with a connection that the app ends.
    ToApp,
    /// To a service that says nothing.
    Default,
    /// To a service that says what.
    By(&'a Retries),
}

/// Whether it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At once, on another connection; costs nothing.
    Anew,
    /// After this long, if the budget has one left.
    Again(Duration),
    /// No: the caller gets what there is.
    No,
}

/// Decides. `chance` is from 0 to 1.
pub(crate) fn decide(
    allowed: Allowed<'_>,
    asked: Asked<'_>,
    outcome: Outcome,
    chance: f64,
) -> Verdict {
    if outcome == Outcome::Raced {
        // The message came back: whether its body could be repeated does not matter.
        return if asked.races < RACES_MAX {
            Verdict::Anew
        } else {
            Verdict::No
        };
    }
    let again = asked.repeatable && asked.retries < DECLINED_MAX;
    if outcome == Outcome::Elsewhere {
        // As with an endpoint that takes no connection: the next is asked, each once, and whoever has no app rests.
        return if again { Verdict::Anew } else { Verdict::No };
    }
    let declined = outcome == Outcome::Declined && again;
    match allowed {
        _ if !asked.repeatable => Verdict::No,
        // An app that ends its connections says so of the streams that it never saw. There is no other to try.
        Allowed::ToApp if declined => Verdict::Anew,
        Allowed::ToApp => Verdict::No,
        Allowed::Default | Allowed::By(_) if asked.is_retry => Verdict::No,
        Allowed::Default if declined => Verdict::Again(Duration::ZERO),
        Allowed::Default => Verdict::No,
        Allowed::By(rules) => match by(rules, asked, outcome, chance) {
            // Nobody would be there to take the answer.
            Verdict::Again(wait) if asked.left.is_some_and(|left| wait >= left) => Verdict::No,
            verdict => verdict,
        },
    }
}

fn by(rules: &Retries, asked: Asked<'_>, outcome: Outcome, chance: f64) -> Verdict {
    if asked.retries >= rules.attempts {
        return Verdict::No;
    }
    let on = |what| rules.on.contains(&what);
    let backoff = backoff(asked.retries, chance);
    match outcome {
        Outcome::Declined => Verdict::Again(Duration::ZERO),
        Outcome::NotConnected if on(On::ConnectFailure) => Verdict::Again(backoff),
        Outcome::Lost if on(On::Reset) && may_repeat(rules, asked.method) => {
            Verdict::Again(backoff)
        }
        Outcome::Answered(answered)
            if answered.unavailable && on(On::Unavailable) && may_repeat(rules, asked.method) =>
        {
            match answered.wait {
                Wait::Unsaid => Verdict::Again(backoff),
                Wait::AtLeast(wait) if wait <= WAIT_MAX => Verdict::Again(wait.max(backoff)),
                Wait::AtLeast(_) | Wait::Never => Verdict::No,
            }
        }
        Outcome::NotConnected
        | Outcome::Lost
        | Outcome::Answered(_)
        | Outcome::Raced
        | Outcome::Elsewhere
        | Outcome::Final => Verdict::No,
    }
}

/// Whether a request that its server may have seen may be repeated (RFC 9110 §9.2.2).
fn may_repeat(rules: &Retries, method: &Method) -> bool {
    match &rules.methods {
        Some(methods) => methods.iter().any(|named| named == method.as_str()),
        None => method.is_idempotent(),
    }
}

/// From half to one and a half times the step: callers that failed together do not come back together.
fn backoff(retries: usize, chance: f64) -> Duration {
    let doubled = BACKOFF * (1 << retries.min(6));
    doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0))
}

/// Whether an answer says that its server is not available just now.
pub(crate) fn is_unavailable(status: StatusCode, headers: &http::HeaderMap) -> bool {
    // A gRPC status among the headers is that of an answer without a message.
    status == StatusCode::SERVICE_UNAVAILABLE
        || (status == StatusCode::OK
            && headers
                .get("grpc-status")
                .is_some_and(|status| status == "14"))
}

/// From 0 to 1, for [`decide`]. Costs a hash; asked only when something failed.
pub(crate) fn chance() -> f64 {
    let hash = RandomState::new().hash_one(());
    f64::from((hash >> 32) as u32) / f64::from(u32::MAX)
}

impl Outcome {
    /// As it is counted: a label that never changes.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Raced => "closed",
            Self::NotConnected => "connect-failure",
            Self::Declined => "declined",
            Self::Elsewhere => "no-app",
            Self::Lost => "reset",
            Self::Answered(_) => "503",
            Self::Final => "",
        }
    }
}

#[cfg(test)]
mod tests;
