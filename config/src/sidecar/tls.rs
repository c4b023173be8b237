//! How the connection to a service is secured.
//!
//! 1. What is not `mutual` is written so: nothing else, and no failure, ever makes a connection less than mutual.

use crate::describe::{About, Element, Shape, Word};
use crate::form::{As, File, Map, Noun, Text, object};
use crate::key::{Fields, Form, Key};
use crate::notes::Read;
use crate::read::Value;
use crate::yaml::{Content, shown};
use crate::{Address, Endpoint, NameError, SpiffeId};
use serde_json::{Value as Json, json};
use std::net::IpAddr;
use std::path::PathBuf;

/// How the connection to a service is secured, and so who may be at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// By mutual TLS, with this peer and no other.
    Mutual {
        /// Who it must be.
        identity: SpiffeId,
    },
    /// By ordinary TLS, with a server outside the mesh.
    Server {
        /// The DNS name or IP address that it proves.
        name: String,
        /// Who may vouch for it: certificates in PEM.
        roots: PathBuf,
    },
    /// Not at all.
    None,
}

impl Tls {
    /// As it is typed, and as logs and metrics call it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Mutual { .. } => "mutual",
            Self::Server { .. } => "server",
            Self::None => "none",
        }
    }
    /// The only peer accepted, where one is pinned.
    pub fn identity(&self) -> Option<&SpiffeId> {
        match self {
            Self::Mutual { identity } => Some(identity),
            Self::Server { .. } | Self::None => None,
        }
    }
}

pub(super) const IDENTITY: Key<As<SpiffeId>> = Key::new(
    "identity",
    "The only peer accepted behind that name. Required with `tls: mutual`, and refused without: nobody else proves one.",
)
.optional()
.typical()
.example("spiffe://shop.example/orders");

/// As it is written.
#[derive(Clone)]
pub(super) enum Written {
    Mutual,
    Server(Server),
    None,
}

/// The settings of `server`.
#[derive(Clone)]
pub(super) struct Server {
    sni: Option<String>,
    roots: PathBuf,
}

const WORDS: &[Word] = &[
    Word {
        text: "mutual",
        doc: "mutual TLS with SPIFFE identities, with nobody but `identity`",
        built: true,
    },
    Word {
        text: "none",
        doc: "clear text, to whoever listens there: what is sent can be read and changed on its way",
        built: true,
    },
];
const WANTED: &str = "`mutual`, `none` or `server: { roots: FILE }`";

/// The name that a server proves.
pub(super) struct ServerName;

impl Text for ServerName {
    type Value = String;
    const WANTED: &'static str = "a DNS name such as `api.example.com`, or an IP address";
    const PATTERN: &'static str = "^[A-Za-z0-9._:-]{1,253}$";
    fn parse(text: &str) -> Result<String, NameError> {
        if text.parse::<IpAddr>().is_ok() {
            return Ok(text.into());
        }
        let why = match text.chars().find(|c| !is_in_name(*c)) {
            Some(c) => format!("`{}` is not allowed in a name", c.escape_default()),
            None if text.len() > 253 => "a name of the DNS has at most 253 bytes".into(),
            None if text.split('.').any(|label| !is_label(label)) => {
                "each label of a name has 1 to 63 bytes and neither begins nor ends with `-`".into()
            }
            // RFC 1123 §2.1: otherwise it could not be told from an address.
            None if text.rsplit('.').next().is_some_and(is_number) => "ends in a number".into(),
            None => return Ok(text.to_ascii_lowercase()),
        };
        Err(NameError { why })
    }
    fn text(name: &String) -> String {
        name.clone()
    }
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

const SNI: Key<As<ServerName>> = Key::new(
    "sni",
    "The DNS name that the server's certificate must hold, sent as TLS server name; or the IP address, which is not sent. \
     Without it, the host of the endpoints, which is then one.",
)
.optional()
.example("api.example.com");
const ROOTS: Key<File> = Key::new(
    "roots",
    "Who may vouch for the server: certificates in PEM; watched. Those that the system believes are a file too, such as \
     `/etc/ssl/certs/ca-certificates.crt`.",
)
.example("partner-roots.pem");

impl Noun for Server {
    const ELEMENT: &'static Element = &Element {
        name: "tlsServer",
        any_of: &[],
        doc: "Ordinary TLS with a server outside the mesh.",
        keys: &[SNI.about, ROOTS.about],
    };
    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (sni, roots) = (fields.maybe(&SNI), fields.take(&ROOTS));
        Ok(Self {
            sni: sni?,
            roots: roots?,
        })
    }
    fn show(&self) -> Json {
        let sni = self.sni.as_ref().map(|sni| SNI.show(sni));
        object(sni.into_iter().chain([ROOTS.show(&self.roots)]))
    }
}

