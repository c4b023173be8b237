//! Heads of requests.

use super::*;

#[test]
fn a_request_line_has_three_parts_and_two_spaces() {
    for line in [
        "GET / HTTP/1.1",
        "GET / HTTP/1.0",
        "\r\nGET / HTTP/1.1",
        "get / HTTP/1.1",
        "M-SEARCH * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET http://a/b?c=d HTTP/1.1",
        "GET HTTPS://user:pw@[::1]:80?c HTTP/1.1",
        "CONNECT db:5432 HTTP/1.1",
        "CONNECT [::1]:1 HTTP/1.1",
        "GET a HTTP/1.1",
        "GET /%2f;a=b/..//\\:@!$&'()*+,=~ HTTP/1.1",
        "GET /{a}|^?q={b}|^`\\[]?/: HTTP/1.1",
    ] {
        passed_line(line);
    }
    for (line, fault) in [
        ("GET  / HTTP/1.1", Fault::RequestLine),
        ("GET /  HTTP/1.1", Fault::RequestLine),
        ("GET / HTTP/1.1 ", Fault::RequestLine),
        ("GET\t/ HTTP/1.1", Fault::RequestLine),
        ("GET /\tHTTP/1.1", Fault::RequestLine),
        (" GET / HTTP/1.1", Fault::RequestLine),
        ("\r\n\r\nGET / HTTP/1.1", Fault::RequestLine),
        ("\nGET / HTTP/1.1", Fault::BareLf),
        ("\rGET / HTTP/1.1", Fault::BareCr),
        ("GET /", Fault::RequestLine),
        ("GET", Fault::RequestLine),
        ("GET /\n", Fault::BareLf),
        ("GET / HTTP/1.1\n", Fault::BareLf),
        ("GET / HTTP/1.1\rX", Fault::BareCr),
        ("GET / a HTTP/1.1", Fault::RequestLine),
        ("GET / http/1.1", Fault::RequestLine),
        ("GET / HTTP/1.10", Fault::RequestLine),
        ("GET / HTTP/1", Fault::RequestLine),
        ("GET / HTTP/1,1", Fault::RequestLine),
        ("GET / HTTP/ 1.1", Fault::RequestLine),
        ("GET / HTTP/0.9", Fault::Version),
        ("GET / HTTP/1.2", Fault::Version),
        ("GET / HTTP/2.0", Fault::Version),
        ("GET / HTTP/3.0", Fault::Version),
        ("G(T / HTTP/1.1", Fault::Method),
        ("(GET / HTTP/1.1", Fault::Method),
        ("G\0T / HTTP/1.1", Fault::Method),
        ("\u{e9} / HTTP/1.1", Fault::Method),
        ("GET /#a HTTP/1.1", Fault::Fragment),
        ("GET /?a#b HTTP/1.1", Fault::Fragment),
        ("GET # HTTP/1.1", Fault::Fragment),
    ] {
        refused_line(line, fault);
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Version);
}

#[test]
fn a_target_has_the_bytes_and_a_form_of_a_target() {
    for target in [
        &b"/\0"[..],
        b"/\x01",
        b"/\x7f",
        b"/\xc3\xa9",
        b"/\xff",
        b"/\"",
        b"/<",
        b"/>",
        b"/`",
        b"/?\"",
        b"/?<",
        b"/?\xc3\xa9",
        b"?a",
        b"a/b",
        b"*?",
        b"http:/a",
        b"http:a",
        b"http://",
        b"http:///a",
        b"http://?a",
        b"1http://a/",
        b"ht_tp://a/",
        b"http://a@b@c/",
        b"http://a@/",
        b"http://a:b/",
        b"http://a:1:2/",
        b"http://[::1/",
        b"http://[::1]a/",
        b"http://[]/",
        b"http://a%41/",
        b"http://a|b/",
        b"a:b:c",
    ] {
        refused_line([b"GET ", target, b" HTTP/1.1"].concat(), Fault::Target);
    }
}

