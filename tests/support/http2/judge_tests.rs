//! The judge can say no: each expectation fails where something else came than was expected.

use super::*;
use bytes::Bytes;
use http::Version;

/// A head on stream 1, and what is otherwise.
fn heard(head: &[(&str, &str)], change: impl FnOnce(&mut Heard)) -> Seen {
    let field = |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
    let mut heard = Heard {
        blocks: vec![head.iter().map(field).collect()],
        body: b"abc".to_vec(),
        ended: true,
        reset: None,
    };
    change(&mut heard);
    Seen {
        streams: [(1, heard)].into(),
        ..Seen::default()
    }
}

fn answered() -> Seen {
    heard(&[(":status", "200"), ("x", "y")], |_| {})
}

fn refused(reason: &str) -> Seen {
    let told = format!("countersign; error=e; details=\"{reason}\"; reached=?0");
    heard(&[(":status", "400"), ("proxy-status", &told)], |_| {})
}

fn ended(goaway: Option<u32>, end: End) -> Seen {
    Seen {
        goaway,
        end: Some(end),
        ..Seen::default()
    }
}

#[track_caller]
fn check(expected: &str, seen: Seen, good: bool) {
    let judged = client(&expectations(expected).unwrap(), &seen);
    assert_eq!(judged.is_ok(), good, "{expected}: {judged:?}");
}

#[test]
fn an_answer_is_whole_and_is_the_one_that_was_expected_or_it_is_none() {
    check("ANSWER 1 200 x=y body=abc", answered(), true);
    check("ANSWER 1 400 bad_host", refused("bad_host"), true);
    check("ANSWER 1 201", answered(), false);
    check("ANSWER 1 200 x=z", answered(), false);
    check("ANSWER 1 200 !x", answered(), false);
    check("ANSWER 1 200 body=abcd", answered(), false);
    check("ANSWER 1 200 bad_host", answered(), false);
    check("ANSWER 1 400", refused("bad_host"), false);
    check("ANSWER 1 400 bad_port", refused("bad_host"), false);
    check("ANSWER 3 200", answered(), false);
    check("ALIVE", answered(), false);
    let cut = |change: fn(&mut Heard)| heard(&[(":status", "200")], change);
    check("ANSWER 1 200", cut(|it| it.ended = false), false);
    check("ANSWER 1 200", cut(|it| it.blocks.clear()), false);
    check("OPEN 1", cut(|it| it.ended = false), true);
    check("OPEN 1", answered(), false);
    let interim = heard(&[(":status", "103")], |_| {});
    check("ANSWER 1 103", interim, false);
}

#[test]
fn a_stream_is_reset_so_or_it_is_not() {
    let reset = |code| {
        heard(&[(":status", "200")], |it| {
            (it.ended, it.reset) = (false, Some(code));
        })
    };
    check("RST 1 8", reset(8), true);
    check("RST 1 2/8", reset(8), true);
    check("RST 1 *", reset(8), true);
    check("RST 1 2", reset(8), false);
    check("RST 3 8", reset(8), false);
    check("RST 1 *", answered(), false);
    check("BROKEN 1", reset(8), true);
    check("BROKEN 1", answered(), false);
    check("BROKEN 1", refused("bad_host"), false);
    let too_late = heard(&[(":status", "200")], |it| it.reset = Some(8));
    check("RST 1 8", too_late, false);
    check("ANSWER 1 200", reset(8), false);
}

#[test]
fn a_connection_ends_so_or_it_does_not() {
    check("GOAWAY 1", ended(Some(1), End::Closed), true);
    check("GOAWAY 6/1", ended(Some(1), End::Reset), true);
    check("GOAWAY 1", ended(None, End::Reset), true);
    check("GOAWAY 1", ended(None, End::Closed), false);
    check("GOAWAY 1", ended(Some(6), End::Closed), false);
    check("GOAWAY 1", Seen::default(), false);
    check("CLOSED", ended(None, End::Closed), true);
    check("CLOSED", Seen::default(), false);
    let mut both = answered();
    both.end = Some(End::Closed);
    check("CLOSED", both.clone(), false);
    both.goaway = Some(1);
    check("ANSWER 1 200", both, false);
    check("ALIVE", ended(Some(0), End::Closed), false);
}

fn came(change: impl FnOnce(&mut AtApp)) -> AtApp {
    let mut came = AtApp {
        version: Version::HTTP_2,
        method: "POST".into(),
        target: "/a".into(),
        authority: "orders".into(),
        headers: map(&[
            (b"x".into(), b"y".into()),
            (b"x-forwarded-client-cert".into(), b"By=".into()),
        ]),
        body: Bytes::from("abc"),
        trailers: Some(map(&[(b"t".into(), b"u".into())])),
    };
    change(&mut came);
    came
}

#[track_caller]
fn check_app(expected: &str, begun: u64, whole: &[AtApp], good: bool) {
    let judged = app(&expectations(expected).unwrap(), begun, whole);
    assert_eq!(judged.is_ok(), good, "{expected}: {judged:?}");
}

#[test]
fn what_reaches_the_app_is_exactly_what_was_expected() {
    let right = "APP POST /a x=y body=abc trailer:t=u";
    check_app(right, 1, &[came(|_| {})], true);
    check_app(right, 2, &[came(|_| {}), came(|_| {})], false);
    check_app(right, 2, &[came(|_| {})], false);
    check_app(right, 1, &[], false);
    let mut wrong: Vec<AtApp> = Vec::new();
    wrong.push(came(|it| it.method = "GET".into()));
    wrong.push(came(|it| it.target = "/b".into()));
    wrong.push(came(|it| it.authority = "payments".into()));
    wrong.push(came(|it| it.body = Bytes::from("ab")));
    wrong.push(came(|it| it.trailers = None));
    wrong.push(came(|it| it.headers = map(&[])));
    wrong.push(came(|it| {
        it.headers.append("x", "z".parse().unwrap());
    }));
    for came in wrong {
        check_app(right, 1, &[came], false);
    }
    for nothing in ["ALIVE", "APP nothing"] {
        check_app(nothing, 0, &[], true);
        check_app(nothing, 1, &[], false);
        check_app(nothing, 1, &[came(|_| {})], false);
    }
    check_app("APP unfinished", 1, &[], true);
    check_app("APP unfinished", 1, &[came(|_| {})], false);
}

#[test]
fn what_an_app_is_told_is_told_with_its_code() {
    let check = |expected: &str, reset, goaway, good| {
        let judged = server(&expectations(expected).unwrap(), reset, goaway);
        assert_eq!(judged.is_ok(), good, "{expected}: {judged:?}");
    };
    check("SERVER RST 8", Some(8), None, true);
    check("SERVER RST 8", Some(2), None, false);
    check("SERVER RST *", None, Some(8), false);
    check("SERVER GOAWAY 1/6", None, Some(6), true);
    check("SERVER GOAWAY 1", None, None, false);
}