const SERVER: Key<Map<Server>> = Key::new(
    "server",
    "TLS 1.3 or 1.2 with a server outside the mesh, which is believed by its name and `roots`. It gets no certificate of \
     ours, and no identity of anybody.",
);

/// The mapping that may stand in place of a word.
const OTHERWISE: &Element = &Element {
    name: "tls",
    any_of: &[],
    doc: "Instead of a word:",
    keys: &[SERVER.about],
};

/// The form of `tls`: a word, or the one that has settings.
pub(super) struct How;

impl Form for How {
    type Value = Written;
    const SHAPE: Shape = Shape::WordOrMap(WORDS, OTHERWISE);
    fn read(value: &Value<'_>, _: &About) -> Read<Written> {
        if let Content::Map(_) = &value.node.content {
            let fields = value.fields(OTHERWISE)?;
            return fields.take(&SERVER).map(Written::Server);
        }
        match value.text(WANTED)? {
            "mutual" => Ok(Written::Mutual),
            "none" => Ok(Written::None),
            "server" => {
                let help = "say who may vouch for it: `tls: { server: { roots: FILE } }`";
                Err(value.note("`server` without `roots`", help))
            }
            text => {
                let what = format!("is the text {}", shown(text));
                Err(value.note(what, crate::form::meant(text, WORDS, WANTED)))
            }
        }
    }
    fn show(written: &Written) -> Json {
        match written {
            Written::Mutual => "mutual".into(),
            Written::None => "none".into(),
            Written::Server(server) => json!({ "server": server.show() }),
        }
    }
}

impl Written {
    pub(super) fn of(tls: &Tls) -> Self {
        match tls {
            Tls::Mutual { .. } => Self::Mutual,
            Tls::None => Self::None,
            Tls::Server { name, roots } => Self::Server(Server {
                sni: Some(name.clone()),
                roots: roots.clone(),
            }),
        }
    }
    fn word(&self) -> &'static str {
        match self {
            Self::Mutual => "mutual",
            Self::Server(_) => "server",
            Self::None => "none",
        }
    }
}

/// What `tls`, `identity` and `endpoints` of a service say together.
pub(super) fn agreed(
    service: &Value<'_>,
    fields: &Fields<'_>,
    written: Read<Written>,
    identity: Read<Option<SpiffeId>>,
    endpoints: &Read<Vec<Endpoint>>,
) -> Read<Tls> {
    let (written, identity) = (written?, identity?);
    if let (Written::Server(_) | Written::None, Some(at)) = (&written, service.get("identity")) {
        let what = format!("`identity` where `tls` is `{}`", written.word());
        let help = "nobody proves one there: remove it, or say `tls: mutual`";
        return Err(at.note(what, help));
    }
    match (written, identity) {
        (Written::Mutual, Some(identity)) => Ok(Tls::Mutual { identity }),
        (Written::Mutual, None) => Err(fields.missing(&IDENTITY.about)),
        (Written::None, _) => Ok(Tls::None),
        (Written::Server(Server { sni, roots }), _) => {
            let endpoints = endpoints.as_ref().map_err(|noted| *noted)?;
            match sni.or_else(|| one_host(endpoints)) {
                Some(name) => Ok(Tls::Server { name, roots }),
                None => {
                    let at = service.get("tls").unwrap_or_else(|| service.clone());
                    let help = "add `sni:` with the name that the server's certificate holds";
                    Err(at.note("`endpoints` do not name one host", help))
                }
            }
        }
    }
}

/// The host of all these endpoints, if it can stand in a certificate.
fn one_host(endpoints: &[Endpoint]) -> Option<String> {
    let mut hosts = endpoints.iter().map(|endpoint| match endpoint {
        Endpoint::At(Address::Tcp { host, .. }) => ServerName::parse(host).ok(),
        Endpoint::At(Address::Unix(_)) | Endpoint::Srv(_) => None,
    });
    let first = hosts.next()??;
    hosts
        .all(|host| host.as_ref() == Some(&first))
        .then_some(first)
}
