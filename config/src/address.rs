//! Where something listens or is reached.
use std::path::PathBuf;

/// `host:port`, `[v6]:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host (name or IP, IPv6 without brackets) and port; port 0 asks the kernel for one (listeners only).
    Tcp {
        /// Name or IP literal.
        host: String,
        /// 0 to 65535.
        port: u16,
    },
    /// A unix socket's absolute path.
    Unix(PathBuf),
}
impl Address {
    /// Reads one; the error is a sentence for the person who wrote it.
    pub fn parse(_text: &str) -> Result<Self, crate::NameError> {
        todo!()
    }
}
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
