//! Listening sockets, or who is in the way.
//!
//! In: an [`Address`] of the configuration. Out: a [`Listener`] (or a unix socket of a given mode), or a [`BindError`] that
//! names the address, the reason and, where the machine tells, the process that has it. Binds and nothing more: what
//! connects is the accept loop's.

mod owner;

mod exposed;

mod error;

mod file;

mod gate;

pub use error::BindError;
pub use exposed::{Exposed, exposed};
pub use file::SocketFile;
pub use gate::{Gate, Reservation};
pub use owner::Owner;

use config::Address;
use rustix::fs::Mode;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

/// How many connections the kernel may hold for us: what a burst after a restart brings. Linux caps it at `somaxconn`.
const BACKLOG: u32 = 4096;

/// A bound TCP socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Where it listens: the port is the one the kernel chose if the configuration said 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection, as the kernel gives it. Cancel safe.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }
}

/// A bound TCP socket that does not listen yet: its port is ours, and whoever calls is refused by the kernel.
#[derive(Debug)]
pub struct Reserved {
    socket: TcpSocket,
    local: SocketAddr,
}

impl Reserved {
    /// Where it will listen: the port is the one the kernel chose if the configuration said 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Listens. It fails where somebody else, who reserved it too, was faster.
    pub fn listen(self) -> Result<Listener, BindError> {
        let local = self.local;
        self.socket
            .listen(BACKLOG)
            .map(|listener| Listener { listener, local })
            .map_err(|error| BindError::tcp(local, error))
    }
}

/// Binds and listens. A name is resolved, IPv4 first, and its addresses are tried in turn; the first one's error is told.
pub async fn listen(address: &Address) -> Result<Listener, BindError> {
    first_of(address, |candidate| reserve_at(candidate)?.listen()).await
}

/// Binds without listening, of the same addresses the same one.
pub async fn reserve(address: &Address) -> Result<Reserved, BindError> {
    first_of(address, reserve_at).await
}

async fn first_of<T>(
    address: &Address,
    take: impl Fn(SocketAddr) -> Result<T, BindError>,
) -> Result<T, BindError> {
    let (host, port) = match address {
        Address::Tcp { host, port } => (host.as_str(), *port),
        Address::Unix(path) => return Err(BindError::UnixNotHere { path: path.clone() }),
    };
    let unresolved = |error| BindError::Unresolved {
        host: host.to_owned(),
        error,
    };
    let mut candidates: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(unresolved)?
        .collect();
    candidates.sort_by_key(SocketAddr::is_ipv6);

    let mut first_error = None;
    for candidate in candidates {
        match take(candidate) {
            Ok(taken) => return Ok(taken),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| unresolved(io::ErrorKind::NotFound.into())))
}

fn reserve_at(address: SocketAddr) -> Result<Reserved, BindError> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Connections of an earlier life in TIME_WAIT must not keep the next one from starting.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let local = socket.local_addr()?;
        Ok(Reserved { socket, local })
    };
    bind().map_err(|error| BindError::tcp(address, error))
}

/// Binds a unix socket with this mode (such as `0o600`). A socket file that nobody listens on is replaced.
pub fn unix(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    let io = |error| BindError::unix(path, error);
    clear_stale(path)?;
    let socket =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).map_err(io)?;
    // Linux gives the file the mode of the socket that is bound to it: there is no moment at which others could connect.
    rustix::fs::fchmod(&socket, Mode::from_bits_truncate(mode))
        .map_err(|errno| io(errno.into()))?;
    socket
        .bind(&socket2::SockAddr::unix(path).map_err(io)?)
        .map_err(io)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(io)?;
    socket
        .listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))
        .map_err(io)?;
    socket.set_nonblocking(true).map_err(io)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(socket)).map_err(io)
}

/// Removes a socket file that nobody listens on; whatever else stands there is somebody's and stays.
fn clear_stale(path: &Path) -> Result<(), BindError> {
    let io = |error| BindError::unix(path, error);
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket {
            path: path.to_owned(),
        });
    }
    match answers(path) {
        Ok(()) => Err(BindError::SocketTaken {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(io)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
    }
}

/// Whether somebody listens. Does not block: a full backlog is an answer too.
fn answers(path: &Path) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&socket2::SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
