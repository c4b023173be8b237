//! A server behind mutual TLS that remembers every request that came to it, and then fails it as it is told.

use super::tls;
use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use mint::Svid;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What becomes of a request that was read whole.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Answered with this status and this field.
    Answered(u16, (&'static str, &'static str)),
    /// HTTP/1: the connection is closed. HTTP/2: the stream is reset.
    Reset,
    /// The connection is closed within the head of the answer; HTTP/1 only.
    ResetWithinHead,
    /// The connection is closed, or the stream reset, within the body of the answer.
    ResetWithinBody,
    /// The stream is refused; HTTP/2 only.
    Refused,
    /// The connection ends, and says that no stream of it was looked at; HTTP/2 only.
    GoneAway,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// Empty where the server did not look.
    pub method: String,
    pub attempt: Option<String>,
    pub body: Bytes,
}

/// The server.
pub struct Recorder {
    pub at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Of the nth request `fate` says what becomes.
    pub async fn start(svid: &Svid, fate: impl Fn(usize) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let acceptor = TlsAcceptor::from(tls::server(svid, &["h2", "http/1.1"]));
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let (remembered, fate) = (came.clone(), Arc::new(fate));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, fate) = (acceptor.clone(), fate.clone());
                let book = Book(remembered.clone());
                connections.spawn(async move {
                    // A connection that ends is what these tests are about.
                    let _ = meet(acceptor, socket, book, &*fate).await;
                });
            }
        });
        Recorder { at, came, task }
    }

    /// All that came, oldest first.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().expect("no server panics").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Book(Arc<Mutex<Vec<Came>>>);

impl Book {
    /// Writes one down; which it is.
    fn write(&self, came: Came) -> usize {
        let mut all = self.0.lock().expect("no server panics");
        all.push(came);
        all.len() - 1
    }
}

async fn meet(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    book: Book,
    fate: &(impl Fn(usize) -> Fate + Sync),
) -> io::Result<()> {
    let stream = acceptor.accept(socket).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") if matches!(fate(0), Fate::GoneAway) => go_away(stream, &book).await,
        Some(b"h2") => over_http2(stream, &book, fate)
            .await
            .map_err(io::Error::other),
        _ => over_http1(stream, &book, fate).await,
    }
}

async fn over_http1(
    mut stream: TlsStream<TcpStream>,
    book: &Book,
    fate: &impl Fn(usize) -> Fate,
) -> io::Result<()> {
    loop {
        let Some(came) = read(&mut stream).await? else {
            return Ok(());
        };
        let answer = match fate(book.write(came)) {
            Fate::Answered(status, (name, value)) => {
                format!("HTTP/1.1 {status} X\r\n{name}: {value}\r\ncontent-length: 2\r\n\r\nno")
            }
            Fate::ResetWithinHead => "HTTP/1.1 20".to_owned(),
            Fate::ResetWithinBody => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nno".to_owned(),
            Fate::Reset | Fate::Refused | Fate::GoneAway => String::new(),
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        if !answer.ends_with("\r\nno") || answer.contains("length: 9") {
            return Ok(());
        }
    }
}

/// A request of HTTP/1 with a `Content-Length`, if any.
async fn read(stream: &mut TlsStream<TcpStream>) -> io::Result<Option<Came>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let length = field("content-length:").map_or(0, |length| length.parse().unwrap_or(0));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let method = head.split(' ').next().unwrap_or_default();
    Ok(Some(Came {
        method: method.to_ascii_uppercase(),
        attempt: field("x-countersign-attempt:"),
        body: body.into(),
    }))
}

async fn over_http2(
    stream: TlsStream<TcpStream>,
    book: &Book,
    fate: &impl Fn(usize) -> Fate,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(next) = connection.accept().await {
        let (request, mut respond) = next?;
        let (head, mut incoming) = request.into_parts();
        let mut came = Came {
            method: head.method.to_string(),
            attempt: text(&head.headers, "x-countersign-attempt"),
            body: Bytes::new(),
        };
        let mut body = Vec::new();
        // The connection has to be driven meanwhile: bodies here fit its window.
        tokio::select! {
            _ = std::future::poll_fn(|cx| connection.poll_closed(cx)) => return Ok(()),
            () = async {
                while let Some(Ok(data)) = incoming.data().await {
                    let _ = incoming.flow_control().release_capacity(data.len());
                    body.extend_from_slice(&data);
                }
            } => {}
        }
        came.body = body.into();
        match fate(book.write(came)) {
            Fate::Answered(status, (name, value)) => {
                let answer = http::Response::builder().status(status).header(name, value);
                let answer = answer.body(()).expect("a test answers rightly");
                respond.send_response(answer, true)?;
            }
            Fate::ResetWithinBody => {
                // A reset would overtake the head: a body that is shorter than it says is cut as well.
                let answer = http::Response::builder().header("content-length", 9);
                let answer = answer.body(()).expect("a test answers rightly");
                let mut body = respond.send_response(answer, false)?;
                body.send_data(Bytes::from_static(b"no"), true)?;
            }
            Fate::Refused => respond.send_reset(Reason::REFUSED_STREAM),
            Fate::Reset | Fate::ResetWithinHead | Fate::GoneAway => {
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Waits for a HEADERS frame, and says that it looked at no stream (RFC 9113 §6.8).
async fn go_away(mut stream: TlsStream<TcpStream>, book: &Book) -> io::Result<()> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&SETTINGS).await?;
    stream.write_all(&ACK).await?;
    stream.flush().await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == 1 {
            book.write(Came {
                method: String::new(),
                attempt: None,
                body: Bytes::new(),
            });
            stream.write_all(&GOAWAY).await?;
            stream.flush().await?;
            return stream.shutdown().await;
        }
    }
}
