//! What happens to a listener when the process has no file descriptors left. A process of its own, as the limit is one.
#![allow(clippy::unwrap_used, reason = "tests")]

use config::Address;
use countersign_daemon::{accept, bind, drain};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs::File;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn a_listener_outlives_the_want_of_file_descriptors() {
    let listener = bind::listen(&Address::Tcp {
        host: "127.0.0.1".into(),
        port: 0,
    })
    .await
    .unwrap();
    let address = listener.local_addr();
    let (drain, draining) = drain::pair();
    draining.track(accept::run(
        listener,
        draining.clone(),
        |mut stream: TcpStream, _| async move {
            assert!(stream.write_all(b"hello").await.is_ok());
        },
    ));

    let limit = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // The loop runs now, on this same thread, and finds nothing left to accept with.
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.set_nonblocking(true).unwrap();
    let mut nothing = [0; 1];
    let blocked = std::io::Read::read(&mut client, &mut nothing).unwrap_err();
    assert_eq!(blocked.kind(), std::io::ErrorKind::WouldBlock);

    drop(taken);
    let mut greeting = String::new();
    let mut client = TcpStream::from_std(client).unwrap();
    timeout(
        Duration::from_secs(10),
        client.read_to_string(&mut greeting),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(greeting, "hello");
    assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
}
