//! Rules, compiled, and what they say.
use crate::Canonical;
use config::SpiffeId;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// One HTTP request.
    Http {
        /// The method as on the wire.
        method: &'a str,
        /// Host, lower case, without port, IPv6 without brackets.
        host: &'a str,
        /// Its port if it names one.
        port: Option<u16>,
        /// The path; `None` for `*` and CONNECT targets, which match only by methods.
        path: Option<&'a Canonical<'a>>,
    },
    /// One TCP connection: an allow clause with an HTTP field never matches, a deny clause ignores its HTTP fields.
    Tcp,
}

/// Compiled rules of one document.
#[derive(Debug)]
pub struct Rules {/* filled in by the compiler of the document */}

/// The part of [`Rules`] that concerns one caller on one listener: what a connection keeps, so that a request costs no look at other callers' rules.
#[derive(Debug)]
pub struct CallerRules {/* … */}

/// The proof that policy was asked and said yes. Made only by [`CallerRules::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    rule: Arc<str>,
}
impl Permit {
    /// The name of the rule that allowed it.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }
}

/// No, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What kind of no.
    pub reason: Reason,
    /// The rule that denied it, when one did (`Reason::DeniedByRule`).
    pub rule: Option<Arc<str>>,
    /// The rule that came closest to allowing it, and the field that failed.
    pub nearest: Option<Nearest>,
}
/// A rule that nearly allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its name.
    pub rule: Arc<str>,
    /// Line of the clause that came closest.
    pub line: usize,
    /// The field that failed: `from`, `listeners`, `hosts`, `methods`, `paths` or `protocol` (HTTP fields on tcp).
    pub failed: &'static str,
    /// What the field wanted, as written in the document.
    pub wanted: String,
}
/// What kind of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A deny clause matched.
    DeniedByRule,
    /// No rule names the caller.
    NoRuleForCaller,
    /// Rules name the caller, none allows this.
    NoRuleAllows,
}
impl Reason {
    /// A label that never changes: `denied_by_rule`, `no_rule_for_caller`, `no_rule_allows`.
    pub fn label(self) -> &'static str {
        todo!()
    }
}

impl Rules {
    /// Compiles a valid document. No rules means no.
    pub fn compile(_policy: &config::policy::Policy) -> Self {
        todo!()
    }
    /// What concerns one caller on one listener.
    pub fn for_caller(self: &Arc<Self>, _caller: &SpiffeId, _listener: &str) -> CallerRules {
        todo!()
    }
}
impl CallerRules {
    /// Decides. Cost: one pass over the clauses of this caller and listener; the way to yes does not allocate
    /// ([`Permit`] clones an `Arc`); the way to no may, since it explains.
    pub fn decide(&self, _request: &Request<'_>) -> Result<Permit, Denied> {
        todo!()
    }
}
impl std::fmt::Display for Denied {
    /// The one sentence that log, `policy explain` and demo all show.
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
