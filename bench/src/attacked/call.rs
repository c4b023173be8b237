//! A caller who does nothing wrong.

use crate::online::Failed;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Between two calls: they are to wait for the sidecars, not for one another.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls one after the other for so long: what each took in milliseconds, and how many failed.
pub(super) async fn calls(at: SocketAddr, lasts: Duration) -> Result<(Vec<f64>, usize), Failed> {
    let (mut took, mut failed, began) = (Vec::new(), 0, Instant::now());
    let mut socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    while began.elapsed() < lasts {
        let call = Instant::now();
        match timeout(Duration::from_secs(10), ask(&mut socket)).await {
            Ok(Ok(())) => took.push(call.elapsed().as_secs_f64() * 1000.0),
            _ => {
                failed += 1;
                socket = TcpStream::connect(at).await?;
                socket.set_nodelay(true)?;
            }
        }
        sleep(PAUSE).await;
    }
    Ok((took, failed))
}

/// One call on a kept connection, to its answer's last byte.
pub(super) async fn ask(
    connection: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<(), Failed> {
    connection
        .write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await?;
    connection.flush().await?;
    let (mut seen, mut part) = (Vec::new(), [0; 1024]);
    while !seen.ends_with(b"\r\n\r\nok") {
        let count = connection.read(&mut part).await?;
        if count == 0 || seen.len() > 4096 {
            return Err("it is not answered".into());
        }
        seen.extend(&part[..count]);
    }
    seen.starts_with(b"HTTP/1.1 200")
        .then_some(())
        .ok_or_else(|| "refused".into())
}
