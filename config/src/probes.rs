//! Probes: where whoever runs a process asks how it is.

use crate::Address;
use crate::describe::Element;
use crate::form::{As, Listen, Noun, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;

/// Where `/started`, `/ready` and `/live` are served.
pub(crate) struct Health(pub(crate) Address);

pub(crate) const LISTEN: Key<As<Listen>> = Key::new(
    "listen",
    "Where `/started`, `/ready` and `/live` are served, plain.",
)
.default(
    "\"0.0.0.0:15021\"",
    "probes come from the machine's agent, over the pod's own address",
);

impl Noun for Health {
    const ELEMENT: &'static Element = &Element {
        name: "health",
        any_of: &[],
        doc: "Probes.",
        keys: &[LISTEN.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&LISTEN).map(Self)
    }

    fn show(&self) -> Json {
        object([LISTEN.show(&self.0)])
    }
}
