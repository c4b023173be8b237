//! What would be decided, and why: the answer to a question of a person, in the words of the log.
//!
//! In: compiled [`Rules`] and a [`Question`] as it is typed. Out: an [`Answer`] whose sentence is that of the decision itself. Pure.

use crate::path::Ambiguous;
use crate::reading::Reading;
use crate::request::Request;
use crate::rules::Rules;
use crate::verdict::{Denied, Permit};
use config::sidecar::Paths;
use config::{HostPattern, SpiffeId};
use std::fmt;
use std::sync::Arc;

/// Who wants what.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub from: &'a SpiffeId,
    /// The inbound listener; empty: none, which matches only clauses that name no listeners.
    pub listener: &'a str,
    /// What that listener does with paths that readers read differently.
    pub paths: Paths,
    /// What for.
    pub what: What<'a>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A request.
    Http {
        /// Case as on the wire.
        method: &'a str,
        /// The target's path as on the wire; its query is not looked at. `*` for a target without one.
        path: &'a str,
        /// The host; `None` matches only clauses that name no hosts.
        host: Option<&'a HostPattern>,
    },
    /// A connection of bytes.
    Tcp,
}

/// What would come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It would be forwarded.
    Allowed(Permit),
    /// It would not; the status that its caller gets, `None` on tcp: nothing but the end of the connection.
    Denied(Denied, Option<u16>),
    /// It would be refused before the rules are asked, with [`AMBIGUOUS`].
    Ambiguous(Ambiguous),
}

/// The status of what policy denies.
const DENIED: u16 = 403;
/// The status of a path that two readers could read differently.
pub const AMBIGUOUS: u16 = 400;

impl Question<'_> {
    /// What a sidecar with these rules would answer.
    pub fn answer(&self, rules: &Arc<Rules>) -> Answer {
        let rules = rules.for_caller(self.from, self.listener);
        let What::Http { method, path, host } = self.what else {
            let decided = rules.decide(&Request::Tcp);
            return decided.map_or_else(|denied| Answer::Denied(denied, None), Answer::Allowed);
        };
        let path = match path {
            "*" => None,
            path => match Reading::of(
                path.split('?').next().unwrap_or_default().as_bytes(),
                self.paths,
            ) {
                Ok(path) => Some(path),
                Err(ambiguous) => return Answer::Ambiguous(ambiguous),
            },
        };
        let request = Request::Http {
            method,
            host: host.map(HostPattern::host).unwrap_or_default(),
            port: host.and_then(HostPattern::port),
            path: path.as_ref(),
        };
        let denied = |denied| Answer::Denied(denied, Some(DENIED));
        rules.decide(&request).map_or_else(denied, Answer::Allowed)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Allowed(permit) => write!(f, "allowed: rule \"{}\" allows it", permit.rule()),
            Answer::Denied(why, Some(status)) => {
                write!(f, "denied ({status}, {}): {why}", why.reason.label())
            }
            Answer::Denied(why, None) => write!(f, "denied ({}): {why}", why.reason.label()),
            Answer::Ambiguous(why) => write!(f, "denied ({AMBIGUOUS}, {}): {why}", why.reason()),
        }
    }
}
