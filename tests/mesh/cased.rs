//! The names of HTTP/1 fields keep their case, and their fields their order, through the pair of sidecars.
//!
//! Nobody needs it who reads HTTP (RFC 9110 §5.1, §5.3); devices, scripts and old servers do who do not.

use crate::support::client::{Client, listen};
use crate::support::pair::Pair;
use tokio::net::{TcpListener, TcpStream};

/// A request and an answer, written byte for byte, on connections of their own: what each looked like at the other end.
async fn through(pair: &Pair, app: &TcpListener, ask: &str, answer: &str) -> (String, String) {
    let (mut client, mut served, asked) = asked(pair, app, ask).await;
    served.send(answer.as_bytes()).await.unwrap();
    let answered = client.raw_head().await.unwrap();
    (asked, answered)
}

/// The client's end, the app's end, and the head as the app has read it.
async fn asked(
    pair: &Pair,
    app: &TcpListener,
    ask: &str,
) -> (Client<TcpStream>, Client<TcpStream>, String) {
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(ask.as_bytes()).await.unwrap();
    let mut served = Client::accept(app).await;
    let head = served.raw_head().await.unwrap();
    (client, served, head)
}

/// Without what sidecars add at the end of a head.
fn without_ours(head: &str) -> String {
    let ours = |line: &str| {
        [
            "x-forwarded-client-cert:",
            "x-countersign-",
            "x-request-id:",
        ]
        .iter()
        .any(|name| line.to_ascii_lowercase().starts_with(name))
    };
    head.split_inclusive("\r\n")
        .filter(|line| !ours(line))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_keep_their_case_and_fields_their_order_both_ways() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    // What belongs to one hop stands between what does not.
    let (asked, answered) = through(
        &pair,
        &app,
        "POST /a HTTP/1.1\r\nX-FIRST: 1\r\nHost: orders\r\nConnection: keep-alive, X-Mine\r\nsoapAction: \"x\"\r\nKeep-Alive: \
         5\r\nX-Mine: 1\r\nX_Under: 2\r\nX-Envoy-Retry-On: 5xx\r\ncontent-Length: 2\r\nUpgrade: h2c\r\nCookie: a=b\r\nX-Forwarded-Client-Cert: \
         me\r\nzZ: last\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nDATE: Tue, 01 Dec 2026 00:00:00 GMT\r\nETag: \"a\"\r\nKeep-Alive: timeout=5\r\nConnection: \
         Keep-Alive, x-own\r\nWWW-Authenticate: Basic\r\nX-Own: 1\r\nx-CamelCase: yes\r\nContent-length: 2\r\nX-Envoy-Overloaded: \
         1\r\nCONTENT-MD5: x\r\n\r\nok",
    )
    .await;
    assert_eq!(
        without_ours(&asked),
        "POST /a HTTP/1.1\r\nX-FIRST: 1\r\nHost: orders\r\nsoapAction: \"x\"\r\nX_Under: 2\r\ncontent-Length: 2\r\nCookie: \
         a=b\r\nzZ: last\r\n\r\n"
    );
    assert_eq!(
        answered,
        "HTTP/1.1 200 OK\r\nDATE: Tue, 01 Dec 2026 00:00:00 GMT\r\nETag: \"a\"\r\nWWW-Authenticate: Basic\r\nx-CamelCase: \
         yes\r\nContent-length: 2\r\nCONTENT-MD5: x\r\n\r\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_one_name_keep_their_order_and_each_its_spelling() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let (asked, answered) = through(
        &pair,
        &app,
        "GET / HTTP/1.1\r\nHost: orders\r\nX-A: 1\r\nKeep-Alive: 1\r\nx-a: 2\r\nX-a: 3\r\nB: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSET-COOKIE: b=2\r\nProxy-Connection: x\r\nset-cookie: c=3\r\nDate: x\r\nContent-Length: \
         0\r\n\r\n",
    )
    .await;
    assert_eq!(
        without_ours(&asked),
        "GET / HTTP/1.1\r\nHost: orders\r\nX-A: 1\r\nx-a: 2\r\nX-a: 3\r\nB: 4\r\n\r\n"
    );
    assert_eq!(
        answered,
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSET-COOKIE: b=2\r\nset-cookie: c=3\r\nDate: x\r\nContent-Length: 0\r\n\r\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_by_us_has_one_line_whatever_its_caller_called_it() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let (_client, _served, head) = asked(
        &pair,
        &app,
        "GET / HTTP/1.1\r\nX-FORWARDED-Client-cert: me\r\nHost: orders\r\nTE: trailers, deflate\r\nX_forwarded_client_CERT: \
         me\r\nConnection: TE\r\nx-forwarded-client-cert: me\r\nX-Countersign-HOPS: 00000000000000aa\r\nAccept: */*\r\n\r\n",
    )
    .await;
    let names: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    assert_eq!(
        names,
        [
            "host",
            "te",
            "accept",
            "x-request-id",
            "connection",
            "x-forwarded-client-cert",
            "x-countersign-hops"
        ],
        "{head}"
    );
    assert!(head.contains("\r\nTE: trailers\r\n"), "{head}");
    assert!(!head.contains(": me\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_keep_their_order() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let trailers = "x-first: 1\r\ncontent-md5: 2\r\nx-third: 3\r\n";
    let declared = "Trailer: X-First, Content-MD5, Host, X-Third\r\n";
    let chunks = "2\r\nok\r\n0\r\nX-First: 1\r\nHost: evil\r\nContent-MD5: 2\r\nX-Third: 3\r\n\r\n";
    let ask = format!(
        "POST / HTTP/1.1\r\nHost: orders\r\n{declared}TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    let (mut client, mut served, head) = asked(&pair, &app, &ask).await;
    assert!(head.contains(declared), "{head}");
    assert_eq!(chunked(&mut served).await, trailers);
    let answer = format!("HTTP/1.1 200 OK\r\n{declared}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    served.send(answer.as_bytes()).await.unwrap();
    client.raw_head().await.unwrap();
    assert_eq!(chunked(&mut client).await, trailers);
}

/// Reads chunks up to the last one, and gives back the trailers as they came.
async fn chunked(side: &mut Client<TcpStream>) -> String {
    let mut trailers = String::new();
    while side.line().await.unwrap() != "0\r\n" {}
    loop {
        let line = side.line().await.unwrap();
        if line == "\r\n" {
            return trailers;
        }
        trailers.push_str(&line);
    }
}
