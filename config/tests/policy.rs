//! Policy documents: what is valid, and what is found in one that is not.
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_config::policy::{Clause, Policy, Rule};
use countersign_config::sidecar::Sidecar;
use countersign_config::{HostPattern, IdPattern, PathPattern};
use std::path::Path;

/// The contract's example.
const WHOLE: &str = r#"default: deny
rules:
  - name: storefront reads orders
    from: ["spiffe://shop.example/storefront"]
    allow:
      - { methods: [GET, HEAD], paths: ["/orders", "/orders/{id}"] }
  - name: staging stays out
    from: ["spiffe://shop.example/staging/**"]
    deny: [{}]
"#;

fn read(text: &str) -> Result<Policy, String> {
    Policy::parse(text, Path::new("policy.yaml")).map_err(|findings| findings.to_string())
}

#[test]
fn a_whole_document_is_read() {
    let id = |text| IdPattern::parse(text).unwrap();
    let path = |text| PathPattern::parse(text).unwrap();
    let expected = Policy {
        rules: vec![
            Rule {
                name: "storefront reads orders".into(),
                line: 3,
                from: vec![id("spiffe://shop.example/storefront")],
                allow: vec![Clause {
                    line: 6,
                    methods: Some(vec!["GET".into(), "HEAD".into()]),
                    paths: Some(vec![path("/orders"), path("/orders/{id}")]),
                    ..Clause::default()
                }],
                deny: vec![],
            },
            Rule {
                name: "staging stays out".into(),
                line: 7,
                from: vec![id("spiffe://shop.example/staging/**")],
                allow: vec![],
                deny: vec![Clause {
                    line: 9,
                    ..Clause::default()
                }],
            },
        ],
    };
    assert_eq!(read(WHOLE), Ok(expected));
    assert_eq!(read("rules: []\n"), Ok(Policy::default()));
    let clause = "rules: [{ name: a, from: [\"spiffe://a/b\"], allow: [{ listeners: [web], hosts: [\"orders:80\"] }] }]\n";
    let policy = read(clause).unwrap();
    assert_eq!(policy.rules[0].allow[0].listeners, Some(vec!["web".into()]));
    assert_eq!(
        policy.rules[0].allow[0].hosts,
        Some(vec![HostPattern::parse("orders:80").unwrap()])
    );
}

#[test]
fn each_mistake_is_one_finding_at_its_place() {
    let rule = |rest: &str| format!("rules:\n  - name: a\n    {rest}\n");
    let clause = |clause: &str| rule(&format!("from: [\"spiffe://a/b\"]\n    allow: [{clause}]"));
    for (text, finding) in [
        (
            "default: allow\nrules: []\n".into(),
            "1:10: default: `allow` is no default here; write `deny`, and a rule with `allow: [{}]` for whom you trust",
        ),
        (
            "default: dney\nrules: []\n".into(),
            "1:10: default: is the text `dney`; did you mean `deny`?",
        ),
        (
            "default: deny\n".into(),
            "1:1: `rules` is missing; add `rules: []`",
        ),
        (
            rule("allow: [{}]"),
            "2:5: rules[0]: `from` is missing; add `from: [\"spiffe://shop.example/storefront\"]`",
        ),
        (
            rule("from: []\n    allow: [{}]"),
            "3:11: rules[0].from: is an empty list; name at least one, or remove the key",
        ),
        (
            rule("from: [\"spiffe://a/b\"]"),
            "2:5: rules[0]: none of `allow`, `deny` is there; add at least one",
        ),
        (
            rule("from: [\"spiffe://a/b\"]\n    alow: [{}]"),
            "4:5: rules[0]: unknown key `alow`; did you mean `allow`?",
        ),
        (
            rule("from: [\"spiffe://a/b\"]\n    allow: {}"),
            "4:12: rules[0].allow: is a mapping; wanted a list",
        ),
        (
            clause(""),
            "4:12: rules[0].allow: is an empty list; name at least one, or remove the key",
        ),
        (
            clause("{ method: [GET] }"),
            "4:15: rules[0].allow[0]: unknown key `method`; did you mean `methods`?",
        ),
        (
            clause("{ methods: [] }"),
            "4:24: rules[0].allow[0].methods: is an empty list; name at least one, or remove the key",
        ),
        (
            clause("{ methods: [GET, get] }"),
            "4:30: rules[0].allow[0].methods[1]: `get`: case matters (RFC 9110 §9.1), and `GET` is what callers send; wanted a method such as `GET`",
        ),
        (
            clause("{ methods: [\"G T\"] }"),
            "4:25: rules[0].allow[0].methods[0]: `G T`: ` ` is not allowed in a method; wanted a method such as `GET`",
        ),
        (
            clause("{ listeners: [\"a b\"] }"),
            "4:27: rules[0].allow[0].listeners[0]: `a b`: ` ` is not allowed in a name; wanted a name of 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit",
        ),
        (
            clause("{}") + &clause("{}")["rules:\n".len()..],
            "5:11: rules[1].name: `a` is also the name of the rule at line 2; each name stands once",
        ),
        (
            clause("{}").replace("name: a", "name: \"\""),
            "2:11: rules[0].name: ``: is empty; wanted a name of 1 to 200 characters on one line",
        ),
    ] {
        assert_eq!(read(&text), Err(format!("policy.yaml:{finding}")), "{text}");
    }
}

