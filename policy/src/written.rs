//! Policies as tests write them down.
#![allow(clippy::unwrap_used, reason = "tests")]
use config::policy::{Clause, Rule};
use config::{HostPattern, IdPattern, PathPattern};

/// A clause written as `listeners | hosts | methods | paths`, each a list between blanks or `-` for absent.
pub(crate) fn clause(line: usize, text: &str) -> Clause {
    let mut fields = text.split('|').map(|field| match field.trim() {
        "-" => None,
        list => Some(
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        ),
    });
    let mut next = || fields.next().unwrap();
    Clause {
        line,
        listeners: next(),
        hosts: next().map(|hosts| {
            hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect()
        }),
        methods: next(),
        paths: next().map(|paths| {
            paths
                .iter()
                .map(|path| PathPattern::parse(path).unwrap())
                .collect()
        }),
    }
}

/// A rule for callers of `spiffe://shop.example`.
pub(crate) fn rule(
    name: &str,
    line: usize,
    from: &[&str],
    allow: &[Clause],
    deny: &[Clause],
) -> Rule {
    let from = from
        .iter()
        .map(|id| IdPattern::parse(&format!("spiffe://shop.example{id}")).unwrap())
        .collect();
    Rule {
        name: name.into(),
        line,
        from,
        allow: allow.to_vec(),
        deny: deny.to_vec(),
    }
}
