//! A policy document, and requests that it decides.

use config::SpiffeId;
use config::policy::{Clause, Policy, Rule};
use config::sidecar::Paths;
use policy::{Denied, Permit, Reading, Request, Rules};
use std::path::Path;
use std::sync::Arc;

/// Deny beats allow in any order, no rule means no, and what is permitted some clause allows, read field by field.
///
/// The document, a NUL, and then requests of five lines: caller, listener, method, host, path.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (document, asked) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(mut policy) = Policy::parse(document, Path::new("policy.yaml")) else {
        return;
    };
    for warning in policy::check(&policy) {
        let _ = warning.to_string();
    }
    let rules = Arc::new(Rules::compile(&policy));
    let given = policy.clone();
    policy.rules.reverse();
    let reversed = Arc::new(Rules::compile(&policy));
    policy.rules.iter_mut().for_each(|rule| rule.deny.clear());
    let without_denials = Arc::new(Rules::compile(&policy));

    let mut lines = asked.lines();
    while let Some(asked) = Asked::read(&mut lines) {
        let decided = asked.decided(&rules);
        assert_eq!(
            asked.decided(&reversed).is_ok(),
            decided.is_ok(),
            "the order of rules"
        );
        if decided.is_ok() {
            assert!(asked.decided(&without_denials).is_ok(), "a denial permits");
        }
        asked.judge(&given, &decided);
    }
}

struct Asked<'a> {
    caller: SpiffeId,
    listener: &'a str,
    method: &'a str,
    host: &'a str,
    path: Option<Reading<'a>>,
    tcp: bool,
}

impl<'a> Asked<'a> {
    fn read(lines: &mut std::str::Lines<'a>) -> Option<Self> {
        let mut next = || lines.next();
        let (caller, listener, method, host, path) = (next()?, next()?, next()?, next()?, next()?);
        Some(Asked {
            caller: SpiffeId::parse(caller).ok()?,
            listener,
            method,
            host,
            path: Reading::of(path.as_bytes(), Paths::Strict).ok(),
            tcp: path == "tcp",
        })
    }

    fn decided(&self, rules: &Arc<Rules>) -> Result<Permit, Denied> {
        let request = match self.tcp {
            true => Request::Tcp,
            false => Request::Http {
                method: self.method,
                host: self.host,
                port: None,
                path: self.path.as_ref(),
            },
        };
        rules
            .for_caller(&self.caller, self.listener)
            .decide(&request)
    }

    fn judge(&self, policy: &Policy, decided: &Result<Permit, Denied>) {
        let mine = |rule: &&Rule| rule.from.iter().any(|from| from.matches(&self.caller));
        let denies = |rule: &Rule| rule.deny.iter().any(|clause| self.is_denied_by(clause));
        let allows = |rule: &Rule| rule.allow.iter().any(|clause| self.is_allowed_by(clause));
        let mut rules = policy.rules.iter().filter(mine);
        match decided {
            Ok(permit) => {
                assert!(
                    !policy.rules.iter().filter(mine).any(denies),
                    "a clause denies it"
                );
                let named = rules.find(|rule| *rule.name == **permit.rule());
                assert!(
                    named.is_some_and(allows),
                    "the rule that is named does not allow it"
                );
            }
            Err(denied) => {
                let _ = denied.to_string();
                let may_deny = |rule: &Rule| !rule.deny.is_empty();
                assert!(
                    rules.clone().any(may_deny) || !rules.any(allows),
                    "{denied}"
                );
            }
        }
    }

    fn is_allowed_by(&self, clause: &Clause) -> bool {
        let bare = clause.hosts.is_none() && clause.methods.is_none() && clause.paths.is_none();
        self.is_on(clause)
            && if self.tcp {
                bare
            } else {
                self.is_asked_of(clause)
            }
    }

    /// What certainly denies: a path is compared as it is spelled, and more spellings are denied than this one.
    fn is_denied_by(&self, clause: &Clause) -> bool {
        self.is_on(clause) && (self.tcp || self.is_asked_of(clause))
    }

    fn is_on(&self, clause: &Clause) -> bool {
        let listeners = clause.listeners.as_ref();
        listeners.is_none_or(|names| names.iter().any(|name| name == self.listener))
    }

    fn is_asked_of(&self, clause: &Clause) -> bool {
        let (hosts, methods) = (clause.hosts.as_ref(), clause.methods.as_ref());
        let host = |hosts: &Vec<config::HostPattern>| {
            hosts.iter().any(|pattern| pattern.matches(self.host, None))
        };
        let path = |paths: &Vec<config::PathPattern>| match &self.path {
            Some(Reading::Plain(path)) => {
                paths.iter().any(|pattern| pattern.matches(path.as_str()))
            }
            _ => false,
        };
        hosts.is_none_or(host)
            && methods.is_none_or(|names| names.iter().any(|name| name == self.method))
            && clause.paths.as_ref().is_none_or(path)
    }
}
