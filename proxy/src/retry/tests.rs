#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const AGAIN: Verdict = Verdict::Again(BACKOFF);
const AT_ONCE: Verdict = Verdict::Again(Duration::ZERO);

fn rules(on: &[On], methods: Option<&[&str]>) -> Retries {
    Retries {
        attempts: 2,
        on: on.to_vec(),
        methods: methods.map(|methods| methods.iter().map(|name| (*name).to_owned()).collect()),
    }
}

fn asked(method: &Method) -> Asked<'_> {
    Asked {
        method,
        is_retry: false,
        repeatable: true,
        races: 0,
        retries: 0,
        left: None,
    }
}

fn unavailable(wait: Wait) -> Outcome {
    Outcome::Answered(Answered {
        unavailable: true,
        wait,
    })
}

const ALL: [On; 3] = [On::ConnectFailure, On::Reset, On::Unavailable];

/// Every outcome but a race.
fn outcomes() -> [Outcome; 6] {
    let fine = Outcome::Answered(Answered {
        unavailable: false,
        wait: Wait::Unsaid,
    });
    [
        Outcome::NotConnected,
        Outcome::Declined,
        Outcome::Lost,
        unavailable(Wait::Unsaid),
        fine,
        Outcome::Final,
    ]
}

#[test]
fn what_may_have_been_seen_is_repeated_only_where_the_method_may_be() {
    let (safe_and_idempotent, listed) = (rules(&ALL, None), rules(&ALL, Some(&["POST"])));
    for (method, rules, [lost, answered]) in [
        ("GET", &safe_and_idempotent, [AGAIN, AGAIN]),
        ("HEAD", &safe_and_idempotent, [AGAIN, AGAIN]),
        ("OPTIONS", &safe_and_idempotent, [AGAIN, AGAIN]),
        ("PUT", &safe_and_idempotent, [AGAIN, AGAIN]),
        ("DELETE", &safe_and_idempotent, [AGAIN, AGAIN]),
        ("POST", &safe_and_idempotent, [Verdict::No; 2]),
        ("PATCH", &safe_and_idempotent, [Verdict::No; 2]),
        ("PURGE", &safe_and_idempotent, [Verdict::No; 2]),
        ("get", &safe_and_idempotent, [Verdict::No; 2]),
        ("POST", &listed, [AGAIN, AGAIN]),
        ("GET", &listed, [Verdict::No; 2]),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let verdicts =
            outcomes().map(|outcome| decide(Allowed::By(rules), asked(&method), outcome, 0.5));
        let expected = [AGAIN, AT_ONCE, lost, answered, Verdict::No, Verdict::No];
        assert_eq!(verdicts, expected, "{method}");
    }
}

#[test]
fn only_what_is_named_is_a_reason() {
    for (on, expected) in [
        (
            On::ConnectFailure,
            [AGAIN, AT_ONCE, Verdict::No, Verdict::No],
        ),
        (On::Reset, [Verdict::No, AT_ONCE, AGAIN, Verdict::No]),
        (On::Unavailable, [Verdict::No, AT_ONCE, Verdict::No, AGAIN]),
    ] {
        let rules = rules(&[on], None);
        let verdicts = outcomes()
            .map(|outcome| decide(Allowed::By(&rules), asked(&Method::GET), outcome, 0.5));
        assert_eq!(verdicts[..4], expected, "{on:?}");
    }
}

#[test]
fn where_a_service_says_nothing_only_what_nobody_looked_at_is_sent_again() {
    for (allowed, declined) in [(Allowed::Default, AT_ONCE), (Allowed::ToApp, Verdict::Anew)] {
        for outcome in outcomes() {
            let expected = if outcome == Outcome::Declined {
                declined
            } else {
                Verdict::No
            };
            assert_eq!(
                decide(allowed, asked(&Method::GET), outcome, 0.5),
                expected,
                "{allowed:?} {outcome:?}"
            );
        }
        let enough = Asked {
            retries: DECLINED_MAX,
            ..asked(&Method::GET)
        };
        assert_eq!(decide(allowed, enough, Outcome::Declined, 0.5), Verdict::No);
    }
}

