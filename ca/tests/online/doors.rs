//! What those who only hold connections can do to the others.

use crate::fixture::*;
use identity::Key;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From another machine than everybody else.
async fn dial_from_elsewhere(ca: &Ca) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(ca.address).await.unwrap()
}

#[tokio::test]
async fn who_connects_and_says_nothing_keeps_nobody_else_out() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    // Twice as many as may shake hands at a time.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(ca.address).await.unwrap());
    }

    let mut client = ca.client_over(dial_from_elsewhere(&ca).await, None).await;
    let joined = client.join(join_request(&token, &Key::generate().unwrap()));

    assert!(timeout(PATIENCE, joined).await.unwrap().is_ok());
    drop((client, silent));
    ca.stop().await;
}

/// How many handshakes ended so.
fn ended(ca: &Ca, reason: &str) -> usize {
    let line = format!("side=\"server\",result=\"{reason}\",group=\"\"}} ");
    let page = ca.metrics.encode();
    let found = page.lines().find_map(|at| at.split_once(&line));
    found.map_or(0, |(_, count)| count.parse().unwrap())
}

#[tokio::test]
async fn how_each_handshake_ended_is_counted() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    drop(ca.client(None).await);
    let mut no_tls = TcpStream::connect(ca.address).await.unwrap();
    no_tls.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    eventually(|| ended(&ca, "not_tls") == 1).await;
    let mut silent = Vec::new();
    for _ in 0..110 {
        silent.push(TcpStream::connect(ca.address).await.unwrap());
    }

    eventually(|| ended(&ca, "handshakes_full") >= 10).await;

    let ok = "side=\"server\",result=\"ok\",group=\"X25519";
    let page = ca.metrics.encode();
    assert!(page.contains(ok), "{page}");
    drop((no_tls, silent));
    ca.stop().await;
}

#[tokio::test]
#[ignore = "long: 15 s: .ci/run runs it"]
async fn a_call_whose_request_never_ends_is_over() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let tcp = TcpStream::connect(ca.address).await.unwrap();
    let name = "ca".try_into().unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(ca.stranger()));
    let mut tls = connector.connect(name, tcp).await.unwrap();
    // The preface, no settings, and a head of a Join that says that a body follows: HPACK without a table.
    let mut head = vec![0x83, 0x87]; // POST, https
    for (name, value) in [
        (":path", "/countersign.ca.v1.Authority/Join"),
        (":authority", "ca"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend(text.as_bytes());
        }
    }
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    sent.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    sent.extend(head);
    sent.extend([0, 0, 5, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    tls.write_all(&sent).await.unwrap();

    let mut seen = Vec::new();
    let answered = async {
        // The reason travels in HPACK: literals that are not indexed or huffman-coded are not to be relied upon; its frame is.
        loop {
            let mut frame = [0; 9];
            tls.read_exact(&mut frame).await.unwrap();
            let length = usize::from(frame[1]) * 256 + usize::from(frame[2]);
            let mut payload = vec![0; length];
            tls.read_exact(&mut payload).await.unwrap();
            seen.push(frame[3]);
            if frame[3] == 1 {
                return;
            }
        }
    };
    let began = Instant::now();
    let answered = timeout(Duration::from_secs(20), answered).await;

    assert!(answered.is_ok(), "frames seen: {seen:?}");
    assert!(began.elapsed() > PATIENCE, "not refused for its form");
    drop(tls);
    ca.stop().await;
}
