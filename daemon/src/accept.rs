//! The accept loop.
//!
//! In: a listener, a drain, what to do with a connection. Out: a tracked task per connection, until the drain starts; then
//! what the kernel had already completed is still taken, and the listener is closed.
//!
//! 1. No error ends the loop, and none makes it spin: where waiting may help (no file descriptors, no memory) it waits.
use crate::bind::{Gate, Listener, SocketFile};
use crate::drain::Draining;
use crate::socket::{self, Peer, Socket};
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::unix::UCred;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, timeout};

/// The first pause after an error; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The longest, so that a listener is back within a second of the trouble's end.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often trouble is told.
const WARNING: Duration = Duration::from_secs(60);
/// How long the kernel may take to show us a connection that it had completed before the drain.
const LEFTOVER: Duration = Duration::from_millis(10);
/// How long they are taken in all: callers who keep coming must not keep a listener open that is asked to end.
const LEFTOVERS: Duration = Duration::from_millis(50);
/// How many of those are taken: as many as a backlog holds.
const LEFTOVERS_MAX: usize = 4096;

/// What connections come from.
pub trait Incoming: Send + Sync + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// What is known of the other side.
    type Peer: Send + 'static;
    /// The next one, ready for use. Cancel safe.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
    /// What the log calls it.
    fn name(&self) -> String;
}

impl Incoming for Gate {
    type Stream = Socket;
    type Peer = Peer;
    async fn next(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Gate::Tcp(listener) => {
                let (stream, from) = listener.next().await?;
                Ok((Socket::Tcp(stream), Peer::Tcp(from)))
            }
            Gate::Unix(file) => {
                let (stream, credentials) = file.listener().next().await?;
                Ok((Socket::Unix(stream), credentials.into()))
            }
        }
    }
    fn name(&self) -> String {
        self.to_string()
    }
}

impl Incoming for Listener {
    type Stream = TcpStream;
    type Peer = SocketAddr;
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        if let Err(error) = socket::prepare(&stream) {
            // The peer has gone already: whoever reads from it will see that.
            tracing::debug!(%peer, %error, "socket options not set");
        }
        Ok((stream, peer))
    }
    fn name(&self) -> String {
        self.local_addr().to_string()
    }
}

impl Incoming for SocketFile {
    type Stream = UnixStream;
    type Peer = UCred;
    async fn next(&self) -> io::Result<(UnixStream, UCred)> {
        self.listener().next().await
    }
    fn name(&self) -> String {
        format!("unix:{}", self.path().display())
    }
}

impl Incoming for UnixListener {
    type Stream = UnixStream;
    type Peer = UCred;
    async fn next(&self) -> io::Result<(UnixStream, UCred)> {
        let (stream, _) = self.accept().await?;
        let peer = stream.peer_cred()?;
        Ok((stream, peer))
    }
    fn name(&self) -> String {
        let address = self.local_addr().ok();
        let path = address.as_ref().and_then(|address| address.as_pathname());
        path.map_or_else(
            || "a unix socket".into(),
            |path| format!("unix:{}", path.display()),
        )
    }
}

/// Accepts until the drain starts; each connection is served by a task of its own that the drain tracks.
pub async fn run<L, S, F>(listener: L, draining: Draining, serve: S)
where
    L: Incoming,
    S: Fn(L::Stream, L::Peer) -> F + Send,
    F: Future<Output = ()> + Send + 'static,
{
    let mut trouble = Trouble::default();
    loop {
        let next = tokio::select! {
            biased;
            () = draining.started() => break,
            next = listener.next() => next,
        };
        match next {
            Ok((stream, peer)) => {
                trouble.over();
                draining.track(serve(stream, peer));
            }
            Err(error) if is_about_one_connection(&error) => {
                tracing::debug!(%error, "connection lost before accept");
            }
            Err(error) => {
                let pause = trouble.met(&error, || listener.name());
                // A listener in trouble still hears the drain.
                let _whichever = timeout(pause, draining.started()).await;
            }
        }
    }
    let ends = Instant::now() + LEFTOVERS;
    for _ in 0..LEFTOVERS_MAX {
        if Instant::now() >= ends {
            break;
        }
        let Ok(Ok((stream, peer))) = timeout(LEFTOVER, listener.next()).await else {
            break;
        };
        draining.track(serve(stream, peer));
    }
}

