//! Whom names are asked of.

use crate::NameError;
use crate::describe::Element;
use crate::form::{As, List, Noun, Text, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::net::{IpAddr, SocketAddr};

/// Whom names are asked of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Asked instead of the system's; empty: the system's.
    pub servers: Vec<SocketAddr>,
}

/// Where the servers of the DNS listen.
const PORT: u16 = 53;

const SERVERS: Key<List<As<Server>>> = Key::new(
    "servers",
    "The servers to ask, instead of those of `/etc/resolv.conf`. Names are then looked up as they are written: the search list \
     of that file belongs to its servers. Without the key that file says everything, and is read again when it changes. \
     `/etc/hosts` comes first either way. For a machine whose resolver does not know the mesh's names, such as a container \
     beside a service registry.",
)
.optional()
.example("[\"10.0.0.10\", \"[fd00::10]:5353\"]");

/// A server of the DNS.
struct Server;

impl Text for Server {
    type Value = SocketAddr;
    const WANTED: &'static str = "an IP address, with or without a port";
    const PATTERN: &'static str = "^[0-9a-fA-F.:]+$|^\\[[0-9a-fA-F.:]+\\]:[0-9]{1,5}$";
    fn parse(text: &str) -> Result<SocketAddr, NameError> {
        let alone = text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
        let server = alone.or_else(|_| text.parse::<SocketAddr>());
        match server {
            Ok(server) if server.port() != 0 => Ok(server),
            Ok(_) => Err(NameError {
                why: "nobody is reached at port 0".into(),
            }),
            Err(_) => Err(NameError {
                why: "is no IP address: a name would have to be asked of the very servers that it names"
                    .into(),
            }),
        }
    }
    fn text(server: &SocketAddr) -> String {
        match server.port() {
            PORT => server.ip().to_string(),
            _ => server.to_string(),
        }
    }
}

impl Noun for Dns {
    const ELEMENT: &'static Element = &Element {
        name: "dns",
        any_of: &[],
        doc: "Whom the names of endpoints are asked of. Answers are kept as long as they say, at least 1s and at most 5m, and \
              beyond that while nobody answers; that there is no such name is kept for 1s.",
        keys: &[SERVERS.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let servers = value.fields(Self::ELEMENT)?.maybe(&SERVERS)?;
        Ok(Self {
            servers: servers.unwrap_or_default(),
        })
    }

    fn show(&self) -> Json {
        let shown = Some(&self.servers).filter(|servers| !servers.is_empty());
        object(shown.map(|servers| SERVERS.show(servers)))
    }
}
