//! Where bodies end, and what may follow.

use super::*;

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn chunks_end_where_all_readers_say_so() {
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c;d\r\n\r\n",
        "5;a=\"q; \\\"\\\\ \t\"\r\nhello\r\n0\r\n\r\n",
        "0000000000000001\r\na\r\n0\r\n\r\n",
        "2\r\n\r\n\r\n0\r\n\r\n",
        "0\r\nX: a\r\nY:\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
    ] {
        let bytes = format!("{CHUNKED}{body}");
        let seen = [
            Seen::Head(CHUNKED.len(), Framing::Chunked),
            Seen::Body(body.len()),
        ];
        passed(bytes.repeat(2), &[&seen[..], &seen[..]].concat());
    }
    for (body, fault) in [
        ("\r\n", Fault::ChunkSize),
        (" 5\r\nhello\r\n", Fault::ChunkSize),
        ("5 \r\nhello\r\n", Fault::ChunkSize),
        ("5\t;a\r\nhello\r\n", Fault::ChunkSize),
        ("+5\r\nhello\r\n", Fault::ChunkSize),
        ("-0\r\n\r\n", Fault::ChunkSize),
        ("0x5\r\nhello\r\n", Fault::ChunkSize),
        ("5g\r\nhello\r\n", Fault::ChunkSize),
        ("8000000000000000\r\n", Fault::ChunkSize),
        ("00000000000000001\r\na\r\n", Fault::ChunkSize),
        ("5\nhello\r\n", Fault::BareLf),
        ("5\rhello\r\n", Fault::BareCr),
        ("5;\r\nhello\r\n", Fault::ChunkExtension),
        ("5; a\r\nhello\r\n", Fault::ChunkExtension),
        ("5;a =b\r\nhello\r\n", Fault::ChunkExtension),
        ("5;a=\r\nhello\r\n", Fault::ChunkExtension),
        ("5;a=\"b\r\nhello\r\n", Fault::ChunkExtension),
        ("5;a=\"b\"c\r\nhello\r\n", Fault::ChunkExtension),
        ("5;\0\r\nhello\r\n", Fault::ChunkExtension),
        ("5;a\nhello\r\n", Fault::BareLf),
        ("5;a\rhello\r\n", Fault::BareCr),
        ("5\r\nhello\n0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello!\r\n0\r\n\r\n", Fault::ChunkEnd),
        ("0\r\n\n", Fault::BareLf),
        ("0\r\nX: a\n\r\n", Fault::BareLf),
        ("0\r\nX: a\r\n\n", Fault::BareLf),
        ("0\r\nX : a\r\n\r\n", Fault::SpaceBeforeColon),
        ("0\r\n X: a\r\n\r\n", Fault::LeadingSpace),
        ("0\r\nX: a\r\n b\r\n\r\n", Fault::Fold),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Fault::SpaceBeforeColon),
    ] {
        refused(format!("{CHUNKED}{body}"), fault);
    }
    let extensions = format!("1;{}\r\na\r\n", "a".repeat(99)).repeat(100);
    let bytes = format!("{CHUNKED}{extensions}");
    refused(bytes, Fault::ChunkExtensionsTooLarge);
    let fields = "X: a\r\n".repeat(BOUNDS.fields + 1);
    refused(
        format!("{CHUNKED}0\r\n{fields}\r\n"),
        Fault::TrailersTooLarge,
    );
    let value = "a".repeat(BOUNDS.head_bytes);
    refused(
        format!("{CHUNKED}0\r\nX: {value}\r\n\r\n"),
        Fault::TrailersTooLarge,
    );
}

#[test]
fn the_next_head_begins_where_a_body_ends() {
    let (post, get) = (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let bytes = format!("{post}hello{get}{get}");
    let next = Seen::Head(get.len(), Framing::None);
    passed(
        bytes,
        &[
            Seen::Head(post.len(), Framing::Length(5)),
            Seen::Body(5),
            next.clone(),
            next,
        ],
    );
    refused(format!("{post}hello {get}"), Fault::RequestLine);
}

#[test]
fn a_request_says_what_may_follow_it() {
    let judge = |head: &str| match Requests::new(BOUNDS).judge(head.as_bytes()) {
        Ok(Step::Head(_, head)) => (head.kind, head.wants_upgrade),
        other => unreachable!("{other:?}"),
    };
    let upgrade = "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let of = |line: &str| judge(&format!("{line}\r\n{upgrade}"));
    assert_eq!(of("GET / HTTP/1.1"), (Kind::Other, true));
    assert_eq!(of("GET / HTTP/1.0"), (Kind::Other, false));
    let plain = |line: &str| judge(&format!("{line}\r\nHost: a\r\n\r\n"));
    assert_eq!(plain("HEAD / HTTP/1.1"), (Kind::Head, false));
    assert_eq!(plain("CONNECT a:1 HTTP/1.1"), (Kind::Connect, false));
    assert_eq!(plain("head / HTTP/1.1"), (Kind::Other, false));
}
