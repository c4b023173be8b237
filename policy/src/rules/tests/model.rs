//! The evaluator against a naive model that is written from the contract's text alone: strings, splits and loops.
use crate::{Denied, Reading, Reason, Request, Rules};
use config::policy::{Clause, Policy, Rule};
use config::sidecar::Paths;
use config::{HostPattern, IdPattern, PathPattern, SpiffeId};
use std::sync::Arc;

type List = Option<Vec<&'static str>>;

struct ModelClause {
    line: usize,
    listeners: List,
    hosts: List,
    methods: List,
    paths: List,
}

struct ModelRule {
    name: String,
    from: Vec<&'static str>,
    allow: Vec<ModelClause>,
    deny: Vec<ModelClause>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    caller: &'static str,
    listener: &'static str,
    /// `None` is tcp.
    http: Option<Http>,
}

#[derive(Clone, Copy, Debug)]
struct Http {
    method: &'static str,
    authority: (&'static str, Option<u16>),
    path: Option<&'static str>,
}

const CALLERS: [&str; 5] = [
    "spiffe://a/x",
    "spiffe://a/x/y",
    "spiffe://a/y",
    "spiffe://b/x",
    "spiffe://a/x/y/z",
];
const FROM: [&str; 9] = [
    "spiffe://a/x",
    "spiffe://a/{n}",
    "spiffe://a/**",
    "spiffe://a/x/**",
    "spiffe://b/**",
    "spiffe://a/{n}/y",
    "spiffe://a/y",
    "spiffe://a/x/{n}/**",
    "spiffe://b/x",
];
const LISTENERS: [&str; 2] = ["web", "db"];
const HOSTS: [&str; 4] = ["h", "h:80", "g", "g:81"];
const AUTHORITIES: [(&str, Option<u16>); 5] = [
    ("h", None),
    ("h", Some(80)),
    ("h", Some(81)),
    ("g", Some(81)),
    ("g", None),
];
const METHODS: [&str; 4] = ["GET", "PUT", "PURGE", "get"];
const PATTERNS: [&str; 15] = [
    "/",
    "/a",
    "/a/",
    "/b",
    "/a/{n}",
    "/{n}",
    "/{n}/b",
    "/**",
    "/a/**",
    "/{n}/**",
    "/a/b",
    "/a/{n}/**",
    "/a@b",
    "/{n}/",
    "/a%40b/{n}",
];
const PATHS: [&str; 12] = [
    "/", "/a", "/a/", "/b", "/a/b", "/b/b", "/a/b/", "/a/b/c", "/a@b", "/a%40b", "/a%40b/c", "/c/",
];

/// xorshift64*: seeded, so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.throw(of.len())]
    }
    fn some(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        (0..1 + self.throw(2)).map(|_| self.one(of)).collect()
    }
    fn list(&mut self, absent_in_4: usize, of: &[&'static str]) -> List {
        (self.throw(4) >= absent_in_4).then(|| self.some(of))
    }
    fn clause(&mut self, line: &mut usize) -> ModelClause {
        *line += 1;
        ModelClause {
            line: *line,
            listeners: self.list(3, &LISTENERS),
            hosts: self.list(3, &HOSTS),
            methods: self.list(2, &METHODS),
            paths: self.list(1, &PATTERNS),
        }
    }
    fn rules(&mut self) -> Vec<ModelRule> {
        let mut line = 0;
        let mut rule = |n: usize, dice: &mut Self| {
            let (allows, denies) = (dice.throw(3), dice.throw(5) / 3);
            ModelRule {
                name: format!("r{n}"),
                from: dice.some(&FROM),
                allow: (0..allows).map(|_| dice.clause(&mut line)).collect(),
                deny: (0..denies).map(|_| dice.clause(&mut line)).collect(),
            }
        };
        (0..self.throw(6)).map(|n| rule(n, self)).collect()
    }
    fn ask(&mut self) -> Ask {
        let http = Http {
            method: self.one(&METHODS),
            authority: self.one(&AUTHORITIES),
            path: (self.throw(12) > 0).then(|| self.one(&PATHS)),
        };
        Ask {
            caller: self.one(&CALLERS),
            listener: self.one(&LISTENERS),
            http: (self.throw(8) > 0).then_some(http),
        }
    }
}

/// Whether a list of places describes a list of segments.
fn places_match(places: &[&str], segments: &[&str]) -> bool {
    match (places, segments) {
        (["**"], _) | ([], []) => true,
        ([place, places @ ..], [segment, segments @ ..]) => {
            let here = if place.starts_with('{') {
                !segment.is_empty()
            } else {
                place == segment
            };
            here && places_match(places, segments)
        }
        _ => false,
    }
}

fn pattern_matches(pattern: &str, path: &str) -> bool {
    let split = |text| str::split(text, '/').collect::<Vec<_>>();
    places_match(&split(pattern), &split(path))
}

fn host_matches(pattern: &str, (host, port): (&str, Option<u16>), deny: bool) -> bool {
    let any_port = || deny && pattern.split(':').next() == Some(host);
    pattern == host || port.map_or_else(any_port, |port| pattern == format!("{host}:{port}"))
}

