//! Listeners for calls from the app to the network.

use super::half_close::{CLIENT_HALF_CLOSE, HalfClose};
use super::protocol::Protocol;
use super::service::Service;
use crate::Address;
use crate::describe::{About, Element, Shape, Word};
use crate::form::{As, Choice, Count, List, Listen, Name, Noun, OneOf, object};
use crate::key::{Form, Key};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;

/// A listener for calls from the app to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Unique among all listeners.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// What the app speaks.
    pub protocol: Protocol,
    /// The only service behind it, an index into [`super::Sidecar::services`]; always there for `tcp`.
    pub service: Option<usize>,
    /// What becomes of a call to what is no service; [`Unknown::Refuse`] wherever there is a `service` for all.
    pub unknown: Unknown,
    /// The only users whose processes may call; `None`: whoever reaches it. Only where `listen` is a unix socket.
    pub allow_uids: Option<Vec<u32>>,
    /// What it means that a client of HTTP/1 closes its writing half.
    pub half_close: HalfClose,
}

/// What becomes of a request that names no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is answered 502.
    Refuse,
    /// It goes in clear text to the host that it names.
    Passthrough,
}

/// As it is written: the service by its name.
pub(super) struct Written {
    name: String,
    listen: Address,
    protocol: Protocol,
    service: Option<String>,
    unknown: Unknown,
    allow_uids: Option<Vec<u32>>,
    half_close: HalfClose,
}

impl Written {
    /// Finds the service; `None` if there is none of that name.
    pub(super) fn bind(self, services: &[Service]) -> Option<Outbound> {
        let index = |name: String| services.iter().position(|service| service.name == name);
        let service = match self.service {
            Some(name) => Some(index(name)?),
            None => None,
        };
        Some(Outbound {
            name: self.name,
            listen: self.listen,
            protocol: self.protocol,
            service,
            unknown: self.unknown,
            allow_uids: self.allow_uids,
            half_close: self.half_close,
        })
    }

    pub(super) fn of(outbound: &Outbound, services: &[Service]) -> Self {
        let service = outbound
            .service
            .and_then(|index| services.get(index))
            .map(|service| service.name.clone());
        Self {
            name: outbound.name.clone(),
            listen: outbound.listen.clone(),
            protocol: outbound.protocol,
            service,
            unknown: outbound.unknown,
            allow_uids: outbound.allow_uids.clone(),
            half_close: outbound.half_close,
        }
    }
}

pub(super) const NAME: Key<As<Name>> = Key::new(
    "name",
    "Unique among all listeners; metrics and logs call it so.",
)
.example("http");
pub(super) const LISTEN: Key<As<Listen>> = Key::new(
    "listen",
    "Where the app calls; port 0 takes a free one and logs it. A unix socket is as open as a port of loopback (mode 0666): who \
     may call over it say `allowUids` and the rights of its folder.",
)
.example("\"127.0.0.1:15001\"");
const PROTOCOL: Key<Choice<Protocol>> =
    Key::new("protocol", "What the app speaks.").example("http");
pub(super) const SERVICE: Key<As<Name>> =
    Key::new("service", "The only service behind it. Without it, http chooses by Host or :authority; tcp cannot do without.")
        .optional()
        .example("orders");
const UNKNOWN: Key<Choice<Unknown>> = Key::new(
    "unknown",
    "What becomes of a request whose Host or :authority no service declares. CONNECT is refused all the same. Only http listeners \
     without `service` have requests to something unknown.",
)
.default(
    "refuse",
    "a sidecar that forwards anywhere is an open door for whoever takes over the app",
);

const ALLOW_UIDS: Key<List<Uid>> = Key::new(
    "allowUids",
    "Only processes of these users may call, by the kernel's word, as this process sees their numbers; root is none of them \
     unless it is named. Only with a unix socket as `listen`: of who calls a port the kernel says nothing. Without it, whoever \
     reaches the socket.",
)
.optional()
.with("listen: unix:/path")
.between("0", "4294967294")
.example("[1000]");

