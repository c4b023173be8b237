//! Where traffic comes in: a TCP port or a unix socket, whichever was asked for.
use super::{BindError, Listener, Reserved, SocketFile, listen, reserve};
use config::Address;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everybody may connect, as everybody may to a port: who calls is judged by who it is, and who may see the file at all by
/// the rights of its folder.
const SOCKET_MODE: u32 = 0o666;

/// A listening socket.
#[derive(Debug)]
pub enum Gate {
    /// On a port.
    Tcp(Listener),
    /// On a file.
    Unix(SocketFile),
}

/// A [`Gate`] that does not listen yet.
#[derive(Debug)]
pub enum Reservation {
    /// The port is ours, and whoever calls is refused by the kernel.
    Tcp(Reserved),
    /// Nothing stands in the way of the file: a file that is bound and not listened on is a stale one to everybody else, so
    /// that it cannot be held.
    Unix(PathBuf),
}

impl Gate {
    /// Binds and listens.
    pub async fn listen(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp { .. } => listen(address).await.map(Gate::Tcp),
            Address::Unix(path) => SocketFile::listen(path, SOCKET_MODE).map(Gate::Unix),
        }
    }

    /// Where it listens, if that is a port: the one the kernel chose if the configuration said 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Gate::Tcp(listener) => Some(listener.local_addr()),
            Gate::Unix(_) => None,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Tcp(listener) => write!(f, "{}", listener.local_addr()),
            Gate::Unix(file) => write!(f, "unix:{}", file.path().display()),
        }
    }
}

impl Reservation {
    /// Takes what can be taken without listening.
    pub async fn take(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp { .. } => reserve(address).await.map(Reservation::Tcp),
            Address::Unix(path) => {
                // Binds, so that every reason why it cannot be bound is told now, and lets go again.
                SocketFile::listen(path, SOCKET_MODE)?;
                Ok(Reservation::Unix(path.clone()))
            }
        }
    }

    /// Listens. It fails where somebody else was faster.
    pub fn listen(self) -> Result<Gate, BindError> {
        match self {
            Reservation::Tcp(reserved) => reserved.listen().map(Gate::Tcp),
            Reservation::Unix(path) => SocketFile::listen(&path, SOCKET_MODE).map(Gate::Unix),
        }
    }

    /// Where it will listen, if that is a port.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Reservation::Tcp(reserved) => Some(reserved.local_addr()),
            Reservation::Unix(_) => None,
        }
    }
}
