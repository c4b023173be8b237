//! Where somebody listens: we, or whoever is called.

use super::Text;
use crate::{Address, Endpoint, NameError};

/// Where we listen: port 0 lets the kernel choose.
pub(crate) struct Listen;
/// Where somebody else listens.
pub(crate) struct Reach;
/// Where we listen, and only TCP is served.
pub(crate) struct ListenTcp;
/// Where somebody else listens whom only TCP reaches.
pub(crate) struct ReachTcp;

impl Text for Listen {
    type Value = Address;
    const WANTED: &'static str = "`host:port`, `[v6]:port` or `unix:/path`";
    const PATTERN: &'static str = "^[^:]+:[0-9]{1,5}$|^\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5}$|^unix:/";
    fn parse(text: &str) -> Result<Address, NameError> {
        Address::parse(text)
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

impl Text for ListenTcp {
    type Value = Address;
    const WANTED: &'static str = "`host:port` or `[v6]:port`";
    const PATTERN: &'static str = "^[^:]+:[0-9]{1,5}$|^\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5}$";
    fn parse(text: &str) -> Result<Address, NameError> {
        match Address::parse(text)? {
            Address::Unix(_) => Err(NameError {
                why: "a unix socket here: not supported yet".into(),
            }),
            tcp @ Address::Tcp { .. } => Ok(tcp),
        }
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

impl Text for Reach {
    type Value = Address;
    const WANTED: &'static str = Listen::WANTED;
    const PATTERN: &'static str = Listen::PATTERN;
    fn parse(text: &str) -> Result<Address, NameError> {
        if text.starts_with("srv:") {
            return Err(NameError {
                why: "SRV records say where the endpoints of a service are, and nothing else"
                    .into(),
            });
        }
        match Listen::parse(text)? {
            Address::Tcp { port: 0, .. } => Err(NameError {
                why: "nobody is reached at port 0".into(),
            }),
            address => Ok(address),
        }
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

impl Text for ReachTcp {
    type Value = Address;
    const WANTED: &'static str = ListenTcp::WANTED;
    const PATTERN: &'static str = ListenTcp::PATTERN;
    fn parse(text: &str) -> Result<Address, NameError> {
        ListenTcp::parse(text)?;
        Reach::parse(text)
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

impl Text for Endpoint {
    type Value = Endpoint;
    const WANTED: &'static str = "`host:port`, `[v6]:port`, `unix:/path` or `srv:NAME`";
    const PATTERN: &'static str =
        "^[^:]+:[0-9]{1,5}$|^\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5}$|^unix:/|^srv:[A-Za-z0-9._-]+$";
    fn parse(text: &str) -> Result<Endpoint, NameError> {
        match text.strip_prefix("srv:") {
            Some(name) => Endpoint::srv(name),
            None => Reach::parse(text).map(Endpoint::At),
        }
    }
    fn text(endpoint: &Endpoint) -> String {
        endpoint.to_string()
    }
}
