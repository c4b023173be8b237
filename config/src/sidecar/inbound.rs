//! Listeners for calls from the network to the app.

use super::protocol::{Only, Protocol, Settled};
use crate::Address;
use crate::describe::{Element, Word};
use crate::form::{As, Choice, Listen, Name, Noun, Reach, object};
use crate::key::{Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;

/// A listener for calls from the network to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Unique among all listeners.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// Where the app listens.
    pub app: Address,
    /// What both speak.
    pub protocol: Protocol,
}

pub(super) const NAME: Key<As<Name>> = Key::new(
    "name",
    "Unique among all listeners; policy, metrics and logs call it so.",
)
.example("web");
pub(super) const LISTEN: Key<As<Listen>> = Key::new(
    "listen",
    "Where it listens; port 0 takes a free one and logs it.",
)
.example("\"0.0.0.0:15006\"");
pub(super) const APP: Key<As<Reach>> = Key::new(
    "app",
    "Where the app listens; never one of our own listeners.",
)
.example("\"127.0.0.1:8080\"");
const PROTOCOL: Key<Choice<Protocol>> = Key::new("protocol", "What both speak.").example("http");
const MODE: Key<Choice<Only<Mode>>> =
    Key::new("mode", "Whether a caller without identity is heard.").default(
        "strict",
        "whoever cannot say who it is gets no byte through",
    );
const PATHS: Key<Choice<Only<Paths>>> = Key::new("paths", "What happens to a path that two readers could read differently.")
    .default("strict", "a path that means one thing to the policy and another to the app is how policies are walked around");

struct Mode;
impl Settled for Mode {
    const WORDS: &'static [Word] = &[
        Word {
            text: "strict",
            doc: "mutual TLS only",
            built: true,
        },
        Word {
            text: "permissive",
            doc: "plain connections too",
            built: false,
        },
    ];
}

struct Paths;
impl Settled for Paths {
    const WORDS: &'static [Word] = &[
        Word {
            text: "strict",
            doc: "refuse it with 400",
            built: true,
        },
        Word {
            text: "canonical",
            doc: "decide and forward the canonical form",
            built: false,
        },
        Word {
            text: "raw",
            doc: "decide on the bytes as they came",
            built: false,
        },
    ];
}

impl Noun for Inbound {
    const ELEMENT: &'static Element = &Element {
        name: "inbound",
        any_of: &[],
        doc: "A listener for calls from the network to the app: mutual TLS outside, plain to the app, policy between.",
        keys: &[
            NAME.about,
            LISTEN.about,
            APP.about,
            PROTOCOL.about,
            MODE.about,
            PATHS.about,
            not_yet(
                "requireLoopback",
                "true",
                "Refuse an app that is not on loopback.",
            ),
            not_yet(
                "probes",
                "[{ path: /healthz }]",
                "Paths that kubelets may call without an identity.",
            ),
            not_yet(
                "xfcc",
                "set",
                "What `x-forwarded-client-cert` tells the app; today it is always set anew.",
            ),
            not_yet(
                "clientHalfClose",
                "allow",
                "Whether a client may close its half first.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, listen, app) = (fields.take(&NAME), fields.take(&LISTEN), fields.take(&APP));
        let (protocol, mode, paths) = (
            fields.take(&PROTOCOL),
            fields.take(&MODE),
            fields.take(&PATHS),
        );
        let ((), ()) = (mode?, paths?);
        Ok(Self {
            name: name?,
            listen: listen?,
            app: app?,
            protocol: protocol?,
        })
    }

    fn show(&self) -> Json {
        object([
            NAME.show(&self.name),
            LISTEN.show(&self.listen),
            APP.show(&self.app),
            PROTOCOL.show(&self.protocol),
            MODE.show(&()),
            PATHS.show(&()),
        ])
    }
}
