//! Answers.

use super::*;

#[track_caller]
fn answered(asked: Asked, bytes: &str, expected: (&[Seen], Option<Fault>)) {
    for sizes in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        let seen = answers_in(asked, bytes.as_bytes(), sizes);
        let expected = (expected.0.to_vec(), expected.1);
        assert_eq!(seen, expected, "{}", bytes.escape_debug());
    }
}

#[test]
fn an_answer_ends_where_all_readers_say_so() {
    let kind = |kind| Asked { kind, ..GET };
    for (asked, head, framing) in [
        (GET, "HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose),
        (GET, "HTTP/1.1 200 \r\n\r\n", Framing::UntilClose),
        (GET, "HTTP/1.0 999 \u{e9} \r\n\r\n", Framing::UntilClose),
        (
            GET,
            "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n",
            Framing::None,
        ),
        (
            GET,
            "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
            Framing::None,
        ),
        (GET, "HTTP/1.1 204\r\n\r\n", Framing::None),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Framing::None,
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Framing::Length(5),
        ),
        (
            kind(Kind::Head),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Framing::None,
        ),
        (
            kind(Kind::Connect),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Framing::None,
        ),
        (
            kind(Kind::Connect),
            "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
            Framing::Length(5),
        ),
    ] {
        answered(asked, head, (&[Seen::Head(head.len(), framing)], None));
    }
    for (head, fault) in [
        ("HTTP/1.1 200\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 200\rOK\r\n\r\n", Fault::BareCr),
        ("HTTP/1.1  200 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::StatusLine),
        ("http/1.1 200 OK\r\n\r\n", Fault::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
        ("ICY 200 OK\r\n\r\n", Fault::StatusLine),
        ("<html>", Fault::StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Fault::StatusLine),
        ("HTTP/1.1 200 OK\n\r\n", Fault::BareLf),
        ("HTTP/1.1 200 OK\rX", Fault::BareCr),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Fault::Fold),
        ("HTTP/1.1 101 Switch\r\n\r\n", Fault::UnaskedSwitch),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            Fault::TwoLengths,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::LengthAndCoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            Fault::UnknownCoding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::CodingInHttp10,
        ),
    ] {
        answered(GET, head, (&[], Some(fault)));
    }
}

#[test]
fn one_final_answer_is_all_that_a_request_gets() {
    let (interim, last) = (
        "HTTP/1.1 103 Early\r\nLink: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    );
    let seen = [
        Seen::Head(interim.len(), Framing::None),
        Seen::Head(last.len(), Framing::Length(2)),
        Seen::Body(2),
    ];
    answered(GET, &format!("{interim}{last}ok"), (&seen, None));
    answered(
        GET,
        &format!("{interim}{last}ok{last}ok"),
        (&seen, Some(Fault::Unsolicited)),
    );
    let all = vec![Seen::Head(interim.len(), Framing::None); 64];
    let too_many = Some(Fault::TooManyInterim);
    answered(GET, &interim.repeat(65), (&all, too_many));
}

#[test]
fn what_was_switched_is_not_looked_at() {
    let asked = Asked {
        wants_upgrade: true,
        ..GET
    };
    let mut machine = Answers::new(BOUNDS);
    machine.ask(asked);
    let head = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n";
    assert!(matches!(machine.judge(head), Ok(Step::Head(..))));
    assert_eq!(machine.judge(b"\0\xff"), Ok(Step::Body(2, End::NotYet)));
    assert_eq!(machine.end(), Ok(()));
}

#[test]
fn a_connection_ends_only_between_answers_or_where_that_ends_one() {
    for (bytes, expected) in [
        ("", Err(Fault::Cut)),
        ("HTTP/1.1 200 OK\r\n", Err(Fault::Cut)),
        ("HTTP/1.1 100 Continue\r\n\r\n", Err(Fault::Cut)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            Err(Fault::Cut),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok(())),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            Err(Fault::Cut),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhell", Ok(())),
    ] {
        let mut machine = Answers::new(BOUNDS);
        machine.ask(GET);
        let (_, fault) = run(
            |bytes| machine.judge(bytes),
            |head: &AnswerHead| head.framing,
            bytes.as_bytes(),
            &[usize::MAX],
        );
        assert_eq!(fault, None);
        assert_eq!(machine.end(), expected, "{bytes}");
    }
    assert_eq!(Answers::new(BOUNDS).judge(b"H"), Err(Fault::Unsolicited));
}