#[test]
fn a_field_is_one_line_with_a_name_a_colon_and_a_value() {
    for fields in [
        "X:\r\n",
        "X:a\r\n",
        "X: a \t b\t\r\n",
        "!#$%&'*+-.^_`|~09azAZ: a\r\n",
        "X: \u{e9}\r\n",
        "X: a\r\nX: a\r\n",
        "Upgrade: h2c\r\n",
    ] {
        passed_fields(fields, Framing::None);
    }
    for (fields, fault) in [
        (&b"X : a\r\n"[..], Fault::SpaceBeforeColon),
        (b"X\t: a\r\n", Fault::SpaceBeforeColon),
        (b"X\r\n", Fault::FieldName),
        (b": a\r\n", Fault::FieldName),
        (b"X(: a\r\n", Fault::FieldName),
        (b"X\0: a\r\n", Fault::FieldName),
        (b"X\xe9: a\r\n", Fault::FieldName),
        (b"\xe9: a\r\n", Fault::FieldName),
        (b"X: a\n", Fault::BareLf),
        (b"X\n", Fault::BareLf),
        (b"\n", Fault::BareLf),
        (b"X: a\rb\r\n", Fault::BareCr),
        (b"X: a\r\r\n", Fault::BareCr),
        (b"\rX: a\r\n", Fault::BareCr),
        (b"X: a\r\n b\r\n", Fault::Fold),
        (b"X: a\r\n\tb\r\n", Fault::Fold),
        (b" \r\n", Fault::Fold),
        (b"X: \0\r\n", Fault::FieldValue),
        (b"X: a\x01b\r\n", Fault::FieldValue),
        (b"X: a\x0bb\r\n", Fault::FieldValue),
        (b"X: a\x7fb\r\n", Fault::FieldValue),
        (b"X: a\x1b[0m\r\n", Fault::FieldValue),
    ] {
        refused_fields(fields, fault);
    }
    for space in [" ", "\t"] {
        let head = format!("GET / HTTP/1.1\r\n{space}Host: a\r\n\r\n");
        refused(head, Fault::LeadingSpace);
    }
}

#[test]
fn http11_has_one_host_and_http10_at_most_one() {
    refused("GET / HTTP/1.1\r\n\r\n", Fault::NoHost);
    refused(
        "GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n",
        Fault::TwoHosts,
    );
    refused(
        "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
        Fault::TwoHosts,
    );
    let head = "GET / HTTP/1.0\r\n\r\n";
    passed(head, &[Seen::Head(head.len(), Framing::None)]);
}

#[test]
fn a_message_is_framed_in_one_way() {
    for (fields, framing) in [
        ("Content-Length: 0\r\n", Framing::None),
        ("content-length:5\r\n", Framing::Length(5)),
        ("Content-Length: \t007 \t\r\n", Framing::Length(7)),
        (
            "Content-Length: 9223372036854775807\r\n",
            Framing::Length(i64::MAX as u64),
        ),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("TRANSFER-ENCODING:\tChunked \r\n", Framing::Chunked),
    ] {
        passed_fields(fields, framing);
    }
    let (cl, te) = ("Content-Length: ", "Transfer-Encoding: ");
    for (fields, fault) in [
        (format!("{cl}5\r\n{cl}5\r\n"), Fault::TwoLengths),
        (format!("{cl}5\r\n{cl}6\r\n"), Fault::TwoLengths),
        (format!("{cl}5, 5\r\n"), Fault::Length),
        (format!("{cl}\r\n"), Fault::Length),
        (format!("{cl}+5\r\n"), Fault::Length),
        (format!("{cl}-5\r\n"), Fault::Length),
        (format!("{cl}5 5\r\n"), Fault::Length),
        (format!("{cl}0x5\r\n"), Fault::Length),
        (format!("{cl}5a\r\n"), Fault::Length),
        (format!("{cl}5.0\r\n"), Fault::Length),
        (format!("{cl}\u{665}\r\n"), Fault::Length),
        (format!("{cl}9223372036854775808\r\n"), Fault::Length),
        (format!("{cl}18446744073709551621\r\n"), Fault::Length),
        (format!("{cl}5\r\n{te}chunked\r\n"), Fault::LengthAndCoding),
        (format!("{te}chunked\r\n{cl}5\r\n"), Fault::LengthAndCoding),
        (format!("{te}chunked\r\n{te}chunked\r\n"), Fault::Coding),
        (format!("{te}chunked, chunked\r\n"), Fault::Coding),
        (format!("{te}chunked, gzip\r\n"), Fault::Coding),
        (format!("{te}\r\n"), Fault::Coding),
        (format!("{te},chunked\r\n"), Fault::Coding),
        (format!("{te}chunked,\r\n"), Fault::Coding),
        (format!("{te}\"chunked\"\r\n"), Fault::Coding),
        (format!("{te}chunked;q=1\r\n"), Fault::Coding),
        (format!("{te}\x0bchunked\r\n"), Fault::FieldValue),
        (format!("{te}gzip, chunked\r\n"), Fault::UnknownCoding),
        (format!("{te}gzip\r\n"), Fault::UnknownCoding),
        (format!("{te}identity\r\n"), Fault::UnknownCoding),
        (format!("{te}xchunked\r\n"), Fault::UnknownCoding),
        (format!("{te}chunked1\r\n"), Fault::UnknownCoding),
    ] {
        refused_fields(fields, fault);
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(old, Fault::CodingInHttp10);
}

#[test]
fn a_head_has_so_many_bytes_and_fields_and_no_more() {
    let head = |more: usize| {
        let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(more));
        (head.len(), head)
    };
    let room = BOUNDS.head_bytes - head(0).0;
    passed(
        head(room).1,
        &[Seen::Head(BOUNDS.head_bytes, Framing::None)],
    );
    refused(head(room + 1).1, Fault::HeadTooLarge);
    let line = format!("GET /{}", "a".repeat(BOUNDS.head_bytes));
    refused(line, Fault::TargetTooLong);
    refused("A".repeat(BOUNDS.head_bytes), Fault::RequestLine);
    let fields = |count: usize| "X: a\r\n".repeat(count - 1);
    passed_fields(&fields(BOUNDS.fields), Framing::None);
    refused_fields(fields(BOUNDS.fields + 1), Fault::TooManyFields);
}

