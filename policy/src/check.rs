//! What in a valid policy does not do what its author must have meant.
//!
//! In: a policy, and the inbound listeners that it stands before if they are known. Out: [`Warning`]s in the order of the
//! file. Each is decided exactly (`coverage`), never guessed.
//!
//! 1. All clauses that are reported as denied, repeated or covered can be removed together without changing any verdict.
//! 2. Once they are removed, nothing more can be.
use crate::clause::{Clause, Effect};
use crate::coverage::World;
use config::policy::{Policy, Rule};
use config::sidecar::{Inbound, Protocol};
use std::sync::Arc;

/// A clause or rule that changes no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule that it stands in.
    pub rule: Arc<str>,
    /// Line of the clause, or of the rule where it concerns all of it.
    pub line: usize,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// The clauses that make it so, in the order of the file.
    pub others: Vec<Other>,
}

/// Another clause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other {
    /// Line of the clause.
    pub line: usize,
    /// The rule that it stands in.
    pub rule: Arc<str>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The rule has no clause.
    Empty,
    /// No inbound listener of the sidecar carries what the clause matches: on tcp a clause that allows by HTTP fields never matches.
    OnNoListener,
    /// The clause allows only what others deny.
    Denied,
    /// The clause says exactly what an earlier one says.
    Repeated,
    /// Others already say all that the clause says.
    Covered,
}

impl Flaw {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty_rule",
            Self::OnNoListener => "on_no_listener",
            Self::Denied => "always_denied",
            Self::Repeated => "repeated",
            Self::Covered => "covered",
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let others: Vec<String> = self
            .others
            .iter()
            .map(|other| format!("\"{}\" (line {})", other.rule, other.line))
            .collect();
        let others = others.join(" and ");
        write!(f, "rule \"{}\" ", self.rule)?;
        match &self.flaw {
            Flaw::Empty => f.write_str("decides nothing: it has no clause; add one, or remove the rule"),
            Flaw::OnNoListener => f.write_str("never matches: no http listener of the sidecar is meant, and on tcp a clause that allows may name no hosts, methods or paths; correct it"),
            Flaw::Denied => write!(f, "never allows: {others} denies all of it; remove the clause, or narrow the deny"),
            Flaw::Repeated => write!(f, "repeats a clause: {others} says the same; remove one"),
            Flaw::Covered => write!(f, "adds nothing: {others} already covers all of it; remove the clause"),
        }
    }
}

/// Checks a policy by itself: a listener may have any name and either protocol, and takes no raw paths.
pub fn check(policy: &Policy) -> Vec<Warning> {
    warnings(policy, None)
}

/// Checks a policy before the listeners that it will judge for; without any, as [`check`] does.
pub fn check_for(policy: &Policy, inbound: &[Inbound]) -> Vec<Warning> {
    warnings(policy, Some(inbound).filter(|inbound| !inbound.is_empty()))
}

fn warnings(policy: &Policy, inbound: Option<&[Inbound]>) -> Vec<Warning> {
    let mut found: Vec<Warning> = policy
        .rules
        .iter()
        .filter(|rule| rule.allow.is_empty() && rule.deny.is_empty())
        .map(empty)
        .collect();
    let mut clauses: Vec<Clause> = policy.rules.iter().flat_map(compiled).collect();
    if let Some(inbound) = inbound {
        clauses.retain(|clause| {
            let reaches = reaches_some(clause, inbound);
            if !reaches {
                found.push(warning(clause, Flaw::OnNoListener, std::iter::empty()));
            }
            reaches
        });
    }
    let world = World::of(clauses.iter(), inbound);
    let (denies, allows): (Vec<&Clause>, Vec<&Clause>) =
        clauses.iter().partition(|clause| clause.denies());
    let denies = superfluous(&world, denies, &[], &mut found);
    let mut allows = allows;
    allows.retain(|clause| {
        let by = world.covering(clause, &denies).filter(|by| !by.is_empty());
        found.extend(
            by.iter()
                .map(|by| warning(clause, Flaw::Denied, by.iter().map(|&by| denies[by]))),
        );
        by.is_none()
    });
    superfluous(&world, allows, &denies, &mut found);
    found.sort_by_key(|warning| warning.line);
    found
}

/// Takes out of `clauses`, from the last to the first, what the rest says already, and gives back the rest. `denies` helps to
/// cover what allows: what is denied need not be allowed.
fn superfluous<'c>(
    world: &World<'_>,
    mut clauses: Vec<&'c Clause>,
    denies: &[&'c Clause],
    found: &mut Vec<Warning>,
) -> Vec<&'c Clause> {
    for at in (0..clauses.len()).rev() {
        let clause = clauses.remove(at);
        let others: Vec<&Clause> = clauses.iter().chain(denies).copied().collect();
        let Some(by) = world.covering(clause, &others).filter(|by| !by.is_empty()) else {
            clauses.insert(at, clause);
            continue;
        };
        let by: Vec<&Clause> = by.into_iter().map(|by| others[by]).collect();
        let same = matches!(by[..], [other] if other.denies() == clause.denies() && world.covering(other, &[clause]).is_some());
        found.push(warning(
            clause,
            if same { Flaw::Repeated } else { Flaw::Covered },
            by.into_iter(),
        ));
    }
    clauses
}

fn compiled(rule: &Rule) -> Vec<Clause> {
    let (name, from) = (rule.name.as_str().into(), rule.from.as_slice().into());
    let allow = rule.allow.iter().map(|clause| (Effect::Allow, clause));
    let deny = rule.deny.iter().map(|clause| (Effect::Deny, clause));
    allow
        .chain(deny)
        .map(|(effect, clause)| Clause::compile(effect, &name, &from, clause))
        .collect()
}

/// Whether a clause can match on any listener.
fn reaches_some(clause: &Clause, inbound: &[Inbound]) -> bool {
    let mut on = inbound.iter().filter(|known| clause.is_on(&known.name));
    on.any(|known| known.protocol == Protocol::Http || clause.matches_tcp())
}

fn empty(rule: &Rule) -> Warning {
    Warning {
        rule: rule.name.as_str().into(),
        line: rule.line,
        flaw: Flaw::Empty,
        others: Vec::new(),
    }
}

fn warning<'c>(clause: &Clause, flaw: Flaw, others: impl Iterator<Item = &'c Clause>) -> Warning {
    let mut others: Vec<Other> = others
        .map(|other| Other {
            line: other.line,
            rule: Arc::clone(&other.rule),
        })
        .collect();
    others.sort();
    Warning {
        rule: Arc::clone(&clause.rule),
        line: clause.line,
        flaw,
        others,
    }
}

#[cfg(test)]
mod tests;
