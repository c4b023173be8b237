//! An app that writes down everything that comes to it, as it is read strictly, and that answers with the bytes it is given.
//!
//! What is no message is written down, too: a head that never became a message, and bytes that are none.

use super::corpus::Step;
use super::strict::{Found, Message, Side, head, read};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A message.
    Whole(Message),
    /// The beginning of one, after which its connection ended.
    Begun(Vec<u8>),
    /// What no strict reader takes for a message, and why.
    Wrong(Vec<u8>, &'static str),
    /// Bytes of another protocol, after a connection was switched.
    Switched(Vec<u8>),
}

/// The app.
pub struct Witness {
    pub at: SocketAddr,
    book: Arc<Book>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Book(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    came: Vec<Came>,
    /// What came on connections that are open and is no message yet.
    unread: HashMap<usize, Vec<u8>>,
    connections: usize,
    /// What is answered to all but probes.
    answer: Option<Vec<Step>>,
}

/// Targets below this are answered as they should be, whatever the others are told.
pub const PROBE: &str = "/probe/";

impl Witness {
    /// In clear text.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// Behind TLS.
    pub async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen(Some(acceptor)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let book = Arc::<Book>::default();
        let kept = book.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, book) = (acceptor.clone(), kept.clone());
                connections.spawn(async move {
                    // A connection that ends badly is in the book.
                    let _ = match acceptor {
                        None => meet(socket, &book).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => meet(stream, &book).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Witness { at, book, task }
    }

    /// Answers all but probes like this from now on; `None`: rightly.
    pub fn answer(&self, with: Option<Vec<Step>>) {
        self.book.pages().answer = with;
    }

    /// Whether bytes came that are no message yet, on a connection that is open.
    pub fn is_reading(&self) -> bool {
        !self.book.pages().unread.is_empty()
    }

    /// All that came since this was asked last, with what is not read to its end yet.
    pub fn came(&self) -> Vec<Came> {
        let mut pages = self.book.pages();
        let unread: Vec<_> = pages.unread.values().cloned().map(Came::Begun).collect();
        let mut came = std::mem::take(&mut pages.came);
        came.extend(unread);
        came
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("no witness panics")
    }

    fn enter(&self) -> usize {
        let mut pages = self.pages();
        pages.connections += 1;
        pages.connections
    }

    fn unread(&self, connection: usize, bytes: &[u8]) {
        let unread = &mut self.pages().unread;
        match bytes {
            [] => unread.remove(&connection),
            bytes => unread.insert(connection, bytes.to_vec()),
        };
    }

    /// Nothing more comes on this connection.
    fn end(&self, connection: usize, last: Option<Came>) {
        let mut pages = self.pages();
        pages.unread.remove(&connection);
        pages.came.extend(last);
    }
}

async fn meet(stream: impl AsyncRead + AsyncWrite + Unpin, book: &Book) -> io::Result<()> {
    let connection = book.enter();
    let mut met = Met {
        stream,
        book,
        connection,
        bytes: Vec::new(),
    };
    let served = met.serve().await;
    let last = match (&served, met.bytes.is_empty()) {
        (_, true) => None,
        (Ok(last), false) => Some(last.clone()),
        (Err(_), false) => Some(Last::Begun),
    };
    let bytes = std::mem::take(&mut met.bytes);
    book.end(
        connection,
        last.map(|last| match last {
            Last::Begun => Came::Begun(bytes),
            Last::Wrong(why) => Came::Wrong(bytes, why),
            Last::Switched => Came::Switched(bytes),
        }),
    );
    served.map(|_| ())
}

/// What is left on a connection that ended.
#[derive(Clone)]
enum Last {
    Begun,
    Wrong(&'static str),
    Switched,
}

struct Met<'a, S> {
    stream: S,
    book: &'a Book,
    connection: usize,
    /// Of no message yet.
    bytes: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Met<'_, S> {
    async fn serve(&mut self) -> io::Result<Last> {
        let mut told_to_go_on = false;
        loop {
            match read(&self.bytes, Side::Request, false) {
                Found::Wrong(why) => return Ok(Last::Wrong(why)),
                Found::Whole(message, used) => {
                    self.bytes.drain(..used);
                    told_to_go_on = false;
                    self.book.unread(self.connection, &self.bytes);
                    match self.answer(message).await? {
                        Next::Read => {}
                        Next::Close => return Ok(Last::Begun),
                        Next::Switch => {
                            while self.more().await? {}
                            return Ok(Last::Switched);
                        }
                    }
                }
                Found::Part => {
                    if !told_to_go_on && waits(&self.bytes) {
                        told_to_go_on = true;
                        self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                    }
                    if !self.more().await? {
                        return Ok(Last::Begun);
                    }
                }
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut room = vec![0; 16 * 1024];
        let n = self.stream.read(&mut room).await?;
        self.bytes.extend(&room[..n]);
        self.book.unread(self.connection, &self.bytes);
        Ok(n > 0)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn answer(&mut self, message: Message) -> io::Result<Next> {
        let (method, target) = (message.method(), message.second());
        let upgrade = message.field("upgrade").is_some();
        let told = {
            let mut pages = self.book.pages();
            pages.came.push(Came::Whole(message));
            pages.answer.clone()
        };
        match told {
            Some(steps) if !target.starts_with(PROBE) => self.say(steps).await,
            _ if upgrade => {
                let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                self.write(switch.as_bytes()).await?;
                Ok(Next::Switch)
            }
            _ => {
                self.write(&right(&method, &target)).await?;
                Ok(Next::Read)
            }
        }
    }

    async fn say(&mut self, steps: Vec<Step>) -> io::Result<Next> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.write(&bytes).await?,
                Step::Answer => {}
                Step::Close => {
                    self.stream.shutdown().await?;
                    return Ok(Next::Close);
                }
            }
        }
        Ok(Next::Read)
    }
}

enum Next {
    Read,
    Switch,
    Close,
}

/// An answer that says which target it answers.
fn right(method: &str, target: &str) -> Vec<u8> {
    let body = match method {
        "HEAD" => "",
        _ => target,
    };
    let length = target.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Whether a client waits for the word to go on.
fn waits(bytes: &[u8]) -> bool {
    let fields = head(bytes, Side::Request).unwrap_or_default();
    fields
        .iter()
        .any(|(name, value)| name == b"expect" && value.eq_ignore_ascii_case(b"100-continue"))
}

/// What a proxy of ours adds to what it passes on; taken away from what came, to compare the rest.
pub fn without_ours(mut message: Message) -> Message {
    const OURS: [&[u8]; 4] = [
        b"x-forwarded-client-cert",
        b"x-request-id",
        b"x-countersign-hops",
        b"x-countersign-attempt",
    ];
    for name in OURS {
        let at = message.fields.iter().position(|field| {
            field.0.eq_ignore_ascii_case(name)
                && (name != OURS[0] || field.1.starts_with(b"By=spiffe://"))
                // Ours is a UUID.
                && (name != OURS[1] || field.1.len() == 36)
        });
        if let Some(at) = at {
            message.fields.remove(at);
        }
    }
    message
}
