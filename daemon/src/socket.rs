//! Connected sockets, accepted or dialled: TCP with what every one of ours is set to, or unix.
//!
//! Who is at the other end is known before a byte is read: by its address, or by the kernel's word for its user.

use rustix::net::{RecvFlags, recv};
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::unix::UCred;
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket of this machine.
    Unix(UnixStream),
}

/// Who is at the other end of an accepted socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody at this address.
    Tcp(SocketAddr),
    /// A process of this machine, as it was when it connected.
    Unix {
        /// Its user.
        uid: u32,
        /// The process, where the kernel tells.
        pid: Option<i32>,
    },
}

impl From<UCred> for Peer {
    fn from(credentials: UCred) -> Self {
        Peer::Unix {
            uid: credentials.uid(),
            pid: credentials.pid(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => write!(f, "{address}"),
            Peer::Unix { uid, pid: None } => write!(f, "uid {uid}"),
            Peer::Unix {
                uid,
                pid: Some(pid),
            } => write!(f, "uid {uid} (pid {pid})"),
        }
    }
}

impl Socket {
    /// Dials a unix socket.
    pub async fn connect_unix(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Socket::Unix)
    }

    /// Its end will be a reset, by which the other side knows that it was no good one. Over a unix socket there is none.
    pub fn reset_at_end(&self) {
        if let Socket::Tcp(stream) = self {
            // Whoever has left already need not hear of it.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Resolves when the other side is gone for good, and has not only closed its writing half: it reset the connection, the
    /// kernel gave it up, or, over a unix socket, it closed. A side that closed a TCP connection altogether is known to be gone when
    /// its kernel resets what is sent to it, if only to ask whether it is there ([`prepare`]). Costs a descriptor until it is
    /// dropped, and reads and writes nothing.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn gone(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        // Under a descriptor of its own, which may forget that there is room for more bytes: nobody writes to it.
        let watched = match self {
            Socket::Tcp(stream) => {
                let fd = stream.as_fd().try_clone_to_owned()?;
                Socket::Tcp(TcpStream::from_std(fd.into())?)
            }
            Socket::Unix(stream) => {
                let fd = stream.as_fd().try_clone_to_owned()?;
                Socket::Unix(UnixStream::from_std(fd.into())?)
            }
        };
        Ok(async move { while watched.is_there().await {} })
    }

    /// Waits for news of it. Whether the other side is still there.
    async fn is_there(&self) -> bool {
        let nothing = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
        let (ready, _forgotten) = match self {
            Socket::Tcp(stream) => (
                stream.ready(Interest::WRITABLE).await,
                stream.try_io(Interest::WRITABLE, nothing),
            ),
            Socket::Unix(stream) => (
                stream.ready(Interest::WRITABLE).await,
                stream.try_io(Interest::WRITABLE, nothing),
            ),
        };
        ready.is_ok_and(|ready| !ready.is_write_closed())
    }

    /// The first bytes that wait, left where they are; 0 when the other side has closed. Cancel safe.
    ///
    /// What was only peeked at keeps the socket ready: to ask again for more than there is returns at once.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.peek(buf).await,
            Socket::Unix(stream) => {
                let look = || {
                    let (_, count) = recv(stream, &mut *buf, RecvFlags::PEEK)?;
                    Ok(count)
                };
                stream.async_io(Interest::READABLE, look).await
            }
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Socket::Tcp(stream)
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Tcp(stream) => stream.is_write_vectored(),
            Socket::Unix(stream) => stream.is_write_vectored(),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// After this long without a byte the kernel asks whether the other side is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged: as long as keep-alive takes, so that both give up at the same time.
const USER_TIMEOUT: Duration = Duration::from_secs(90);

/// No delay for small writes (46 ms on the first request otherwise), and the end of peers that vanished without a FIN.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    async fn pairs() -> [(Socket, Socket); 2] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap());
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        let (one, two) = UnixStream::pair().unwrap();
        [
            (dialled.unwrap().into(), accepted.unwrap().0.into()),
            (Socket::Unix(one), Socket::Unix(two)),
        ]
    }

    #[tokio::test]
    async fn what_was_peeked_at_is_read_again_whichever_socket_it_is() {
        for (mut far, mut near) in pairs().await {
            let mut seen = [0; 8];
            let waiting = timeout(Duration::from_millis(20), near.peek(&mut seen)).await;
            assert!(waiting.is_err(), "{near:?}: nothing was sent yet");

            far.write_all(b"abc").await.unwrap();
            let count = near.peek(&mut seen[..1]).await.unwrap();
            assert_eq!(&seen[..count], b"a");
            let count = near.peek(&mut seen).await.unwrap();
            assert_eq!(&seen[..count], b"abc");
            let mut read = [0; 3];
            near.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"abc");

            // After the socket was emptied it must wait again, and wake for what comes.
            let later = async {
                tokio::task::yield_now().await;
                far.write_all(b"d").await.unwrap();
            };
            let (count, ()) = tokio::join!(near.peek(&mut seen), later);
            assert_eq!((count.unwrap(), seen[0]), (1, b'd'));
            near.read_exact(&mut read[..1]).await.unwrap();
            drop(far);
            assert_eq!(near.peek(&mut seen).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn who_closed_one_half_is_there_until_it_closes_the_other_or_resets() {
        for (mut far, mut near) in pairs().await {
            let mut gone = Box::pin(near.gone().unwrap());
            far.shutdown().await.unwrap();
            assert_eq!(near.read(&mut [0]).await.unwrap(), 0, "{near:?}");
            let soon = timeout(Duration::from_millis(20), gone.as_mut()).await;
            assert!(soon.is_err(), "{near:?}");

            // It hears what is said, and is still there.
            near.write_all(b"answer").await.unwrap();
            far.read_exact(&mut [0; 6]).await.unwrap();
            let soon = timeout(Duration::from_millis(20), gone.as_mut()).await;
            assert!(soon.is_err(), "{near:?}");

            far.reset_at_end();
            drop(far);
            let told = timeout(Duration::from_secs(5), gone).await;
            assert!(told.is_ok(), "{near:?}");
        }
    }

    #[tokio::test]
    async fn several_buffers_are_written_at_once_whichever_socket_it_is() {
        for (mut far, mut near) in pairs().await {
            assert!(far.is_write_vectored(), "{far:?}");
            let bufs = [IoSlice::new(b"one "), IoSlice::new(b"two")];
            assert_eq!(far.write_vectored(&bufs).await.unwrap(), 7);
            far.shutdown().await.unwrap();
            let mut all = String::new();
            near.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "one two");
        }
    }
}
