//! The app behind the attacked sidecars.

use crate::online::Failed;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// An app that answers with `ok`, with a big body, or with a head that never ends.
pub(super) async fn app() -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move { answer(socket).await });
        }
    });
    Ok(at)
}

async fn answer(mut socket: TcpStream) -> Result<(), Failed> {
    socket.set_nodelay(true)?;
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend(&part[..count]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        if head.starts_with(b"GET /endless") {
            socket.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
            sleep(Duration::from_secs(3600)).await;
        } else if head.starts_with(b"GET /big") {
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n")
                .await?;
            for _ in 0..1024 {
                socket.write_all(&[b'x'; 64 * 1024]).await?;
            }
        } else {
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await?;
        }
        head.clear();
    }
}
