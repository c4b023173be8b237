//! Interim answers of an app, and what becomes of who sends nothing else.

use crate::support::client::listen;
use crate::support::pair::{Otherwise, Pair};
use crate::support::within;
use std::net::SocketAddr;

const GET: &str = "GET /page HTTP/1.1\r\nHost: orders\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reaches_its_caller_when_it_is_said_and_without_what_belongs_to_a_hop() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let (mut client, mut served) = pair.asked(&app, GET).await;
    for (said, heard) in [
        (
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x-mine, keep-alive\r\nx-mine: 1\r\nkeep-alive: \
             5\r\nx-envoy-upstream-canary: 1\r\nlink: </b.js>\r\nx-last: yes\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nlink: </b.js>\r\nx-last: yes\r\n\r\n",
        ),
        // Its length would be a lie to whoever believes it (RFC 9110 §8.6).
        (
            "HTTP/1.1 102 Processing\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
        ),
        (
            "HTTP/1.1 199 Odd\r\na: b\r\n\r\n",
            "HTTP/1.1 199 \r\na: b\r\n\r\n",
        ),
    ] {
        served.send(said.as_bytes()).await.unwrap();
        assert_eq!(client.raw_head().await.unwrap(), heard);
    }
    served.send(OK.as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));

    // Several at once with the answer, to the next request on the same connections.
    client.send(GET.as_bytes()).await.unwrap();
    served.raw_head().await.unwrap();
    let hints = "HTTP/1.1 103 Early Hints\r\na: 1\r\n\r\n";
    let all = format!("{hints}{hints}{OK}");
    served.send(all.as_bytes()).await.unwrap();
    assert_eq!(client.raw_head().await.unwrap(), hints);
    assert_eq!(client.raw_head().await.unwrap(), hints);
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_gets_none() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let ask = "GET / HTTP/1.0\r\nhost: orders\r\nconnection: keep-alive\r\n\r\n";
    let (mut client, mut served) = pair.asked(&app, ask).await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    served
        .send(format!("{hints}{OK}").as_bytes())
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_stand_beside_100_continue() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let post =
        "POST / HTTP/1.1\r\nhost: orders\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    let (mut client, mut served) = pair.asked(&app, post).await;
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    for said in [processing, go_on, processing] {
        served.send(said.as_bytes()).await.unwrap();
        assert_eq!(client.raw_head().await.unwrap(), said);
        if said == go_on {
            client.send(b"body").await.unwrap();
            assert_eq!(served.bytes(4).await.unwrap(), b"body");
        }
    }
    served.send(OK.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().text(), "ok");

    // Nobody who did not wait for it is told to go on.
    client.send(GET.as_bytes()).await.unwrap();
    served.raw_head().await.unwrap();
    served
        .send(format!("{go_on}{OK}").as_bytes())
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_else_is_not_heard_for_ever() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let large = "v".repeat(40 << 10);
    for (said, times, passes) in [
        ("HTTP/1.1 103 Early Hints\r\n\r\n".to_owned(), 65, 64),
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), 65, 0),
        (
            format!("HTTP/1.1 103 Early Hints\r\na: {large}\r\n\r\n"),
            2,
            1,
        ),
    ] {
        let (mut client, mut served) = pair.asked(&app, GET).await;
        for _ in 0..times - 1 {
            served.send(said.as_bytes()).await.unwrap();
        }
        for _ in 0..passes {
            assert_eq!(client.raw_head().await.unwrap(), said);
        }
        served.send(said.as_bytes()).await.unwrap();
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.text().contains(r#""too_many_interim_answers""#));
        // Nobody else gets what comes on that connection.
        assert_eq!(served.rest().await.unwrap_or_default(), b"");
    }
    let counted = r#"countersign_limited_total{direction="inbound",listener="web",reason="too_many_interim_answers"}"#;
    assert_eq!(pair.called.count(counted).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_them_slowly_has_no_more_time_for_the_answer() {
    let (app, at) = listen().await;
    let service = ", timeout: 1s";
    let pair = Pair::around_with(
        at,
        SocketAddr::from(([127, 0, 0, 1], 1)),
        Otherwise {
            service,
            ..Otherwise::default()
        },
    );
    let (mut client, mut served) = pair.asked(&app, GET).await;
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n";
    served.send(hints.as_bytes()).await.unwrap();
    assert_eq!(client.raw_head().await.unwrap(), hints);
    let answer = within("an answer of ours", client.answer()).await.unwrap();
    assert_eq!(answer.status, 504, "{}", answer.text());
}
