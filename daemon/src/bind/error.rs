//! Why a socket could not be bound, in words for the person who starts the process.
use super::owner::{self, Owner};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why there is no listener.
#[derive(Debug)]
pub enum BindError {
    /// Another socket has the address.
    Taken {
        /// Which one.
        address: SocketAddr,
        /// Whose it is, when this process may see that.
        owner: Option<Owner>,
    },
    /// The port is below 1024 and the process has no right to it.
    Privileged {
        /// Which one.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    NotOurs {
        /// Which one.
        address: SocketAddr,
    },
    /// The kernel said something else.
    Refused {
        /// What was to be bound.
        address: SocketAddr,
        /// What it said.
        error: io::Error,
    },
    /// The name stands for no address.
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// A unix socket where only TCP is served.
    UnixNotHere {
        /// The socket's path.
        path: PathBuf,
    },
    /// Somebody listens on the unix socket.
    SocketTaken {
        /// The socket's path.
        path: PathBuf,
    },
    /// A file stands there that is no socket.
    NotASocket {
        /// The file's path.
        path: PathBuf,
    },
    /// The folder of the unix socket is not there.
    NoFolder {
        /// The folder's path.
        folder: PathBuf,
    },
    /// The kernel said something else about the unix socket.
    UnixRefused {
        /// The socket's path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl BindError {
    pub(super) fn tcp(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken {
                address,
                owner: owner::of_port(address),
            },
            io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                BindError::Privileged { address }
            }
            io::ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
            _ => BindError::Refused { address, error },
        }
    }

    pub(super) fn unix(path: &Path, error: io::Error) -> Self {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        match (error.kind(), folder) {
            (io::ErrorKind::NotFound, Some(folder)) if !folder.exists() => BindError::NoFolder {
                folder: folder.to_owned(),
            },
            (io::ErrorKind::AddrInUse, _) => BindError::SocketTaken {
                path: path.to_owned(),
            },
            _ => BindError::UnixRefused {
                path: path.to_owned(),
                error,
            },
        }
    }

    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            BindError::Taken { .. } | BindError::SocketTaken { .. } => "address_taken",
            BindError::Privileged { .. } => "port_privileged",
            BindError::NotOurs { .. } => "address_not_ours",
            BindError::Refused { .. } | BindError::UnixRefused { .. } => "bind_refused",
            BindError::Unresolved { .. } => "host_unresolved",
            BindError::UnixNotHere { .. } => "unix_not_supported",
            BindError::NotASocket { .. } => "not_a_socket",
            BindError::NoFolder { .. } => "folder_missing",
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Taken {
                address,
                owner: Some(Owner { name, pid }),
            } => {
                write!(
                    f,
                    "{address} is taken by {name} (pid {pid}); stop it or choose another port"
                )
            }
            BindError::Taken {
                address,
                owner: None,
            } => write!(
                f,
                "{address} is taken by a process that this user cannot see; find it with `ss -ltnp` as root or choose another port"
            ),
            BindError::Privileged { address } => write!(
                f,
                "cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE; grant it or choose a higher port"
            ),
            BindError::NotOurs { address } => write!(
                f,
                "cannot listen on {address}: no interface of this machine has that address; use one of `ip address` or 0.0.0.0"
            ),
            BindError::Refused { address, error } => {
                write!(
                    f,
                    "cannot listen on {address}: {error}; choose another address"
                )
            }
            BindError::Unresolved { host, error } => {
                write!(
                    f,
                    "cannot listen on {host}: the name does not resolve: {error}; write an IP address of this machine"
                )
            }
            BindError::UnixNotHere { path } => write!(
                f,
                "cannot listen on unix:{}: unix sockets are not supported here yet; write host:port",
                path.display()
            ),
            BindError::SocketTaken { path } => write!(
                f,
                "{} is taken: another process listens on it; stop it or choose another path",
                path.display()
            ),
            BindError::NotASocket { path } => write!(
                f,
                "cannot listen on {}: a file that is no socket stands there; remove it or choose another path",
                path.display()
            ),
            BindError::NoFolder { folder } => {
                write!(
                    f,
                    "cannot listen in {}: there is no such folder; create it first",
                    folder.display()
                )
            }
            BindError::UnixRefused { path, error } => {
                write!(
                    f,
                    "cannot listen on {}: {error}; choose another path",
                    path.display()
                )
            }
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BindError::Refused { error, .. }
            | BindError::Unresolved { error, .. }
            | BindError::UnixRefused { error, .. } => Some(error),
            BindError::Taken { .. }
            | BindError::Privileged { .. }
            | BindError::NotOurs { .. }
            | BindError::UnixNotHere { .. }
            | BindError::SocketTaken { .. }
            | BindError::NotASocket { .. }
            | BindError::NoFolder { .. } => None,
        }
    }
}