#[test]
fn errors_in_patterns_stand_at_the_pattern() {
    for (key, pattern, line, column) in [
        ("paths", "orders", 4, 23),
        ("paths", "/a/**/b", 4, 23),
        ("hosts", "a b", 4, 23),
    ] {
        let text = format!(
            "rules:\n  - name: a\n    from: [\"spiffe://a/b\"]\n    allow: [{{ {key}: [\"{pattern}\"] }}]\n"
        );
        let findings = Policy::parse(&text, Path::new("p.yaml")).unwrap_err();
        assert_eq!(findings.0.len(), 1, "{findings}");
        assert_eq!(
            (findings.0[0].line, findings.0[0].column),
            (line, column),
            "{findings}"
        );
        assert_eq!(findings.0[0].at, format!("rules[0].allow[0].{key}[0]"));
    }
    for id in ["spiffe://*/b", "https://a/b", "spiffe://a"] {
        let text = format!("rules:\n  - name: a\n    from: [\"{id}\"]\n    allow: [{{}}]\n");
        let findings = Policy::parse(&text, Path::new("p.yaml")).unwrap_err();
        assert_eq!(
            (findings.0.len(), findings.0[0].line, findings.0[0].column),
            (1, 3, 12),
            "{findings}"
        );
    }
}

#[test]
fn a_clause_for_a_listener_that_is_not_there_is_found_with_the_sidecar() {
    let sidecar = "identity: { trustDomain: a, files: { certificate: c, key: k, bundle: b } }\npolicy: { file: p.yaml }\n\
                   inbound: [{ name: web, listen: \"0.0.0.0:1\", app: \"127.0.0.1:2\", protocol: http }]\n";
    let sidecar = Sidecar::parse(sidecar, Path::new("s.yaml")).unwrap();
    let policy = |listener| {
        format!(
            "rules: [{{ name: a, from: [\"spiffe://a/b\"], deny: [{{ listeners: [{listener}] }}] }}]\n"
        )
    };
    let read = |listener| {
        Policy::parse_for(&sidecar, &policy(listener), Path::new("p.yaml"))
            .map_err(|findings| findings.to_string())
    };
    assert_eq!(
        read("web"),
        Ok(Policy::parse(&policy("web"), Path::new("p.yaml")).unwrap())
    );
    assert_eq!(
        read("wbe"),
        Err("p.yaml:1:65: rules[0].deny[0].listeners[0]: there is no inbound listener `wbe`; did you mean `web`?".into())
    );
}
