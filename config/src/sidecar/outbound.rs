//! Listeners for calls from the app to the network.

use super::protocol::{Only, Protocol, Settled};
use super::service::Service;
use crate::Address;
use crate::describe::{Element, Word};
use crate::form::{As, Choice, Listen, Name, Noun, object};
use crate::key::{Key, not_yet};
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
}

/// As it is written: the service by its name.
pub(super) struct Written {
    name: String,
    listen: Address,
    protocol: Protocol,
    service: Option<String>,
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
    "Where the app calls; port 0 takes a free one and logs it.",
)
.example("\"127.0.0.1:15001\"");
const PROTOCOL: Key<Choice<Protocol>> =
    Key::new("protocol", "What the app speaks.").example("http");
pub(super) const SERVICE: Key<As<Name>> =
    Key::new("service", "The only service behind it. Without it, http chooses by Host or :authority; tcp cannot do without.")
        .optional()
        .example("orders");
const UNKNOWN: Key<Choice<Only<Unknown>>> = Key::new(
    "unknown",
    "What happens to a call to something that is no service of ours.",
)
.default(
    "refuse",
    "a sidecar that forwards anywhere is an open door for whoever takes over the app",
);

struct Unknown;
impl Settled for Unknown {
    const WORDS: &'static [Word] = &[
        Word {
            text: "refuse",
            doc: "answer 502",
            built: true,
        },
        Word {
            text: "passthrough",
            doc: "forward it as it came",
            built: false,
        },
    ];
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
            not_yet(
                "allowUids",
                "[1000]",
                "Only processes of these users may call.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, listen, protocol) = (
            fields.take(&NAME),
            fields.take(&LISTEN),
            fields.take(&PROTOCOL),
        );
        let (mut service, unknown) = (fields.maybe(&SERVICE), fields.take(&UNKNOWN));
        if let (Ok(Protocol::Tcp), Ok(None)) = (&protocol, &service) {
            let help = "bytes name no host: add `service:` with the name of the service behind it";
            service = Err(value.note("a tcp listener without `service`", help));
        }
        let () = unknown?;
        Ok(Self {
            name: name?,
            listen: listen?,
            protocol: protocol?,
            service: service?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![
            NAME.show(&self.name),
            LISTEN.show(&self.listen),
            PROTOCOL.show(&self.protocol),
        ];
        pairs.extend(self.service.as_ref().map(|service| SERVICE.show(service)));
        pairs.push(UNKNOWN.show(&()));
        object(pairs)
    }
}