/// Errors that `accept(2)` passes on from the connection it took off the queue: the next one may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        matches!(
            errno,
            Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOTCONN
        )
    })
}

/// How long the listener has been unable to accept, and when that was last told.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
    warned: Option<Instant>,
}

impl Trouble {
    fn over(&mut self) {
        self.pause = None;
    }

    /// The pause before the next try.
    fn met(&mut self, error: &io::Error, listener: impl FnOnce() -> String) -> Duration {
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING) {
            self.warned = Some(Instant::now());
            let listener = listener();
            let advice = match Errno::from_io_error(error) {
                Some(Errno::MFILE) => "raise the limit of open files (ulimit -n, LimitNOFILE)",
                Some(Errno::NFILE) => "raise fs.file-max of this machine",
                _ => "it is tried again within a second",
            };
            tracing::warn!("{listener} cannot accept: {error}; {advice}");
        }
        let pause = self
            .pause
            .map_or(PAUSE_MIN, |last| (last * 2).min(PAUSE_MAX));
        self.pause = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{bind, drain};
    use config::Address;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::mpsc;

    async fn listener() -> Listener {
        bind::listen(&Address::Tcp {
            host: "127.0.0.1".into(),
            port: 0,
        })
        .await
        .unwrap()
    }

    /// A listener that fails in a given way before every connection.
    struct Failing {
        errors: Vec<Errno>,
        asked: Arc<AtomicUsize>,
    }
    impl Incoming for Failing {
        type Stream = usize;
        type Peer = ();
        async fn next(&self) -> io::Result<(usize, ())> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            match self.errors.get(asked) {
                Some(errno) => Err((*errno).into()),
                None if asked == self.errors.len() => Ok((asked, ())),
                None => std::future::pending().await,
            }
        }
        fn name(&self) -> String {
            "a failing listener".into()
        }
    }

    async fn check(errors: &[Errno], within: Duration) {
        let (drain, draining) = drain::pair();
        let (accepted, mut seen) = mpsc::unbounded_channel();
        let failing = Failing {
            errors: errors.to_vec(),
            asked: Arc::default(),
        };
        let began = Instant::now();
        draining.track(run(failing, draining.clone(), move |number, ()| {
            let accepted = accepted.clone();
            async move { assert!(accepted.send(number).is_ok()) }
        }));
        assert_eq!(seen.recv().await, Some(errors.len()), "{errors:?}");
        assert!(
            began.elapsed() <= within,
            "{errors:?} took {:?}",
            began.elapsed()
        );
        assert_eq!(drain.start_and_wait(Duration::from_secs(1)).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_error_ends_the_loop_and_pauses_are_bounded() {
        check(&[Errno::CONNABORTED; 1000], Duration::ZERO).await;
        check(&[Errno::MFILE], PAUSE_MIN).await;
        check(
            &[Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL],
            PAUSE_MIN * 15,
        )
        .await;
        check(&[Errno::MFILE; 60], PAUSE_MAX * 60).await;
    }

    #[tokio::test]
    async fn an_accepted_socket_has_no_delay_and_is_watched() {
        let listener = listener().await;
        let _dialled = TcpStream::connect(listener.local_addr()).await.unwrap();
        let (stream, _) = listener.next().await.unwrap();

        let socket = socket2::SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(90))
        );
    }

    #[tokio::test]
    async fn after_the_drain_started_nobody_connects_and_what_had_connected_is_served() {
        let listener = listener().await;
        let address = listener.local_addr();
        let (drain, draining) = drain::pair();
        let _before = TcpStream::connect(address).await.unwrap();
        drain.start();
        let (accepted, mut seen) = mpsc::unbounded_channel();

        run(listener, draining, |_stream, peer| {
            let accepted = accepted.clone();
            async move { assert!(accepted.send(peer).is_ok()) }
        })
        .await;

        assert!(seen.recv().await.is_some());
        assert_eq!(
            TcpStream::connect(address).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
