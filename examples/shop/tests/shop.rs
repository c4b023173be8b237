//! The shop works without any sidecar: storefront to orders to ledger, all in clear text.
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_shop::{Ledger, Orders, Running, Storefront};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANY: &str = "127.0.0.1:0";

struct Shop {
    ledger: Running,
    orders: Running,
    storefront: Running,
}

async fn shop() -> Shop {
    let any: SocketAddr = ANY.parse().unwrap();
    let ledger = Ledger::start(any).await.unwrap();
    let orders = Orders::start(any, ledger.addr().to_string()).await.unwrap();
    let storefront = Storefront::start(any, orders.addr().to_string())
        .await
        .unwrap();
    Shop {
        ledger,
        orders,
        storefront,
    }
}

/// The whole answer to one request on a connection of its own.
async fn ask(addr: SocketAddr, head: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let request =
        format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_order_travels_from_the_api_through_the_ledger_to_the_page() {
    let shop = shop().await;

    let made = ask(
        shop.orders.addr(),
        "POST /orders HTTP/1.1",
        r#"{"id":"tea","cents":450}"#,
    )
    .await;
    let page = ask(shop.storefront.addr(), "GET / HTTP/1.1", "").await;
    let gone = ask(shop.orders.addr(), "DELETE /orders/tea HTTP/1.1", "").await;
    let missing = ask(shop.orders.addr(), "GET /orders/tea HTTP/1.1", "").await;

    assert!(
        made.starts_with("HTTP/1.1 201 ")
            && made.contains(r#"{"id":"tea","cents":450,"caller":null}"#),
        "{made}"
    );
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.contains("<td>tea</td><td>4.50</td>"),
        "{page}"
    );
    assert!(gone.starts_with("HTTP/1.1 200 "), "{gone}");
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    let at_the_ledger: Vec<String> = shop
        .ledger
        .requests_seen()
        .into_iter()
        .map(|seen| format!("{} {}", seen.method, seen.path))
        .collect();
    assert_eq!(at_the_ledger, ["PUT tea", "LIST ", "DEL tea", "GET tea"]);
}

#[tokio::test]
async fn orders_tells_and_remembers_who_the_sidecar_says_is_calling() {
    let shop = shop().await;
    let client_cert =
        "By=spiffe://shop.example/orders;Hash=00;URI=spiffe://shop.example/storefront";

    let head = format!("GET /orders?page=1 HTTP/1.1\r\nx-forwarded-client-cert: {client_cert}");
    let answer = ask(shop.orders.addr(), &head, "").await;

    assert!(
        answer.contains(r#""caller":"spiffe://shop.example/storefront""#),
        "{answer}"
    );
    let [seen] = shop.orders.requests_seen().try_into().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("GET", "/orders?page=1")
    );
    assert_eq!(seen.client_cert.as_deref(), Some(client_cert));
}

#[tokio::test]
async fn what_is_no_order_is_refused_and_reaches_no_ledger() {
    let shop = shop().await;

    for body in [
        "",
        "{}",
        r#"{"id":"a b","cents":1}"#,
        r#"{"id":"tea","cents":-1}"#,
        "[1]",
    ] {
        let answer = ask(shop.orders.addr(), "POST /orders HTTP/1.1", body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
    }

    assert_eq!(shop.ledger.seen().connections(), 0);
}

#[tokio::test]
async fn the_page_says_why_there_are_no_orders() {
    let Shop {
        orders, storefront, ..
    } = shop().await;
    drop(orders);

    let page = ask(storefront.addr(), "GET / HTTP/1.1", "").await;

    assert!(
        page.starts_with("HTTP/1.1 502 ") && page.contains("orders did not answer: "),
        "{page}"
    );
}

#[tokio::test]
async fn http2_without_tls_is_served_too() {
    let shop = shop().await;
    let socket = TcpStream::connect(shop.orders.addr()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);

    let request = hyper::Request::get("http://orders/orders")
        .body(http_body_util::Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();

    assert_eq!(answer.status(), 200);
}
