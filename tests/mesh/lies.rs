//! Servers whose HTTP/1 two readers could read in two ways, or that answers nobody: at the app and at another sidecar alike, a
//! 502 with its reason, or an answer that breaks off. Never the next caller's answer.

use crate::support::client::{Client, listen};
use crate::support::pair::Pair;

const GET: &str = "GET /page HTTP/1.1\r\nHost: orders\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_lies_is_502_with_its_reason() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let after = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let chunk = "2\r\nok\r\n0\r\n\r\n";
    for (lie, reason) in [
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
            ),
            "content_length_and_transfer_encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "two_content_lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok".to_owned(),
            "bad_content_length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok".to_owned(),
            "bad_content_length",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunk}"),
            "unknown_transfer_coding",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n{chunk}"),
            "bad_transfer_encoding",
        ),
        (
            format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
            "transfer_encoding_in_http10",
        ),
        (
            "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok".to_owned(),
            "bare_lf",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok".to_owned(),
            "bare_lf",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "folded_header",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "space_before_colon",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "bad_header_value",
        ),
        (
            "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "bad_status_line",
        ),
        (
            "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
            "bad_status_line",
        ),
        ("ICY 200 OK\r\n\r\nok".to_owned(), "bad_status_line"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_owned(),
            "switched_unasked",
        ),
    ] {
        let (mut client, mut served) = pair.asked(&app, GET).await;
        served
            .send(format!("{lie}{after}").as_bytes())
            .await
            .unwrap();
        let answer = client.answer().await.unwrap();
        let said = (answer.status, answer.text());
        assert_eq!(
            said,
            (502, format!("{{\"error\":\"{reason}\"}}\n")),
            "{lie}"
        );
        let series = format!(
            "countersign_limited_total{{direction=\"inbound\",listener=\"web\",reason=\"{reason}\"}}"
        );
        assert!(pair.called.count(&series).await > 0, "{lie}");
        // Its connection serves nobody else.
        assert_eq!(served.rest().await.unwrap_or_default(), b"", "{lie}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_lies_or_ends_early_breaks_off_and_never_ends_well() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    for (head, lie) in [
        (chunked, "0x2\r\nno\r\n0\r\n\r\n"),
        (chunked, "2 \r\nno\r\n0\r\n\r\n"),
        (chunked, "2\nno\r\n0\r\n\r\n"),
        (chunked, "2\r\nnone\r\n0\r\n\r\n"),
        (chunked, "2;a=\"\r\nno\r\n0\r\n\r\n"),
        (chunked, "0\r\nx: 1\n\r\n"),
        // Nothing more comes.
        (chunked, "5\r\nno"),
        (chunked, ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", ""),
    ] {
        let (mut client, mut served) = pair.asked(&app, GET).await;
        served.send(head.as_bytes()).await.unwrap();
        let seen = client.raw_head().await.unwrap();
        served.send(lie.as_bytes()).await.unwrap();
        drop(served);
        let rest = client.rest().await.unwrap_or_default();
        let rest = String::from_utf8_lossy(&rest);
        let is_whole = match seen.to_ascii_lowercase().contains("chunked") {
            true => rest.contains("0\r\n\r\n"),
            false => rest.len() >= 9,
        };
        assert!(!is_whole, "{lie:?}: {rest:?}");
    }
    let line = pair.called.logged("a chunk that lies", |line| {
        line["reason"] == "bad_chunk_size"
    });
    assert_eq!(line["status"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_asked_for_ends_its_connection_and_answers_nobody() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    // With the answer, and later, on a connection that is quiet.
    for is_later in [false, true] {
        let (mut client, mut served) = pair.asked(&app, GET).await;
        match is_later {
            false => served
                .send(format!("{OK}{poison}").as_bytes())
                .await
                .unwrap(),
            true => {
                served.send(OK.as_bytes()).await.unwrap();
            }
        }
        assert_eq!(client.answer().await.unwrap().text(), "ok");
        if is_later {
            served.send(poison.as_bytes()).await.unwrap();
        }
        assert_eq!(served.rest().await.unwrap_or_default(), b"");
        client.send(GET.as_bytes()).await.unwrap();
        let mut served = Client::accept(&app).await;
        served.raw_head().await.unwrap();
        let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntrue";
        served.send(close.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().text(), "true");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_and_means_one_thing_passes() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    for (answer, status, body) in [
        ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
        (
            "HTTP/1.1 299 Anything at all\r\nContent-Length: 2\r\n\r\nok",
            299,
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n2;name=value\r\nok\r\n000\r\nX-T: 1\r\n\r\n",
            200,
            "ok",
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            204,
            "",
        ),
    ] {
        let (mut client, mut served) = pair
            .asked(&app, &GET.replace("Host", "Connection: close\r\nHost"))
            .await;
        served.send(answer.as_bytes()).await.unwrap();
        let seen = client.answer().await.unwrap();
        assert_eq!(
            (seen.status, seen.text().as_str()),
            (status, body),
            "{answer}"
        );
    }
}
