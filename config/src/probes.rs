//! Probes: where whoever runs a process asks how it is.

use crate::Address;
use crate::describe::Element;
use crate::form::{As, Noun, Text, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::marker::PhantomData;

/// Where `/started`, `/ready` and `/live` are served, of those places that `F` has words for.
pub(crate) struct Health<F>(pub(crate) Address, PhantomData<F>);

impl<F: Text<Value = Address>> Health<F> {
    pub(crate) const LISTEN: Key<As<F>> = Key::new(
        "listen",
        "Where `/started`, `/ready` and `/live` are served, plain.",
    )
    .default(
        "\"0.0.0.0:15021\"",
        "probes come from the machine's agent, over the pod's own address",
    );

    /// There.
    pub(crate) fn at(address: Address) -> Self {
        Self(address, PhantomData)
    }
}

impl<F: Text<Value = Address>> Noun for Health<F> {
    const ELEMENT: &'static Element = &Element {
        name: "health",
        any_of: &[],
        doc: "Probes.",
        keys: &[Self::LISTEN.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value
            .fields(Self::ELEMENT)?
            .take(&Self::LISTEN)
            .map(Self::at)
    }

    fn show(&self) -> Json {
        object([Self::LISTEN.show(&self.0)])
    }
}
