//! Asking a running process over its unix socket, or over TCP where it only shows: one connection, one call.
//!
//! In: the door and a request. Out: the status and the whole body of the answer, or why there is none.
//!
//! 1. Whatever answers is bounded in time and size.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Where a process is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A unix socket.
    Socket(PathBuf),
    /// `host:port`: pages to look at.
    Pages(String, u16),
}

impl Door {
    /// `host:port`, `[v6]:port`, `unix:/path`, or a path with a `/` in it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_path = text.contains('/') && !text.starts_with("unix:");
        if is_path {
            return Ok(Door::Socket(text.into()));
        }
        match config::Address::parse(text) {
            Ok(config::Address::Unix(path)) => Ok(Door::Socket(path)),
            Ok(config::Address::Tcp { host, port }) => Ok(Door::Pages(host, port)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Door::Socket(path) => write!(f, "{}", path.display()),
            Door::Pages(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Door::Pages(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl From<&Path> for Door {
    fn from(path: &Path) -> Self {
        Door::Socket(path.to_owned())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody could be connected to.
    Connect(io::Error),
    /// The connection ended before an answer.
    Ended,
    /// What came is not HTTP.
    NotHttp,
    /// No whole answer in time.
    Slow,
    /// More of it than is taken.
    Large,
}

/// Calls, and takes at most so many bytes of an answer that comes within so long.
pub(crate) async fn exchange(
    door: &Door,
    request: Request<Full<Bytes>>,
    within: Duration,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let answered = timeout(within, unbounded(door, request, bytes_max)).await;
    answered.unwrap_or(Err(Unanswered::Slow))
}

async fn unbounded(
    door: &Door,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), Unanswered> {
    match door {
        Door::Socket(path) => {
            let stream = UnixStream::connect(path).await;
            over(stream.map_err(Unanswered::Connect)?, request, bytes_max).await
        }
        Door::Pages(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            over(stream.map_err(Unanswered::Connect)?, request, bytes_max).await
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unanswered(&error))?;
    let answered = async {
        let response = sender.send_request(request).await;
        whole(response.map_err(|error| unanswered(&error))?, bytes_max).await
    };
    // It works while the answer is waited for, and its error is the answer's.
    let working = async {
        let _ended = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answered = answered => answered,
        never = working => never,
    }
}

async fn whole(
    response: Response<hyper::body::Incoming>,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let status = response.status();
    match Limited::new(response.into_body(), bytes_max)
        .collect()
        .await
    {
        Ok(body) => Ok((status, body.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Unanswered::Large),
        Err(error) => Err(error
            .downcast_ref::<hyper::Error>()
            .map_or(Unanswered::Ended, unanswered)),
    }
}

fn unanswered(error: &hyper::Error) -> Unanswered {
    match error.is_parse() {
        true => Unanswered::NotHttp,
        false => Unanswered::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_a_socket_or_an_address() {
        let pages = |host: &str, port| Ok(Door::Pages(host.to_owned(), port));
        let socket = |path: &str| Ok(Door::Socket(path.into()));
        for (text, door) in [
            ("127.0.0.1:15000", pages("127.0.0.1", 15000)),
            ("[::1]:15000", pages("::1", 15000)),
            (
                "/run/countersign/admin.sock",
                socket("/run/countersign/admin.sock"),
            ),
            ("./admin.sock", socket("./admin.sock")),
            ("unix:/run/admin.sock", socket("/run/admin.sock")),
            ("localhost", Err("has no port: `host:port`".to_owned())),
        ] {
            assert_eq!(Door::parse(text), door, "{text}");
        }
        assert_eq!(Door::Pages("::1".into(), 1).to_string(), "[::1]:1");
    }
}
