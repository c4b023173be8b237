//! Where a service is reached: an address, or a name under which its addresses are published.

use crate::{Address, NameError};

/// RFC 1035 §2.3.4, without the trailing dot.
const NAME_BYTES_MAX: usize = 253;

/// An address, or `srv:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `host:port`, `[v6]:port` or `unix:/path`. A host that is a name stands for every address that it resolves to.
    At(Address),
    /// The name of SRV records (RFC 2782): they say hosts and ports.
    Srv(String),
}

impl Endpoint {
    /// The name behind `srv:`, such as `_mesh._tcp.orders.shop.svc.cluster.local`; the error is a sentence for the person who
    /// wrote it.
    pub(crate) fn srv(name: &str) -> Result<Self, NameError> {
        let why = |why: &str| Err(NameError { why: why.into() });
        let labels = name.strip_suffix('.').unwrap_or(name);
        if labels.is_empty() {
            return why("`srv:` names no records, such as `srv:_mesh._tcp.orders.example`");
        }
        if labels.len() > NAME_BYTES_MAX {
            return why("a name of the DNS has at most 253 bytes");
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(c) = labels.chars().find(|c| !allowed(*c)) {
            return Err(NameError {
                why: match c {
                    ':' => "SRV records say the port: `srv:NAME`".into(),
                    _ => format!("`{}` is not allowed in a name", c.escape_default()),
                },
            });
        }
        if labels
            .split('.')
            .any(|label| label.is_empty() || label.len() > 63)
        {
            return why("each label of a name has 1 to 63 bytes");
        }
        Ok(Self::Srv(name.to_ascii_lowercase()))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => write!(f, "{address}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
        }
    }
}
