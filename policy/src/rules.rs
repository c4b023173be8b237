//! The rules of a document, compiled once, and what they say.
//!
//! In: a [`config::policy::Policy`]; per connection the caller and the listener; per request what is asked. Out: a
//! [`Permit`] or a [`Denied`].
//!
//! 1. No rules means no.  2. Deny beats allow in any order.  3. A request costs nothing for rules of other callers,
//!    unless no rule allows this caller anything here: then all of them are looked at for the nearest.
use crate::clause::{Asked, Clause, Effect, Field, asked_instead};
use crate::index::Index;
use crate::{Denied, Nearest, Permit, Reason, Request};
use config::SpiffeId;
use std::cmp::Reverse;
use std::sync::Arc;

/// Compiled rules of one document.
#[derive(Debug)]
pub struct Rules {
    /// In the order of the file.
    allow: Box<[Clause]>,
    /// In the order of the file.
    deny: Box<[Clause]>,
}

/// The part of [`Rules`] that concerns one caller on one listener: what a connection keeps, so that a request costs no look at other callers' rules.
#[derive(Debug)]
pub struct CallerRules {
    rules: Arc<Rules>,
    caller: SpiffeId,
    listener: Box<str>,
    /// Into `rules.allow`: the clauses that name caller and listener.
    allow: Index,
    /// The same into `rules.deny`.
    deny: Index,
    /// Whether any rule names the caller, on whichever listener.
    named: bool,
}

impl Rules {
    /// Compiles a valid document. No rules means no.
    pub fn compile(policy: &config::policy::Policy) -> Self {
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        for rule in &policy.rules {
            let (name, from) = (rule.name.as_str().into(), rule.from.as_slice().into());
            allow.extend(
                rule.allow
                    .iter()
                    .map(|clause| Clause::compile(Effect::Allow, &name, &from, clause)),
            );
            deny.extend(
                rule.deny
                    .iter()
                    .map(|clause| Clause::compile(Effect::Deny, &name, &from, clause)),
            );
        }
        Self {
            allow: allow.into(),
            deny: deny.into(),
        }
    }

    /// What concerns one caller on one listener. Cost: one pass over all clauses, once per connection.
    pub fn for_caller(self: &Arc<Self>, caller: &SpiffeId, listener: &str) -> CallerRules {
        let mut named = false;
        let mut concerning = |clauses: &[Clause]| {
            let mut indices = Vec::new();
            for (index, clause) in clauses
                .iter()
                .enumerate()
                .filter(|(_, clause)| clause.is_from(caller))
            {
                named = true;
                if clause.is_on(listener) {
                    indices.push(index);
                }
            }
            Index::new(clauses, indices)
        };
        let (allow, deny) = (concerning(&self.allow), concerning(&self.deny));
        CallerRules {
            rules: Arc::clone(self),
            caller: caller.clone(),
            listener: listener.into(),
            allow,
            deny,
            named,
        }
    }
}

impl CallerRules {
    /// Decides. Cost: a look at those clauses of this caller and listener that the path's first segment does not rule out; the
    /// way to yes does not allocate ([`Permit`] clones an `Arc`); the way to no may, since it explains.
    pub fn decide(&self, request: &Request<'_>) -> Result<Permit, Denied> {
        let asked = Asked::from(request);
        let Rules { allow, deny } = &*self.rules;
        if let Some(index) = self.deny.first_match(deny, Effect::Deny, &asked) {
            return Err(denied_by(&deny[index], &asked));
        }
        match self.allow.first_match(allow, Effect::Allow, &asked) {
            Some(index) => Ok(Permit::by(Arc::clone(&allow[index].rule))),
            None => Err(self.not_allowed(&asked)),
        }
    }

    #[cold]
    fn not_allowed(&self, asked: &Asked<'_>) -> Denied {
        let reason = if self.named {
            Reason::NoRuleAllows
        } else {
            Reason::NoRuleForCaller
        };
        Denied {
            reason,
            rule: None,
            line: None,
            nearest: self.nearest(asked),
            doubt: asked.doubt(),
        }
    }

    /// The clause that got furthest; of those that failed at the same field the one with the fewest failures, then the
    /// first in the file.
    fn nearest(&self, asked: &Asked<'_>) -> Option<Nearest> {
        let all = &self.rules.allow;
        // One that names caller and listener is nearer than all that do not, so those need no look.
        let (clause, field) = match self.allow.all().is_empty() {
            false => self.furthest(self.allow.all().iter().map(|&index| &all[index]), asked),
            true => self.furthest(all.iter(), asked),
        }?;
        Some(Nearest {
            rule: Arc::clone(&clause.rule),
            line: clause.line,
            failed: field.name(),
            wanted: clause.wanted(field),
            asked: asked_instead(field, &self.caller, &self.listener, asked).into(),
        })
    }

    fn furthest<'c>(
        &self,
        clauses: impl Iterator<Item = &'c Clause>,
        asked: &Asked<'_>,
    ) -> Option<(&'c Clause, Field)> {
        let failed = clauses.filter_map(|clause| {
            let mut failures = clause.failures(&self.caller, &self.listener, asked);
            let first = failures.next()?;
            Some((clause, first, failures.count()))
        });
        failed
            .min_by_key(|&(_, first, more)| (Reverse(first), more))
            .map(|(clause, first, _)| (clause, first))
    }
}

#[cold]
fn denied_by(clause: &Clause, asked: &Asked<'_>) -> Denied {
    Denied {
        reason: Reason::DeniedByRule,
        rule: Some(Arc::clone(&clause.rule)),
        line: Some(clause.line),
        nearest: None,
        doubt: asked.doubt().filter(|_| clause.paths.is_some()),
    }
}

#[cfg(test)]
mod tests;
