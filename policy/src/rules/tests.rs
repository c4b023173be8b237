#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::*;
use crate::Reading;
use crate::written::{clause, rule};
use config::policy::Policy;
use config::sidecar::Paths;

mod model;

fn shop() -> Policy {
    Policy {
        rules: vec![
            rule(
                "storefront reads orders",
                2,
                &["/storefront"],
                &[
                    clause(5, "- | - | GET HEAD | /orders /orders/{id}"),
                    clause(6, "admin | - | - | -"),
                ],
                &[],
            ),
            rule(
                "staging stays out",
                8,
                &["/staging/**"],
                &[],
                &[clause(10, "- | - | - | -")],
            ),
            rule(
                "staging reads",
                12,
                &["/staging/**", "/qa"],
                &[clause(14, "- | - | GET | /**")],
                &[],
            ),
            rule(
                "nobody cancels",
                16,
                &["/**"],
                &[],
                &[clause(18, "- | - | POST | /v1/x:cancel")],
            ),
            rule(
                "batch posts",
                20,
                &["/batch"],
                &[
                    clause(22, "- | orders:8080 | POST | /**"),
                    clause(23, "tcp | - | - | -"),
                ],
                &[],
            ),
            rule(
                "star",
                24,
                &["/star"],
                &[clause(25, "- | - | OPTIONS | -")],
                &[clause(26, "- | - | DELETE | /**")],
            ),
        ],
    }
}

/// Asks `method host path` for `caller` on `listener`; the path `*` is a target without one, `tcp` a connection.
fn ask(policy: &Policy, caller: &str, listener: &str, request: &str) -> Result<String, String> {
    let id = SpiffeId::parse(&format!("spiffe://shop.example{caller}")).unwrap();
    let rules = Arc::new(Rules::compile(policy)).for_caller(&id, listener);
    let words: Vec<&str> = request.split(' ').collect();
    let path = words
        .get(2)
        .filter(|path| **path != "*")
        .map(|path| Reading::of(path.as_bytes(), Paths::Strict).unwrap());
    let request = match words[..] {
        ["tcp"] => Request::Tcp,
        [method, authority, _] => {
            let (host, port) = authority
                .split_once(':')
                .map_or((authority, None), |(host, port)| (host, port.parse().ok()));
            Request::Http {
                method,
                host,
                port,
                path: path.as_ref(),
            }
        }
        _ => panic!("{request}"),
    };
    rules
        .decide(&request)
        .map(|permit| permit.rule().to_string())
        .map_err(|denied| denied.to_string())
}

fn check(caller: &str, listener: &str, request: &str, want: Result<&str, &str>) {
    let seen = ask(&shop(), caller, listener, request);
    assert_eq!(
        seen,
        want.map(str::to_owned).map_err(str::to_owned),
        "{caller} on {listener}: {request}"
    );
}

#[test]
fn the_answer_names_its_rule() {
    check(
        "/storefront",
        "web",
        "GET orders /orders",
        Ok("storefront reads orders"),
    );
    check(
        "/storefront",
        "web",
        "HEAD orders /orders/7",
        Ok("storefront reads orders"),
    );
    check(
        "/storefront",
        "admin",
        "PURGE orders /x",
        Ok("storefront reads orders"),
    );
    check("/qa", "web", "GET orders /", Ok("staging reads"));
    check("/batch", "web", "POST orders:8080 /jobs", Ok("batch posts"));
    check(
        "/staging/a",
        "web",
        "GET orders /",
        Err("rule \"staging stays out\" (line 10) denies it"),
    );
}

#[test]
fn a_refusal_names_the_nearest_rule_and_what_failed() {
    check(
        "/storefront",
        "web",
        "DELETE orders /orders",
        Err(
            "no rule allows it; nearest is \"storefront reads orders\" (line 5), whose methods [GET, HEAD] do not include DELETE",
        ),
    );
    check(
        "/storefront",
        "web",
        "GET orders /orders/7/items",
        Err(
            "no rule allows it; nearest is \"storefront reads orders\" (line 5), whose paths [/orders, /orders/{id}] do not include /orders/7/items",
        ),
    );
    check(
        "/batch",
        "web",
        "POST orders /jobs",
        Err(
            "no rule allows it; nearest is \"batch posts\" (line 22), whose hosts [orders:8080] do not include orders",
        ),
    );
    check(
        "/elsewhere",
        "web",
        "GET orders /orders/7",
        Err(
            "no rule allows it; nearest is \"storefront reads orders\" (line 5), whose from [spiffe://shop.example/storefront] does not include spiffe://shop.example/elsewhere",
        ),
    );
}