/// The number of a user.
struct Uid;

impl Form for Uid {
    type Value = u32;
    const SHAPE: Shape = Count::SHAPE;
    fn read(value: &Value<'_>, about: &About) -> Read<u32> {
        // The range of the key is that of the type.
        Count::read(value, about).map(|uid| u32::try_from(uid).unwrap_or(u32::MAX))
    }
    fn show(uid: &u32) -> Json {
        (*uid).into()
    }
}

impl OneOf for Unknown {
    type Value = Self;
    const WORDS: &'static [Word] = &[
        Word {
            text: "refuse",
            doc: "answer 502",
            built: true,
        },
        Word {
            text: "passthrough",
            doc: "forward it in clear text to the host that it names: never to loopback, link-local or unspecified addresses, nor \
                  to metadata services of clouds, nor to our own listeners",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Self> {
        match word {
            "refuse" => Some(Self::Refuse),
            "passthrough" => Some(Self::Passthrough),
            _ => None,
        }
    }
    fn word(unknown: &Self) -> &'static str {
        match unknown {
            Self::Refuse => "refuse",
            Self::Passthrough => "passthrough",
        }
    }
}

impl Noun for Written {
    const ELEMENT: &'static Element = &Element {
        name: "outbound",
        any_of: &[],
        doc: "A listener for calls from the app to the network: plain from the app, mutual TLS outside.",
        keys: &[
            NAME.about,
            LISTEN.about,
            PROTOCOL.about,
            SERVICE.about,
            UNKNOWN.about,
            ALLOW_UIDS.about,
            CLIENT_HALF_CLOSE.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, listen, protocol) = (
            fields.take(&NAME),
            fields.take(&LISTEN),
            fields.take(&PROTOCOL),
        );
        let (mut service, mut unknown) = (fields.maybe(&SERVICE), fields.take(&UNKNOWN));
        let half_close = fields.take(&CLIENT_HALF_CLOSE);
        let half_close = HalfClose::of(value, &protocol, half_close);
        if let (Ok(Protocol::Tcp), Ok(None)) = (&protocol, &service) {
            let help = "bytes name no host: add `service:` with the name of the service behind it";
            service = Err(value.note("a tcp listener without `service`", help));
        }
        let mut allow_uids = fields.maybe(&ALLOW_UIDS);
        if let (Ok(Address::Tcp { .. }), Some(written)) = (&listen, value.get("allowUids")) {
            let help = "listen on a unix socket such as `unix:/run/countersign/out.sock`, or remove `allowUids`: of who calls a \
                        port the kernel says nothing";
            allow_uids = Err(written.note("`allowUids` where `listen` is a port", help));
        }
        if let (Ok(Unknown::Passthrough), Some(written)) = (&unknown, value.get("unknown")) {
            let refused = match (&protocol, value.get("service")) {
                (Ok(Protocol::Tcp), _) => Some((
                    "`unknown: passthrough` at a tcp listener",
                    "bytes name no destination, and without redirection they came with none: remove it, and name the one service \
                     behind it by `service`",
                )),
                (_, Some(_)) => Some((
                    "`unknown: passthrough` beside `service`",
                    "everything goes to that service, whatever it names: remove one of the two",
                )),
                (_, None) => None,
            };
            if let Some((what, help)) = refused {
                unknown = Err(written.note(what, help));
            }
        }
        Ok(Self {
            name: name?,
            listen: listen?,
            protocol: protocol?,
            service: service?,
            unknown: unknown?,
            allow_uids: allow_uids?,
            half_close: half_close?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![
            NAME.show(&self.name),
            LISTEN.show(&self.listen),
            PROTOCOL.show(&self.protocol),
        ];
        pairs.extend(self.service.as_ref().map(|service| SERVICE.show(service)));
        pairs.push(UNKNOWN.show(&self.unknown));
        pairs.extend(self.allow_uids.as_ref().map(|uids| ALLOW_UIDS.show(uids)));
        pairs.extend(self.half_close.shown(self.protocol));
        object(pairs)
    }
}
