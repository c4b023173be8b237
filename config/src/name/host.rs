//! Hosts as services and policies name them.
use super::NameError;
use std::sync::Arc;

/// A host name or IP literal, lower-cased, with or without a port. With a port: only that authority; without: any port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    text: Arc<str>,
    host: Arc<str>,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads `orders`, `orders:8080`, `10.0.0.1:80` or `[::1]:80`.
    pub fn parse(_text: &str) -> Result<Self, NameError> {
        todo!()
    }
    /// The host alone, lower case, no trailing dot, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
    /// Whether an authority (host lower-cased, IPv6 without brackets) matches.
    pub fn matches(&self, host: &str, port: Option<u16>) -> bool {
        *self.host == *host && (self.port.is_none() || self.port == port)
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
