#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::written::{clause, rule};
use config::policy;

fn check_each(rules: &[Rule], want: &[&str]) {
    let told = |warning: &Warning| format!("{}: {warning}", warning.line);
    let seen: Vec<String> = check(&Policy {
        rules: rules.to_vec(),
    })
    .iter()
    .map(told)
    .collect();
    assert_eq!(seen, want);
}

/// Two clauses that allow, in two rules for the same caller.
fn pair(first: &str, second: &str) -> [Rule; 2] {
    [
        rule("one", 1, &["/a"], &[clause(2, first)], &[]),
        rule("two", 3, &["/a"], &[clause(4, second)], &[]),
    ]
}

/// An allow and a deny for the same caller.
fn against(allow: &str, deny: &str) -> [Rule; 2] {
    [
        rule("yes", 1, &["/a"], &[clause(2, allow)], &[]),
        rule("no", 3, &["/a"], &[], &[clause(4, deny)]),
    ]
}

#[test]
fn a_sound_policy_has_no_warning() {
    check_each(&[], &[]);
    check_each(
        &pair("- | - | GET | /orders", "- | - | POST | /orders"),
        &[],
    );
    check_each(
        &pair("- | - | GET | /orders/**", "- | - | - | /orders/{id}"),
        &[],
    );
    check_each(&pair("- | - | - | /a/{id}", "- | - | - | /{id}/b"), &[]);
    check_each(&pair("- | orders:80 | - | -", "- | orders:81 | - | -"), &[]);
    check_each(&pair("web | - | - | -", "admin | - | - | -"), &[]);
    check_each(
        &against("- | - | - | /orders/**", "- | - | - | /orders/{id}"),
        &[],
    );
}

#[test]
fn what_others_cover_is_reported_with_who_covers_it() {
    let first = "2: rule \"one\" adds nothing: \"two\" (line 4) already covers all of it; remove the clause";
    let second = "4: rule \"two\" adds nothing: \"one\" (line 2) already covers all of it; remove the clause";
    check_each(
        &pair("- | - | GET | /orders", "- | - | GET HEAD | /orders/**"),
        &[first],
    );
    check_each(&pair("- | - | - | /**", "- | - | - | /a/{id}/b"), &[second]);
    check_each(
        &pair("- | - | - | /{a}/{b}", "- | - | - | /x/y /{z}/y"),
        &[second],
    );
    check_each(
        &pair("- | orders | - | -", "- | orders:80 | - | -"),
        &[second],
    );
    check_each(&pair("- | - | - | -", "- | - | - | /**"), &[second]); // not the other way: `*` has no path
    check_each(
        &pair("- | - | - | /**", "- | - | - | -"),
        &[
            "2: rule \"one\" adds nothing: \"two\" (line 4) already covers all of it; remove the clause",
        ],
    );
}

#[test]
fn a_union_covers_what_none_does_alone() {
    let rules = [
        rule(
            "whole",
            1,
            &["/a", "/b"],
            &[clause(2, "- | - | GET POST | /x/**")],
            &[],
        ),
        rule(
            "head",
            3,
            &["/{any}"],
            &[clause(4, "- | - | - | /x /x/")],
            &[],
        ),
        rule(
            "rest",
            5,
            &["/a"],
            &[clause(6, "- | - | - | /x/{id}/**")],
            &[],
        ),
        rule(
            "others",
            7,
            &["/b"],
            &[
                clause(8, "- | - | GET | /{x}/{id}/**"),
                clause(9, "- | - | POST | /{x}/{id}/**"),
            ],
            &[],
        ),
    ];
    check_each(
        &rules,
        &[
            "2: rule \"whole\" adds nothing: \"head\" (line 4) and \"rest\" (line 6) and \"others\" (line 8) and \"others\" (line 9) already covers all of it; remove the clause",
        ],
    );
}

#[test]
fn the_later_of_two_alike_is_the_one_repeated() {
    let repeated = "4: rule \"two\" repeats a clause: \"one\" (line 2) says the same; remove one";
    check_each(
        &pair("- | - | GET | /a/{x}", "- | - | GET | /a/{y}"),
        &[repeated],
    );
    check_each(
        &pair("- | A.b GET | - | /c", "- | GET a.B. | - | /c"),
        &[repeated],
    );
    check_each(
        &[rule(
            "no",
            1,
            &["/a"],
            &[],
            &[
                clause(2, "- | - | GET | /x:y"),
                clause(3, "- | - | GET | /x%3Ay"),
            ],
        )],
        &["3: rule \"no\" repeats a clause: \"no\" (line 2) says the same; remove one"],
    );
}