#[test]
fn where_a_sidecar_has_no_app_the_next_is_asked_whatever_the_rules_and_a_few_times() {
    let rules = rules(&[], None);
    for allowed in [Allowed::Default, Allowed::By(&rules)] {
        for is_retry in [false, true] {
            let first = Asked {
                is_retry,
                ..asked(&Method::POST)
            };
            let used_up = Asked {
                repeatable: false,
                ..first
            };
            let often = Asked {
                retries: DECLINED_MAX,
                ..first
            };
            let check = |asked, verdict| {
                assert_eq!(decide(allowed, asked, Outcome::Elsewhere, 0.5), verdict);
            };
            check(first, Verdict::Anew);
            check(used_up, Verdict::No);
            check(often, Verdict::No);
        }
    }
}

#[test]
fn a_retry_is_never_retried_and_what_cannot_be_repeated_is_not() {
    let rules = rules(&ALL, None);
    for allowed in [Allowed::ToApp, Allowed::Default, Allowed::By(&rules)] {
        for outcome in outcomes() {
            let marked = Asked {
                is_retry: true,
                ..asked(&Method::GET)
            };
            let used_up = Asked {
                repeatable: false,
                ..asked(&Method::GET)
            };
            assert_eq!(decide(allowed, used_up, outcome, 0.5), Verdict::No);
            // To an app there are no retries that could multiply.
            if !matches!(allowed, Allowed::ToApp) {
                assert_eq!(decide(allowed, marked, outcome, 0.5), Verdict::No);
            }
        }
        // A race is none: not a byte went.
        let marked = Asked {
            is_retry: true,
            repeatable: false,
            ..asked(&Method::POST)
        };
        assert_eq!(decide(allowed, marked, Outcome::Raced, 0.5), Verdict::Anew);
        let lost_all = Asked {
            races: RACES_MAX,
            ..marked
        };
        assert_eq!(decide(allowed, lost_all, Outcome::Raced, 0.5), Verdict::No);
    }
}

#[test]
fn what_a_server_asks_to_wait_is_waited_or_the_answer_is_passed_on() {
    let rules = rules(&ALL, None);
    let seconds = Duration::from_secs;
    for (wait, expected) in [
        (Wait::AtLeast(Duration::ZERO), AGAIN),
        (Wait::AtLeast(seconds(1)), Verdict::Again(seconds(1))),
        (Wait::AtLeast(WAIT_MAX), Verdict::Again(WAIT_MAX)),
        (Wait::AtLeast(seconds(6)), Verdict::No),
        (Wait::Never, Verdict::No),
    ] {
        let verdict = decide(
            Allowed::By(&rules),
            asked(&Method::GET),
            unavailable(wait),
            0.5,
        );
        assert_eq!(verdict, expected, "{wait:?}");
    }
}

#[test]
fn nobody_is_kept_waiting_beyond_the_time_that_is_left() {
    let rules = rules(&ALL, None);
    for (left, expected) in [(BACKOFF, Verdict::No), (2 * BACKOFF, AGAIN)] {
        let asked = Asked {
            left: Some(left),
            ..asked(&Method::GET)
        };
        let verdict = decide(Allowed::By(&rules), asked, Outcome::Lost, 0.5);
        assert_eq!(verdict, expected, "{left:?}");
    }
}

#[test]
fn unavailable_is_503_or_the_grpc_status_of_an_answer_without_a_message() {
    for (status, grpc, expected) in [
        (503, None, true),
        (200, Some("14"), true),
        (200, Some("13"), false),
        (200, Some("0"), false),
        (200, None, false),
        (500, None, false),
        (504, Some("14"), false),
    ] {
        let mut headers = http::HeaderMap::new();
        headers.extend(grpc.map(|status| {
            let name = http::HeaderName::from_static("grpc-status");
            (name, http::HeaderValue::from_static(status))
        }));
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(is_unavailable(status, &headers), expected, "{status}");
    }
}

proptest! {
    #[test]
    fn there_are_never_more_retries_than_named_and_waits_grow_within_bounds(
        attempts in 1_usize..=5, retries in 0_usize..100, chance in 0.0_f64..=1.0, which in 0_usize..6,
    ) {
        let rules = Retries { attempts, ..rules(&ALL, None) };
        let asked = Asked { retries, ..asked(&Method::GET) };
        match decide(Allowed::By(&rules), asked, outcomes()[which], chance) {
            Verdict::Again(wait) => {
                prop_assert!(retries < attempts);
                prop_assert!(wait <= BACKOFF * 48, "{wait:?}");
            }
            Verdict::Anew => prop_assert!(false, "only a race is free"),
            Verdict::No => {}
        }
    }
}
