//! The instruments measure: without any sidecar between, client and apps see each other exactly.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask};

#[tokio::test]
async fn an_app_remembers_what_reached_it_byte_for_byte() {
    let app = HttpApp::start().await;
    let mut client = Client::connect(app.addr).await;

    let head = "POST /a%2Fb?q=1 HTTP/1.1\r\nhost: orders\r\nx-mark: one\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n";
    client.send(head.as_bytes()).await.unwrap();
    client
        .send(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-end: yes\r\n\r\n")
        .await
        .unwrap();
    let answer = client.answer().await.unwrap();

    assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
    let [seen] = app.seen().try_into().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a%2Fb?q=1")
    );
    assert_eq!(
        (seen.header("x-mark"), &seen.body[..]),
        (Some("one"), &b"abcde"[..])
    );
    assert_eq!(seen.trailers.unwrap()["x-end"], "yes");
}

#[tokio::test]
async fn a_client_reads_every_form_of_answer() {
    let app = HttpApp::start().await;
    let lying = EchoApp::start(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-end: close\r\n\r\nuntil the end",
    )
    .await;

    let by_length = ask(app.addr, "GET", "orders", "/").await;
    let mut client = Client::connect(lying.addr).await;
    client.half_close().await.unwrap();
    let by_end = client.answer().await.unwrap();

    assert_eq!(
        (by_length.status, by_length.header("content-length")),
        (200, Some("0"))
    );
    assert_eq!(
        (by_end.status, by_end.text().as_str()),
        (200, "until the end")
    );
}

#[tokio::test]
async fn an_echo_speaks_first_and_counts_what_reached_it() {
    let echo = EchoApp::start("hello\n").await;
    let mut client = Client::connect(echo.addr).await;

    let banner = client.line().await.unwrap();
    client.send(b"abc").await.unwrap();
    client.half_close().await.unwrap();
    let rest = client.rest().await.unwrap();

    assert_eq!((banner.as_str(), rest.as_slice()), ("hello\n", &b"abc"[..]));
    assert_eq!((echo.connections(), echo.bytes()), (1, 3));
}
