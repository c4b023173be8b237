//! What a client of HTTP/1 may send, through the real sidecars: what is refused gets an answer of ours after those before it, is told,
//! and never comes to the app.

use crate::support::app::HttpApp;
use crate::support::client::{Answer, Client, listen};
use crate::support::pair::Pair;
use crate::support::tls;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

const GET: &str = "GET /good HTTP/1.1\r\nhost: orders\r\n\r\n";
const CHUNKED: &str = "POST /chunks HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The answer is ours, gives this reason, and is the last on its connection.
#[track_caller]
fn refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let told = format!("countersign; error=http_request_error; details=\"{reason}\"; reached=?0");
    assert_eq!(answer.header("proxy-status"), Some(told.as_str()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("date").is_some(), "{answer:?}");
    assert_eq!(answer.text(), format!("{{\"error\":\"{reason}\"}}\n"));
}

async fn ends<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>, status: u16, reason: &str) {
    let answer = client.answer().await.unwrap();
    refused(&answer, status, reason);
    assert_eq!(client.rest().await.unwrap(), b"", "{reason}");
}

/// A line each: what is sent, its status and its reason, and the method and path in the log where its request line is right.
const BAD: &[(&str, u16, &str, &str)] = &[
    ("GET / HTTP/1.1\nhost: orders\n\n", 400, "bare_lf", ""),
    (
        "GET / HTTP/1.1\r\nhost: orders\r\nx: a\rb\r\n\r\n",
        400,
        "bare_cr",
        "GET /",
    ),
    (
        "\r\nPUT /a?secret=b HTTP/1.1\r\nhost: orders\r\nx: a\r\n b\r\n\r\n",
        400,
        "folded_header",
        "PUT /a",
    ),
    (
        "GET / HTTP/1.1\r\nhost : orders\r\n\r\n",
        400,
        "space_before_colon",
        "GET /",
    ),
    (
        "GET / HTTP/1.1\r\nhost: orders\r\nx: \0\r\n\r\n",
        400,
        "bad_header_value",
        "GET /",
    ),
    (
        "GET /#a HTTP/1.1\r\nhost: orders\r\n\r\n",
        400,
        "fragment_in_target",
        "",
    ),
    // Of these hyper says 400 by itself.
    (
        "GET /?a=\"b\" HTTP/1.1\r\nhost: orders\r\n\r\n",
        400,
        "bad_target",
        "",
    ),
    (
        "GET a/b HTTP/1.1\r\nhost: orders\r\n\r\n",
        400,
        "bad_target",
        "",
    ),
    (
        "G{T / HTTP/1.1\r\nhost: orders\r\n\r\n",
        400,
        "bad_method",
        "",
    ),
    ("BREW /pot HTTP/1.1\r\n\r\n", 400, "no_host", "BREW /pot"),
    (
        "OPTIONS * HTTP/1.1\r\nhost: orders\r\nhost: orders\r\n\r\n",
        400,
        "two_hosts",
        "OPTIONS *",
    ),
    (
        "GET / HTTP/1.2\r\nhost: orders\r\n\r\n",
        505,
        "version_not_supported",
        "",
    ),
    (
        "POST / HTTP/1.1\r\nhost: orders\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "content_length_and_transfer_encoding",
        "POST /",
    ),
    (
        "POST http://me:secret@orders/b?c HTTP/1.1\r\nhost: orders\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        400,
        "two_content_lengths",
        "POST /b",
    ),
    (
        "POST /%0a HTTP/1.1\r\nhost: orders\r\ncontent-length: 2, 2\r\n\r\nok",
        400,
        "bad_content_length",
        "POST /%0a",
    ),
    (
        "POST / HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
        "unknown_transfer_coding",
        "POST /",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_by_us_and_told_on_the_way_out_and_on_the_way_in() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let svid = pair.shop.svid("storefront");
    for (bytes, status, reason, asked) in BAD {
        let mut client = Client::connect(pair.calling.at("http")).await;
        client.send(bytes.as_bytes()).await.unwrap();
        ends(client, *status, reason).await;
        let config = tls::client(Some(&svid), &[]);
        let client = Client::connect_tls(pair.called.at("web"), config, "orders").await;
        let mut client = client.unwrap();
        client.send(bytes.as_bytes()).await.unwrap();
        ends(client, *status, reason).await;
        for sidecar in [&pair.calling, &pair.called] {
            let line = sidecar.logged(reason, |line| line["reason"] == *reason);
            assert_eq!(line["status"], *status, "{line}");
            let part = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let logged = [part("method"), part("path")].join(" ");
            assert_eq!(logged.trim(), *asked, "{line}");
        }
    }
    let series = "countersign_refused_heads_total{reason=\"bare_lf\"}";
    pair.calling.counts(series, 1).await;
    pair.called.counts(series, 1).await;
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_head_behind_a_slow_request_is_refused_after_its_answer() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let bad = "GET /bad HTTP/1.1\nhost: orders\n\n";
    client.send(format!("{GET}{bad}").as_bytes()).await.unwrap();
    let mut served = Client::accept(&app).await;
    let head = served.raw_head().await.unwrap();
    assert!(head.starts_with("GET /good HTTP/1.1\r\n"), "{head}");
    let slow = OK.split_at(OK.len() - 1);
    served.send(slow.0.as_bytes()).await.unwrap();
    let head = client.raw_head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(client.bytes(1).await.unwrap(), b"o");
    served.send(slow.1.as_bytes()).await.unwrap();
    assert_eq!(client.bytes(1).await.unwrap(), b"k");
    ends(client, 400, "bare_lf").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_one_behind_the_other_are_answered_one_after_the_other() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let post = format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n");
    let all = [GET, &post, GET, &post, GET].concat();
    client.send(all.as_bytes()).await.unwrap();
    for body in ["", "hello", "", "hello", ""] {
        assert_eq!(client.answer().await.unwrap().text(), body);
    }
    // And a byte at a time.
    for byte in all.as_bytes() {
        client.send(&[*byte]).await.unwrap();
    }
    for body in ["", "hello", "", "hello", ""] {
        assert_eq!(client.answer().await.unwrap().text(), body);
    }
    assert_eq!(app.seen().len(), 10);
}

/// A request whose body breaks off, and the app's end of it with its head read.
async fn breaking(
    pair: &Pair,
    app: &TcpListener,
    body: &str,
) -> (Client<tokio::net::TcpStream>, Client<tokio::net::TcpStream>) {
    let mut client = Client::connect(pair.calling.at("http")).await;
    let begin = format!("{CHUNKED}5\r\nhello\r\n");
    client.send(begin.as_bytes()).await.unwrap();
    let mut served = Client::accept(app).await;
    served.raw_head().await.unwrap();
    assert_eq!(served.bytes(10).await.unwrap(), b"5\r\nhello\r\n");
    client.send(body.as_bytes()).await.unwrap();
    (client, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_chunk_breaks_the_request_off_for_the_app_and_is_400_to_the_caller() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    for (body, reason) in [
        ("0x1\r\na\r\n0\r\n\r\n", "bad_chunk_size"),
        ("1\na\r\n0\r\n\r\n", "bare_lf"),
        ("1;a=\"\r\na\r\n0\r\n\r\n", "bad_chunk_extension"),
        ("1\r\nab\r\n0\r\n\r\n", "bad_chunk_end"),
        ("0\r\nx: a\n\r\n", "bare_lf"),
    ] {
        let (mut client, mut served) = breaking(&pair, &app, body).await;
        let rest = served.rest().await.unwrap_or_default();
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "{reason}: {}",
            rest.escape_ascii()
        );
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        let told = answer.header("proxy-status").unwrap();
        assert!(
            told.contains(&format!("details=\"{reason}\"; reached=?1")),
            "{told}"
        );
        assert_eq!(client.rest().await.unwrap_or_default(), b"");
        pair.calling.logged(reason, |line| {
            line["reason"] == reason && line["status"] == 400 && line["path"] == "/chunks"
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_chunk_after_the_answer_began_ends_both_sides() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let (mut client, mut served) = breaking(&pair, &app, "").await;
    let begin = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    served.send(begin.as_bytes()).await.unwrap();
    client.raw_head().await.unwrap();
    assert_eq!(client.bytes(4).await.unwrap(), b"half");
    client.send(b"zz\r\n").await.unwrap();
    assert_eq!(served.rest().await.unwrap_or_default(), b"");
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    pair.calling.logged("it", |line| {
        line["reason"] == "bad_chunk_size" && line["status"] == 200
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_beyond_a_limit_is_refused_with_its_reason_on_http1_too() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let head = |target: &str, fields: &str| {
        format!("GET /{target} HTTP/1.1\r\nhost: orders\r\n{fields}\r\n")
    };
    let many = "x: a\r\n".repeat(300);
    let large = format!("x: {}\r\n", "a".repeat(80 << 10));
    for (bytes, status, reason) in [
        (head("", &many), 431, "too_many_headers"),
        (head("", &large), 431, "head_too_large"),
        (head(&"a".repeat(80 << 10), ""), 414, "target_too_long"),
    ] {
        let mut client = Client::connect(pair.calling.at("http")).await;
        client.send(bytes.as_bytes()).await.unwrap();
        ends(client, status, reason).await;
        let series = format!("countersign_refused_heads_total{{reason=\"{reason}\"}}");
        pair.calling.counts(&series, 1).await;
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_an_upgrade_request_that_is_not_granted_are_no_request() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let ask = "GET /chat HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
               sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(format!("{ask}{GET}").as_bytes()).await.unwrap();
    let mut served = Client::accept(&app).await;
    served.raw_head().await.unwrap();
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    ends(client, 400, "bytes_before_the_answer").await;
    // Who waits may go on.
    let mut client = Client::connect(pair.calling.at("http")).await;
    for ask in [ask, GET] {
        client.send(ask.as_bytes()).await.unwrap();
        served.raw_head().await.unwrap();
        served.send(OK.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().text(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_after_a_refused_connect_is_read_as_a_request() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let connect = "CONNECT nobody:5432 HTTP/1.1\r\nhost: nobody:5432\r\n\r\n";
    client
        .send(format!("{connect}{GET}").as_bytes())
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_ne!(answer.status, 200);
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_rested_goes_on_as_if_it_had_not() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(GET.as_bytes()).await.unwrap();
    let mut served = Client::accept(&app).await;
    for _ in 0..3 {
        served.raw_head().await.unwrap();
        served.send(OK.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().text(), "ok");
        // Longer than it takes to rest, on both sidecars. That it does is seen in memory only.
        tokio::time::sleep(Duration::from_millis(2200)).await;
        let (begin, end) = GET.split_at(9);
        client.send(begin.as_bytes()).await.unwrap();
        client.send(end.as_bytes()).await.unwrap();
    }
    served.raw_head().await.unwrap();
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");
    tokio::time::sleep(Duration::from_millis(2200)).await;
    client.send(b"GET / HTTP/1.1\n\n").await.unwrap();
    ends(client, 400, "bare_lf").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_rests_hears_of_the_end_of_its_sidecar_and_of_its_client() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let mut client = Client::connect(pair.calling.at("http")).await;
    let mut leaving = Client::connect(pair.calling.at("http")).await;
    for client in [&mut client, &mut leaving] {
        client.send(GET.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let open = "countersign_connections{direction=\"outbound\",listener=\"http\"}";
    pair.calling.counts(open, 2).await;
    drop(leaving);
    pair.calling.counts(open, 1).await;
    drop(pair);
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
}
