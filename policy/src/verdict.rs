//! The answers: yes with the rule that gave it, or no with the reason and the rule that came nearest.
//!
//! 1. The sentence of a [`Denied`] is made here and nowhere else, so that log, `policy explain` and demo use the same words.
//! 2. What a caller sent enters a sentence escaped and cut.
use crate::Ambiguous;
use std::sync::Arc;

/// What a sentence shows of one value that a stranger chose.
const SHOWN_MAX_CHARS: usize = 120;

/// The proof that policy was asked and said yes. Made only by [`CallerRules::decide`](crate::CallerRules::decide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    rule: Arc<str>,
}

impl Permit {
    pub(crate) fn by(rule: Arc<str>) -> Self {
        Self { rule }
    }
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
    /// Line of the clause that denied it, when one did.
    pub line: Option<usize>,
    /// The rule that came closest to allowing it, and the field that failed. `None` when a rule denied it, and when
    /// nothing in the document allows anything.
    pub nearest: Option<Nearest>,
    /// Why the path has several readings, where it has: then one that may be denied is enough.
    pub doubt: Option<Ambiguous>,
}

impl Denied {
    /// The rule to look at: the one that denied it, else the one that came closest to allowing it.
    pub fn rule_to_look_at(&self) -> Option<&Arc<str>> {
        let nearest = self.nearest.as_ref().map(|nearest| &nearest.rule);
        self.rule.as_ref().or(nearest)
    }
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
    /// What the field wanted, as written in the document; of a long list its beginning.
    pub wanted: String,
    /// What was asked instead, escaped and cut for a log.
    pub asked: Box<str>,
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
        match self {
            Self::DeniedByRule => "denied_by_rule",
            Self::NoRuleForCaller => "no_rule_for_caller",
            Self::NoRuleAllows => "no_rule_allows",
        }
    }
}

impl std::fmt::Display for Denied {
    /// The one sentence that log, `policy explain` and demo all show.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.reason, &self.rule, self.line) {
            (Reason::DeniedByRule, Some(rule), Some(line)) => {
                write!(f, "rule \"{rule}\" (line {line}) denies it")?;
            }
            (Reason::DeniedByRule, _, _) => f.write_str("a rule denies it")?,
            (Reason::NoRuleForCaller, _, _) => f.write_str("no rule names the caller")?,
            (Reason::NoRuleAllows, _, _) => f.write_str("no rule allows it")?,
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; nearest is {nearest}")?;
        }
        match &self.doubt {
            Some(doubt) => write!(f, "; {doubt}"),
            None => Ok(()),
        }
    }
}
impl std::error::Error for Denied {}

impl std::fmt::Display for Nearest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rule,
            line,
            failed,
            wanted,
            asked,
        } = self;
        write!(f, "\"{rule}\" (line {line}), whose ")?;
        match *failed {
            "from" => write!(f, "from {wanted} does not include {asked}"),
            "protocol" => write!(f, "HTTP fields {wanted} never match on {asked}"),
            field => write!(f, "{field} {wanted} do not include {asked}"),
        }
    }
}

/// `text` as a sentence may show it.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