#[test]
fn what_is_always_denied_is_reported() {
    let denied = "2: rule \"yes\" never allows: \"no\" (line 4) denies all of it; remove the clause, or narrow the deny";
    check_each(
        &against("- | - | GET | /orders/{id}", "- | - | - | /orders/**"),
        &[denied],
    );
    check_each(&against("- | - | - | -", "- | - | - | -"), &[denied]);
    check_each(
        &against("- | - | - | /x%3Ay", "- | - | - | /x:y"),
        &[denied],
    );
    check_each(
        &against("- | - | - | /x:y", "- | - | - | /x%3ay"),
        &[denied],
    );
    check_each(&against("- | - | - | /**", "- | - | - | -"), &[denied]);
    check_each(&against("- | - | - | -", "- | - | - | /**"), &[]); // `*` is left
}

#[test]
fn a_deny_that_another_covers_is_reported() {
    check_each(
        &[
            rule("no", 1, &["/a/**"], &[], &[clause(2, "- | - | - | -")]),
            rule("too", 3, &["/a/b"], &[], &[clause(4, "- | - | GET | /x")]),
        ],
        &[
            "4: rule \"too\" adds nothing: \"no\" (line 2) already covers all of it; remove the clause",
        ],
    );
}

#[test]
fn a_deny_on_tcp_counts_whatever_its_http_fields() {
    let rules = |deny: &str| {
        [rule(
            "mixed",
            1,
            &["/a"],
            &[clause(2, "db | - | - | -")],
            &[clause(3, deny)],
        )]
    };
    check_each(&rules("db | - | GET | -"), &[]); // as http it could still allow a POST
    let db = [("db", Protocol::Tcp)];
    let seen = check_for(
        &Policy {
            rules: rules("db | - | GET | -").to_vec(),
        },
        &listeners(&db),
    );
    assert_eq!(
        seen.iter()
            .map(|warning| warning.flaw.clone())
            .collect::<Vec<_>>(),
        [Flaw::Denied]
    );
}

#[test]
fn a_rule_without_a_clause_is_empty() {
    check_each(
        &[rule("idle", 7, &["/a"], &[], &[])],
        &["7: rule \"idle\" decides nothing: it has no clause; add one, or remove the rule"],
    );
}

fn listeners(named: &[(&str, Protocol)]) -> Vec<Inbound> {
    let address = config::Address::Unix("/run/x".into());
    named
        .iter()
        .map(|(name, protocol)| Inbound {
            name: (*name).into(),
            listen: address.clone(),
            app: address.clone(),
            protocol: *protocol,
            require_loopback: false,
            mode: config::sidecar::Mode::Strict,
            paths: config::sidecar::Paths::Strict,
            probes: Vec::new(),
            half_close: config::sidecar::HalfClose::Abort,
        })
        .collect()
}

#[test]
fn known_listeners_show_what_cannot_match() {
    let policy = Policy {
        rules: vec![
            rule("typo", 1, &["/a"], &[clause(2, "other | - | - | -")], &[]),
            rule("fields", 3, &["/a"], &[clause(4, "db | - | GET | -")], &[]),
            rule(
                "named",
                5,
                &["/b"],
                &[
                    clause(6, "web | - | - | -"),
                    clause(7, "db | - | - | -"),
                    clause(8, "- | - | - | -"),
                ],
                &[],
            ),
        ],
    };
    let seen: Vec<_> = check_for(
        &policy,
        &listeners(&[("web", Protocol::Http), ("db", Protocol::Tcp)]),
    )
    .into_iter()
    .map(|warning| (warning.line, warning.flaw))
    .collect();
    let want = [
        (2, Flaw::OnNoListener),
        (4, Flaw::OnNoListener),
        (8, Flaw::Covered), // by 6 and 7, which are all that there is
    ];
    assert_eq!(seen, want);
}

/// What is reported, against all requests of a world small enough to try every one.
mod brute_force {
    use super::*;
    use crate::{CallerRules, Reading, Request, Rules};
    use config::SpiffeId;
    use config::sidecar::Paths;
    use proptest::prelude::*;

    /// Each list of these holds all values that the documents name, one that they do not, and depths beyond their deepest.
    fn every_verdict(policy: &Policy, paths: Paths) -> Vec<bool> {
        let rules = Arc::new(Rules::compile(policy));
        let segments = ["a", "z"];
        let deeper = |paths: &[String]| -> Vec<String> {
            paths
                .iter()
                .flat_map(|path| {
                    segments
                        .iter()
                        .map(move |segment| format!("{path}/{segment}"))
                })
                .collect()
        };
        let (one, mut all) = (deeper(&[String::new()]), Vec::new());
        let (two, three) = (deeper(&one), deeper(&deeper(&one)));
        all.extend([one, two, three].concat());
        let ids: Vec<SpiffeId> = all
            .iter()
            .map(|path| SpiffeId::parse(&format!("spiffe://shop.example{path}")).unwrap())
            .collect();
        let slashed = all.iter().map(|path| format!("{path}/"));
        let texts: Vec<String> = all
            .iter()
            .cloned()
            .chain(slashed)
            .chain(["/".into(), "/b@".into(), "/b%40".into()])
            .collect();
        let doubtful: Vec<String> = match paths {
            Paths::Raw => all
                .iter()
                .map(|path| format!("{path}/;"))
                .chain(["//".into()])
                .collect(),
            Paths::Strict | Paths::Canonical => Vec::new(),
        };
        let paths: Vec<Option<Reading<'_>>> = texts
            .iter()
            .map(|text| Some(Reading::of(text.as_bytes(), Paths::Strict).unwrap()))
            .chain([None])
            .chain(
                doubtful
                    .iter()
                    .map(|text| Some(Reading::of(text.as_bytes(), Paths::Raw).unwrap())),
            )
            .collect();
        let mut verdicts = Vec::new();
        for id in &ids {
            for listener in ["web", "other"] {
                let asked = rules.for_caller(id, listener);
                verdicts.push(asked.decide(&Request::Tcp).is_ok());
                paths
                    .iter()
                    .for_each(|path| every_authority(&asked, path.as_ref(), &mut verdicts));
            }
        }
        verdicts
    }

