//! Connections of bytes that break off: in clear text the end of one says nothing of why, so that what was cut would be taken for
//! whole. Whoever is at the other end gets a reset for it.

use crate::support::client::listen;
use crate::support::mesh::allow_all;
use crate::support::pair::{Otherwise, Pair};
use crate::support::within;
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Both ends of a connection through the pair, on which something was said both ways.
async fn open() -> (Pair, TcpStream, TcpStream) {
    let (app, at) = listen().await;
    let pair = Pair::around(SocketAddr::from(([127, 0, 0, 1], 1)), at);
    let mut client = TcpStream::connect(pair.calling.at("db")).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    let (mut served, _) = within("a connection", app.accept()).await.unwrap();
    let mut seen = [0; 4];
    within("a word", served.read_exact(&mut seen))
        .await
        .unwrap();
    served.write_all(b"half").await.unwrap();
    within("a word", client.read_exact(&mut seen))
        .await
        .unwrap();
    assert_eq!(&seen, b"half");
    (pair, client, served)
}

async fn is_reset(mut socket: TcpStream) {
    let read = within("its end", socket.read(&mut [0; 4])).await;
    let error = read.map_err(|error| error.kind());
    assert_eq!(error, Err(ErrorKind::ConnectionReset));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_hears_that_its_server_broke_off() {
    let (_pair, client, served) = open().await;

    served.set_zero_linger().unwrap();
    drop(served);

    is_reset(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_hears_that_its_client_broke_off() {
    let (_pair, client, served) = open().await;

    client.set_zero_linger().unwrap();
    drop(client);

    is_reset(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_hear_that_the_sidecar_between_them_was_killed_or_forbade_it() {
    let (mut pair, client, served) = open().await;
    pair.called.process.kill();
    is_reset(client).await;
    drop(served);

    let (pair, client, served) = open().await;
    pair.orders
        .policy(&allow_all(&["spiffe://shop.example/nobody"]));
    is_reset(served).await;
    is_reset(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_well_is_heard_to_end_well() {
    let (_pair, mut client, mut served) = open().await;

    served.write_all(b"rest").await.unwrap();
    drop(served);
    let mut rest = Vec::new();
    within("the rest", client.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_hears_an_end_since_nothing_broke_off() {
    let (_app, at) = listen().await;
    let web = SocketAddr::from(([127, 0, 0, 1], 1));
    let policy = allow_all(&["spiffe://shop.example/nobody"]);
    let otherwise = Otherwise {
        policy: &policy,
        ..Otherwise::default()
    };
    let pair = Pair::around_with(web, at, otherwise);

    let mut client = TcpStream::connect(pair.calling.at("db")).await.unwrap();
    let mut said = Vec::new();
    let read = within("its end", client.read_to_end(&mut said)).await;

    assert_eq!((read.map_err(|error| error.kind()), said), (Ok(0), vec![]));
}
