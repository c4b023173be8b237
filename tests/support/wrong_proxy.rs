//! A proxy that is wrong on purpose: the control of the corpora, which have to find that out.
//!
//! It forwards what it got as it got it, takes LF for the end of a line, believes the first number it finds in the first
//! `Content-Length`, and takes every `Transfer-Encoding` with `chunked` in it for chunks. All its clients share one
//! connection to the server, and it believes what comes back in the same way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

/// The proxy.
pub struct WrongProxy {
    pub at: SocketAddr,
    task: JoinHandle<()>,
}

type Kept = Arc<Mutex<Option<BufReader<TcpStream>>>>;

impl WrongProxy {
    /// Before this server.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let kept = Kept::default();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let kept = kept.clone();
                connections.spawn(async move {
                    // What goes wrong here is seen from outside.
                    let _ = carry(BufReader::new(client), kept, server).await;
                });
            }
        });
        WrongProxy { at, task }
    }
}

impl Drop for WrongProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: BufReader<TcpStream>, kept: Kept, server: SocketAddr) -> io::Result<()> {
    while let Some(request) = message(&mut client, false).await? {
        let mut kept = kept.lock().await;
        let mut upstream = match kept.take() {
            Some(upstream) => upstream,
            None => BufReader::new(TcpStream::connect(server).await?),
        };
        upstream.write_all(&request).await?;
        let bodyless = request.starts_with(b"HEAD");
        let answer = message(&mut upstream, bodyless).await?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        client.write_all(&answer).await?;
        *kept = Some(upstream);
    }
    Ok(())
}

/// A message as this proxy sees one: `None` where nothing more comes.
async fn message(stream: &mut BufReader<TcpStream>, bodyless: bool) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if stream.read_until(b'\n', &mut head).await? == 0 {
            return Ok(None);
        }
        if head[before..].trim_ascii().is_empty() && before > 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    if bodyless {
        return Ok(Some(head));
    }
    if value("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        chunks(stream, &mut head).await?;
    } else if let Some(length) = value("content-length") {
        let digits = length.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let length = digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0);
        body(stream, &mut head, length).await?;
    }
    Ok(Some(head))
}

async fn body(
    stream: &mut BufReader<TcpStream>,
    message: &mut Vec<u8>,
    length: u64,
) -> io::Result<()> {
    // However long it is said to be, only what comes is kept.
    let read = stream.take(length).read_to_end(message).await?;
    match read as u64 == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn chunks(stream: &mut BufReader<TcpStream>, message: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let before = message.len();
        if stream.read_until(b'\n', message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&message[before..]).into_owned();
        let line = line.trim();
        let end = line.find(|c: char| !c.is_ascii_hexdigit());
        let size = u64::from_str_radix(&line[..end.unwrap_or(line.len())], 16).unwrap_or(0);
        if size == 0 {
            while message.len() > before {
                let before = message.len();
                if stream.read_until(b'\n', message).await? == 0
                    || message[before..].trim_ascii().is_empty()
                {
                    return Ok(());
                }
            }
        }
        body(stream, message, size.saturating_add(2)).await?;
    }
}
