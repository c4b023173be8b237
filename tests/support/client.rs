//! A client that sends exactly the bytes it is given, over TCP or TLS, and reads HTTP/1 answers.

use super::within;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In their order, names lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `METHOD PATH` with a Host on a connection of its own.
pub async fn ask(addr: SocketAddr, method: &str, host: &str, path: &str) -> Answer {
    let mut client = Client::connect(addr).await;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    client
        .send(request.as_bytes())
        .await
        .expect("it takes a request");
    client.answer().await.expect("it answers")
}

/// One connection.
pub struct Client<S> {
    stream: BufReader<S>,
}

impl Client<TcpStream> {
    /// Connects in clear text.
    pub async fn connect(addr: SocketAddr) -> Self {
        let socket = within("connecting", TcpStream::connect(addr)).await;
        Client {
            stream: BufReader::new(socket.unwrap_or_else(|e| panic!("{addr}: {e}"))),
        }
    }

    /// The other way round: an app's end of the next connection that comes to it.
    pub async fn accept(app: &TcpListener) -> Self {
        let (socket, _) = within("a connection at the app", app.accept())
            .await
            .expect("a listener of a test accepts");
        Client {
            stream: BufReader::new(socket),
        }
    }
}

/// Where an app listens whose every byte the test sends.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let app = TcpListener::bind("127.0.0.1:0").await;
    let app = app.expect("loopback has a free port");
    let at = app.local_addr().expect("a bound socket has an address");
    (app, at)
}

impl Client<UnixStream> {
    /// Connects in clear text to a unix socket.
    pub async fn connect_unix(path: &Path) -> Self {
        let socket = within("connecting", UnixStream::connect(path)).await;
        Client {
            stream: BufReader::new(socket.unwrap_or_else(|e| panic!("{}: {e}", path.display()))),
        }
    }
}

impl Client<TlsStream<TcpStream>> {
    /// Connects and shakes hands. With TLS 1.3 a server may still refuse the client: its first answer tells.
    pub async fn connect_tls(
        addr: SocketAddr,
        config: Arc<ClientConfig>,
        sni: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(sni.to_owned()).expect("a test names servers well");
        let handshake = async {
            TlsConnector::from(config)
                .connect(name, TcpStream::connect(addr).await?)
                .await
        };
        Ok(Client {
            stream: BufReader::new(within("the handshake", handshake).await?),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Over what is connected.
    pub fn over(stream: S) -> Self {
        let stream = BufReader::new(stream);
        Client { stream }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let send = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        within("sending", send).await
    }

    /// Ends the sending half.
    pub async fn half_close(&mut self) -> io::Result<()> {
        within("the half-close", self.stream.shutdown()).await
    }

    /// Reads one line, its ending included: empty at the end of the connection.
    pub async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        within("a line", self.stream.read_line(&mut line)).await?;
        Ok(line)
    }

    /// Reads a head as it came, to its empty line.
    pub async fn raw_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.line().await?.as_str() {
                "" => return Err(io::ErrorKind::UnexpectedEof.into()),
                line => head.push_str(line),
            }
        }
        Ok(head)
    }

    /// Reads exactly `n` bytes.
    pub async fn bytes(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        within("bytes", self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads until the other side ends the connection.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        within(
            "the end of the connection",
            self.stream.read_to_end(&mut rest),
        )
        .await?;
        Ok(rest)
    }

    /// Reads one answer to a request that was not HEAD; interim answers (1xx) are passed over.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let (status, headers) = self.head().await?;
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let mut answer = Answer {
                status,
                headers,
                body: Vec::new(),
            };
            answer.body = self.body(&answer).await?;
            return Ok(answer);
        }
    }

    async fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let start = self.line().await?;
        if start.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let status = start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| malformed(&start))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let line = line.trim_end();
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if matches!(answer.status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        match answer.header("content-length") {
            Some(length) => {
                self.bytes(length.parse().map_err(|_| malformed(length))?)
                    .await
            }
            None => self.rest().await,
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| malformed(&line))?;
            if size > 0 {
                body.extend(self.bytes(size).await?);
            }
            // After the last chunk come trailers, if any, and an empty line.
            while !self.line().await?.trim_end().is_empty() {}
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1: {line:?}"))
}