/// The fields of a clause that say no.
fn failures(rule: &ModelRule, clause: &ModelClause, ask: &Ask, deny: bool) -> Vec<&'static str> {
    let fails = |list: &List, matches: &dyn Fn(&str) -> bool| {
        list.as_ref()
            .is_some_and(|list| !list.iter().any(|item| matches(item)))
    };
    let mut failed = Vec::new();
    if !rule
        .from
        .iter()
        .any(|pattern| pattern_matches(pattern, ask.caller))
    {
        failed.push("from");
    }
    if fails(&clause.listeners, &|name| name == ask.listener) {
        failed.push("listeners");
    }
    let Some(http) = ask.http else {
        let any = clause.hosts.is_some() || clause.methods.is_some() || clause.paths.is_some();
        if any && !deny {
            failed.push("protocol");
        }
        return failed;
    };
    if fails(&clause.hosts, &|pattern| {
        host_matches(pattern, http.authority, deny)
    }) {
        failed.push("hosts");
    }
    if fails(&clause.methods, &|method| method == http.method) {
        failed.push("methods");
    }
    let spelled = |text: &str| {
        if deny {
            text.replace("%40", "@")
        } else {
            text.to_owned()
        }
    };
    let path_matches = |pattern: &str| {
        http.path
            .is_some_and(|path| pattern_matches(&spelled(pattern), &spelled(path)))
    };
    if fails(&clause.paths, &path_matches) {
        failed.push("paths");
    }
    failed
}

/// The rule nearest to allowing, its line and the field that failed.
type Near = (String, usize, &'static str);

/// `Ok(rule)`, or why not: the reason, the denying rule, the nearest.
type Verdict = Result<String, (Reason, Option<String>, Option<Near>)>;

fn verdict(rules: &[ModelRule], ask: &Ask) -> Verdict {
    let denies = |rule: &&ModelRule| {
        rule.deny
            .iter()
            .any(|clause| failures(rule, clause, ask, true).is_empty())
    };
    if let Some(rule) = rules.iter().find(denies) {
        return Err((Reason::DeniedByRule, Some(rule.name.clone()), None));
    }
    let order = ["from", "listeners", "protocol", "hosts", "methods", "paths"];
    let mut best: Option<(usize, usize, Near)> = None;
    let mut named = false;
    for rule in rules {
        let speaks = !rule.allow.is_empty() || !rule.deny.is_empty();
        named |= speaks
            && rule
                .from
                .iter()
                .any(|pattern| pattern_matches(pattern, ask.caller));
        for clause in &rule.allow {
            let failed = failures(rule, clause, ask, false);
            let Some(first) = failed.first() else {
                return Ok(rule.name.clone());
            };
            let depth = order.iter().position(|field| field == first).unwrap();
            let better = best.as_ref().is_none_or(|&(best_depth, best_count, _)| {
                depth > best_depth || depth == best_depth && failed.len() < best_count
            });
            if better {
                best = Some((
                    depth,
                    failed.len(),
                    (rule.name.clone(), clause.line, *first),
                ));
            }
        }
    }
    let reason = if named {
        Reason::NoRuleAllows
    } else {
        Reason::NoRuleForCaller
    };
    Err((reason, None, best.map(|(_, _, near)| near)))
}

fn document(rules: &[ModelRule]) -> Policy {
    let strings = |list: &List| {
        list.as_ref()
            .map(|list| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    };
    let hosts = |list: &Vec<&str>| {
        list.iter()
            .map(|text| HostPattern::parse(text).unwrap())
            .collect()
    };
    let paths = |list: &Vec<&str>| {
        list.iter()
            .map(|text| PathPattern::parse(text).unwrap())
            .collect()
    };
    let clause = |clause: &ModelClause| Clause {
        line: clause.line,
        listeners: strings(&clause.listeners),
        hosts: clause.hosts.as_ref().map(hosts),
        methods: strings(&clause.methods),
        paths: clause.paths.as_ref().map(paths),
    };
    let rule = |rule: &ModelRule| Rule {
        name: rule.name.clone(),
        line: 0,
        from: rule
            .from
            .iter()
            .map(|text| IdPattern::parse(text).unwrap())
            .collect(),
        allow: rule.allow.iter().map(clause).collect(),
        deny: rule.deny.iter().map(clause).collect(),
    };
    Policy {
        rules: rules.iter().map(rule).collect(),
    }
}

#[test]
fn the_evaluator_agrees_with_a_naive_model_on_a_million_pairs() {
    const POLICIES: usize = 20_000;
    const ASKS: usize = 50;
    let ids = CALLERS.map(|id| SpiffeId::parse(id).unwrap());
    let paths = PATHS.map(|path| Reading::of(path.as_bytes(), Paths::Strict).unwrap());
    let mut dice = Dice(0x00C0_FFEE);
    let mut counts = [0; 4];
    for _ in 0..POLICIES {
        let model = dice.rules();
        let rules = Arc::new(Rules::compile(&document(&model)));
        for _ in 0..ASKS {
            let ask = dice.ask();
            let caller = ids.iter().find(|id| id.as_str() == ask.caller).unwrap();
            let request = ask.http.map_or(Request::Tcp, |http| Request::Http {
                method: http.method,
                host: http.authority.0,
                port: http.authority.1,
                path: http
                    .path
                    .and_then(|asked| PATHS.iter().position(|path| *path == asked))
                    .map(|at| &paths[at]),
            });
            let seen = rules.for_caller(caller, ask.listener).decide(&request);
            counts[seen
                .as_ref()
                .map_or_else(|denied| 1 + denied.reason as usize, |_| 0)] += 1;
            let told = |Denied {
                            reason,
                            rule,
                            nearest,
                            ..
                        }| {
                let near = |near: crate::Nearest| (near.rule.to_string(), near.line, near.failed);
                (
                    reason,
                    rule.map(|name: Arc<str>| name.to_string()),
                    nearest.map(near),
                )
            };
            let seen: Verdict = seen.map(|permit| permit.rule().to_string()).map_err(told);
            assert_eq!(seen, verdict(&model, &ask), "{ask:?}");
        }
    }
    let tenth = POLICIES * ASKS / 10;
    assert!(
        counts.iter().all(|count| *count > tenth),
        "degenerate mix of allowed, denied by rule, no rule for caller, no rule allows: {counts:?}"
    );
}