    fn every_authority(asked: &CallerRules, path: Option<&Reading<'_>>, verdicts: &mut Vec<bool>) {
        for method in ["GET", "PUT", "OTHER"] {
            for (host, port) in [
                ("h", None),
                ("h", Some(80)),
                ("h", Some(81)),
                ("other", None),
            ] {
                verdicts.push(
                    asked
                        .decide(&Request::Http {
                            method,
                            host,
                            port,
                            path,
                        })
                        .is_ok(),
                );
            }
        }
    }

    fn written() -> impl Strategy<Value = policy::Clause> {
        let paths = prop::sample::select(vec![
            "-",
            "-",
            "/**",
            "/",
            "/a",
            "/a/",
            "/{x}",
            "/{x}/",
            "/a/{x}",
            "/a/**",
            "/{x}/**",
            "/{x}/a",
            "/a / /{x}/**",
            "/ /{x} /{x}/ /{x}/{y}/**",
            "/b@",
            "/b%40",
            "/{x}/{y} /{x}/**",
        ]);
        let listeners = prop::sample::select(vec!["-", "-", "web"]);
        let hosts = prop::sample::select(vec!["-", "-", "-", "h", "h:80"]);
        let methods = prop::sample::select(vec!["-", "-", "GET", "GET PUT"]);
        (listeners, hosts, methods, paths).prop_map(|(listeners, hosts, methods, paths)| {
            clause(0, &format!("{listeners} | {hosts} | {methods} | {paths}"))
        })
    }

    fn documents() -> impl Strategy<Value = Policy> {
        let from =
            prop::sample::select(vec!["/**", "/a", "/{x}", "/a/**", "/{x}/a", "/{x}/{y}/**"]);
        let clauses = |most| prop::collection::vec(written(), 0..=most);
        let rules = prop::collection::vec((from, clauses(2), clauses(1)), 1..4);
        rules.prop_map(|rules| {
            let mut lines = 1..;
            let mut number = |mut clauses: Vec<policy::Clause>| {
                clauses
                    .iter_mut()
                    .for_each(|clause| clause.line = lines.next().unwrap());
                clauses
            };
            let rule = |(n, (from, allow, deny)): (usize, (&str, _, _))| {
                rule(&n.to_string(), 0, &[from], &number(allow), &number(deny))
            };
            Policy {
                rules: rules.into_iter().enumerate().map(rule).collect(),
            }
        })
    }

    fn without(policy: &Policy, lines: &[usize]) -> Policy {
        let mut policy = policy.clone();
        for rule in &mut policy.rules {
            rule.allow.retain(|clause| !lines.contains(&clause.line));
            rule.deny.retain(|clause| !lines.contains(&clause.line));
        }
        policy
            .rules
            .retain(|rule| !rule.allow.is_empty() || !rule.deny.is_empty());
        policy
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_reported_changes_no_verdict_and_what_is_not_does(policy in documents(), raw: bool) {
            let mut inbound = listeners(&[("web", Protocol::Http), ("other", Protocol::Http)]);
            inbound.iter_mut().for_each(|listener| listener.paths = Paths::Raw);
            let paths = match raw {
                true => Paths::Raw,
                false => Paths::Strict,
            };
            let check = |policy: &Policy| match raw {
                true => check_for(policy, &inbound),
                false => check(policy),
            };
            let every_verdict = |policy: &Policy| every_verdict(policy, paths);
            let reported: Vec<usize> = check(&policy).iter().map(|warning| warning.line).filter(|line| *line > 0).collect();
            let rest = without(&policy, &reported);
            let verdicts = every_verdict(&rest);
            prop_assert!(verdicts == every_verdict(&policy), "removing lines {:?} changes verdicts", reported);
            prop_assert_eq!(check(&rest), []);
            let allows = rest.rules.iter().flat_map(|rule| &rule.allow).map(|clause| clause.line);
            for line in allows {
                prop_assert!(every_verdict(&without(&rest, &[line])) != verdicts, "line {} changes nothing", line);
            }
        }
    }
}
