//! Where a CA is reached by operators and scrapers.

use crate::Address;
use crate::describe::Element;
use crate::form::{As, File, ListenTcp, Noun, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::path::PathBuf;

/// Where the admin socket lies, and the `ca` verbs look for it, unless somebody says otherwise.
pub const SOCKET_DEFAULT: &str = "/run/countersign/ca.sock";

/// The admin socket.
pub(super) struct Admin(pub(super) PathBuf);

const SOCKET: Key<File> = Key::new(
    "socket",
    "A unix socket (0600), made with its folder if only that is missing: who may open it may have any identity.",
)
.default(
    SOCKET_DEFAULT,
    "it is gone with the machine's memory, and the `ca` verbs look there unless told otherwise",
);

impl Noun for Admin {
    const ELEMENT: &'static Element = &Element {
        name: "caAdmin",
        any_of: &[],
        doc: "The socket that the `ca` verbs reach it by.",
        keys: &[SOCKET.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&SOCKET).map(Self)
    }

    fn show(&self) -> Json {
        object([SOCKET.show(&self.0)])
    }
}

/// Where `/metrics` is served.
pub(super) struct Metrics(pub(super) Address);

pub(super) const METRICS_LISTEN: Key<As<ListenTcp>> = Key::new(
    "listen",
    "Where `/metrics` is served, plain.",
)
.default(
    "\"0.0.0.0:9464\"",
    "a scraper comes from another machine and has no identity; 9464 is the usual port of exporters",
);

impl Noun for Metrics {
    const ELEMENT: &'static Element = &Element {
        name: "caMetrics",
        any_of: &[],
        doc: "Metrics for Prometheus.",
        keys: &[METRICS_LISTEN.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&METRICS_LISTEN).map(Self)
    }

    fn show(&self) -> Json {
        object([METRICS_LISTEN.show(&self.0)])
    }
}