#[test]
fn a_target_that_no_reader_counts_is_too_long_however_large_a_head_may_be() {
    let bounds = Bounds {
        head_bytes: 1 << 20,
        ..BOUNDS
    };
    for (bytes, expected) in [
        (target::BYTES_MAX, Ok(())),
        (target::BYTES_MAX + 1, Err(Fault::TargetTooLong)),
    ] {
        let path = "a".repeat(bytes - 1);
        let head = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let judged = Requests::new(bounds).judge(head.as_bytes());
        assert_eq!(judged.map(|_| ()), expected);
    }
}

#[test]
fn what_is_asked_is_known_once_the_request_line_was_found_right_and_not_before() {
    let line = "GET /a?b HTTP/1.1\r\n";
    for (bytes, expected) in [
        (format!("{line}host : a\r\n"), Some(("GET", "/a?b"))),
        (format!("\r\n{line}host : a\r\n"), Some(("GET", "/a?b"))),
        (format!("{line}host: a"), Some(("GET", "/a?b"))),
        (line.to_owned(), Some(("GET", "/a?b"))),
        (line[..line.len() - 1].to_owned(), None),
        ("GET /a?b HTTP/1.1\n".into(), None),
        ("GET /a?b HTTP/2.0\r\n".into(), None),
        ("GET /a b HTTP/1.1\r\n".into(), None),
        ("GET /\u{e4} HTTP/1.1\r\n".into(), None),
        ("G{T / HTTP/1.1\r\n".into(), None),
        ("\n".into(), None),
        (String::new(), None),
    ] {
        let mut machine = Requests::new(BOUNDS);
        let _ = machine.judge(bytes.as_bytes());
        let asked = machine.asked(bytes.as_bytes());
        let expected = expected.map(|(method, target): (&str, &str)| RequestLine {
            method: method.as_bytes(),
            target: target.as_bytes(),
        });
        assert_eq!(asked, expected, "{bytes:?}");
    }
}

#[test]
fn what_was_asked_before_is_not_what_a_bad_head_asks() {
    let good = b"GET /good HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut machine = Requests::new(BOUNDS);
    machine.judge(good).unwrap();
    assert_eq!(machine.asked(good), None, "it has ended");
    let bad = b"G{T / HTTP/1.1\r\n";
    assert_eq!(machine.judge(bad), Err(Fault::Method));
    assert_eq!(machine.asked(bad), None);
}