#[test]
fn a_stranger_learns_that_no_rule_names_it() {
    let mut policy = shop();
    policy.rules.retain(|rule| rule.name != "nobody cancels");
    assert_eq!(
        ask(&policy, "/elsewhere", "web", "POST orders:8080 /jobs"),
        Err("no rule names the caller; nearest is \"batch posts\" (line 22), whose from [spiffe://shop.example/batch] does not include spiffe://shop.example/elsewhere".into())
    );
}

#[test]
fn an_empty_document_allows_nothing() {
    assert_eq!(
        ask(&Policy::default(), "/a", "web", "GET orders /"),
        Err("no rule names the caller".into())
    );
    assert_eq!(
        ask(&Policy::default(), "/a", "web", "tcp"),
        Err("no rule names the caller".into())
    );
}

#[test]
fn on_tcp_an_allow_with_an_http_field_never_matches_and_a_deny_ignores_them() {
    check(
        "/batch",
        "tcp",
        "tcp",
        Err("rule \"nobody cancels\" (line 18) denies it"),
    );
    let mut policy = shop();
    policy.rules.retain(|rule| rule.name != "nobody cancels");
    assert_eq!(
        ask(&policy, "/batch", "tcp", "tcp"),
        Ok("batch posts".into())
    );
    assert_eq!(
        ask(&policy, "/qa", "tcp", "tcp"),
        Err("no rule allows it; nearest is \"staging reads\" (line 14), whose HTTP fields [methods, paths] never match on tcp".into())
    );
    assert_eq!(
        ask(&policy, "/star", "tcp", "tcp"),
        Err("rule \"star\" (line 26) denies it".into())
    );
}

#[test]
fn a_target_without_a_path_matches_only_clauses_without_paths() {
    check("/star", "web", "OPTIONS orders *", Ok("star"));
    check(
        "/storefront",
        "admin",
        "OPTIONS orders *",
        Ok("storefront reads orders"),
    ); // absent means any
    check(
        "/staging/a",
        "web",
        "OPTIONS orders *",
        Err("rule \"staging stays out\" (line 10) denies it"),
    );
    check(
        "/qa",
        "web",
        "GET orders *",
        Err(
            "no rule allows it; nearest is \"staging reads\" (line 14), whose paths [/**] do not include a target without a path",
        ),
    );
}

#[test]
fn no_spelling_of_a_path_leads_around_a_deny_and_none_widens_an_allow() {
    let everything_but = Policy {
        rules: vec![rule(
            "most",
            1,
            &["/a"],
            &[clause(2, "- | - | - | /**")],
            &[clause(3, "- | - | - | /x:cancel /a%40b")],
        )],
    };
    let denied = Err("rule \"most\" (line 3) denies it".to_owned());
    for path in [
        "/x:cancel",
        "/x%3Acancel",
        "/x%3acancel",
        "/%78:cancel",
        "/a@b",
        "/a%40b",
    ] {
        assert_eq!(
            ask(&everything_but, "/a", "web", &format!("POST orders {path}")),
            denied,
            "{path}"
        );
    }
    let only = Policy {
        rules: vec![rule(
            "only",
            1,
            &["/a"],
            &[clause(2, "- | - | - | /x:cancel")],
            &[],
        )],
    };
    assert_eq!(
        ask(&only, "/a", "web", "POST orders /x:cancel"),
        Ok("only".into())
    );
    assert_eq!(
        ask(&only, "/a", "web", "POST orders /x%3acancel"),
        Err("no rule allows it; nearest is \"only\" (line 2), whose paths [/x:cancel] do not include /x%3Acancel".into())
    );
}

#[test]
fn what_a_caller_sends_enters_the_sentence_escaped_and_cut() {
    let denied = ask(
        &shop(),
        "/storefront",
        "web",
        &format!("G\x1b[31m{} orders /orders", "T".repeat(500)),
    )
    .unwrap_err();
    assert!(
        denied.contains("do not include G\\u{1b}[31mTTT")
            && denied.ends_with("T…")
            && denied.len() < 400,
        "{denied}"
    );
}

#[test]
fn a_long_list_shows_its_beginning() {
    let paths = (0..9)
        .map(|n| format!("/p{n}"))
        .collect::<Vec<_>>()
        .join(" ");
    let policy = Policy {
        rules: vec![rule(
            "many",
            1,
            &["/a"],
            &[clause(2, &format!("- | - | - | {paths}"))],
            &[],
        )],
    };
    let denied = ask(&policy, "/a", "web", "GET orders /q").unwrap_err();
    assert!(
        denied.contains("whose paths [/p0, /p1, /p2, /p3, /p4, /p5, … 3 more] do not include /q"),
        "{denied}"
    );
}

#[test]
fn labels_never_change() {
    let labels = [
        Reason::DeniedByRule,
        Reason::NoRuleForCaller,
        Reason::NoRuleAllows,
    ]
    .map(Reason::label);
    assert_eq!(
        labels,
        ["denied_by_rule", "no_rule_for_caller", "no_rule_allows"]
    );
}
