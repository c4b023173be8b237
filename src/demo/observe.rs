//! What really reached an app, held against what should have: the proof of every promise.
//!
//! In: what the app itself recorded since a moment. Out: nothing to say, or the [`Broken`] promise. Pure but for the first look.
//!
//! 1. An app that saw too little, too much or the wrong caller breaks a promise; what a proxy says proves nothing here.

use super::caller::NoAnswer;
use shop::{Request, Seen};
use std::fmt;

/// An app, watched from a moment on.
pub(crate) struct Watch<'a> {
    app: &'static str,
    seen: &'a Seen,
    connections: u64,
    requests: u64,
}

/// What reached an app while it was watched.
#[derive(Debug)]
pub(crate) struct Arrived {
    app: &'static str,
    connections: u64,
    count: u64,
    requests: Vec<Request>,
}

/// A request that an app should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight<'a> {
    method: &'a str,
    path: &'a str,
    /// Who the sidecar says is calling; a protocol of bytes has no place for it.
    caller: Option<&'a str>,
}

/// A promise that was not kept.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Something reached an app that should have seen nothing, or more than it should.
    Saw { app: &'static str, what: String },
    /// What an app saw is not what it should have seen.
    Instead {
        app: &'static str,
        wanted: String,
        what: String,
    },
    /// A caller got something else.
    Answered {
        call: String,
        wanted: String,
        got: String,
    },
    /// A call that should be answered was not.
    Unanswered { call: String, why: NoAnswer },
    /// An access log does not tell of it.
    Untold { whose: &'static str, what: String },
    /// Two explanations that should be one.
    Differ { logged: String, explained: String },
    /// Of many calls some were not answered well.
    Failed {
        calls: u64,
        failures: u64,
        first: String,
    },
    /// More or fewer calls reached an app than were answered.
    Counted {
        app: &'static str,
        wanted: u64,
        got: u64,
    },
    /// The CA did not start again.
    NotBack { why: String },
    /// It was not observed before the demo's time was over.
    Late,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Saw { app, what } => write!(f, "{app} saw {what} and should have seen nothing"),
            Broken::Instead { app, wanted, what } => {
                write!(f, "{app} saw {what} and should have seen {wanted}")
            }
            Broken::Answered { call, wanted, got } => {
                write!(f, "{call} was answered {got} and not {wanted}")
            }
            Broken::Unanswered { call, why } => write!(f, "{call} was not answered: {why}"),
            Broken::Untold { whose, what } => {
                write!(
                    f,
                    "the access log of {whose}'s sidecar does not tell of {what}"
                )
            }
            Broken::Differ { logged, explained } => write!(
                f,
                "the access log says `{logged}` and policy explain says `{explained}`"
            ),
            Broken::Failed {
                calls,
                failures,
                first,
            } => write!(
                f,
                "{failures} of {calls} calls failed, the first with: {first}"
            ),
            Broken::Counted { app, wanted, got } => {
                write!(f, "{app} saw {got} requests and should have seen {wanted}")
            }
            Broken::NotBack { why } => write!(f, "the CA did not start again: {why}"),
            Broken::Late => write!(f, "it was not observed in time"),
        }
    }
}

impl<'a> Watch<'a> {
    /// From now on.
    pub(crate) fn begin(app: &'static str, seen: &'a Seen) -> Self {
        Watch {
            app,
            seen,
            connections: seen.connections(),
            requests: seen.count(),
        }
    }
    /// What came since.
    pub(crate) fn arrived(&self) -> Arrived {
        let count = self.seen.count() - self.requests;
        let new = usize::try_from(count).unwrap_or(usize::MAX);
        let all = self.seen.requests();
        Arrived {
            app: self.app,
            connections: self.seen.connections() - self.connections,
            count,
            requests: all[all.len().saturating_sub(new)..].to_vec(),
        }
    }
}

impl Arrived {
    /// Not a request, and not even a connection.
    pub(crate) fn nothing(&self) -> Result<(), Broken> {
        if self.requests.is_empty() && self.connections == 0 {
            return Ok(());
        }
        let what = match self.requests.as_slice() {
            [] => format!("new connections ({})", self.connections),
            requests => listed(requests),
        };
        Err(Broken::Saw {
            app: self.app,
            what,
        })
    }
    /// So many requests, whichever they are.
    pub(crate) fn count(&self, wanted: u64) -> Result<(), Broken> {
        match self.count {
            got if got == wanted => Ok(()),
            got => Err(Broken::Counted {
                app: self.app,
                wanted,
                got,
            }),
        }
    }
    /// These requests in this order, each by its caller and naming nobody else, and no other.
    pub(crate) fn exactly(&self, wanted: &[Sight<'_>]) -> Result<(), Broken> {
        let same = self.requests.len() == wanted.len()
            && self
                .requests
                .iter()
                .zip(wanted)
                .all(|(request, wanted)| wanted.is(request));
        if same {
            return Ok(());
        }
        Err(Broken::Instead {
            app: self.app,
            wanted: wanted
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            what: listed(&self.requests),
        })
    }
}

impl<'a> Sight<'a> {
    pub(crate) fn of(method: &'a str, path: &'a str, caller: Option<&'a str>) -> Self {
        Sight {
            method,
            path,
            caller,
        }
    }

    fn is(&self, request: &Request) -> bool {
        let named: Vec<&str> = named(request).collect();
        self.method == request.method
            && self.path == request.path
            && self.caller.as_slice() == named
    }
}

/// Everybody whom a request says it comes from.
fn named(request: &Request) -> impl Iterator<Item = &str> {
    let header = request.client_cert.as_deref().unwrap_or_default();
    header
        .split([',', ';'])
        .filter_map(|pair| pair.trim().strip_prefix("URI="))
}

fn listed(requests: &[Request]) -> String {
    let shown = |request: &Request| {
        let caller = named(request).collect::<Vec<_>>().join(" and ");
        Sight {
            method: &request.method,
            path: &request.path,
            caller: Some(caller.as_str()).filter(|caller| !caller.is_empty()),
        }
        .to_string()
    };
    match requests {
        [] => "nothing".to_owned(),
        requests => requests.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

impl fmt::Display for Sight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        match self.caller {
            Some(caller) => write!(f, " by {caller}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
