//! What one identity, one address and all strangers together may ask of a CA.

use crate::describe::Element;
use crate::form::{As, Count, Noun, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use crate::unit::Rate;
use serde_json::Value as Json;

/// What one identity, one address and all strangers together may ask. None of it holds back a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Joins of one identity.
    pub per_identity: Rate,
    /// Failed attempts of one address.
    pub per_source: Rate,
    /// Handshakes under way at a time.
    pub handshakes: usize,
}

const PER_IDENTITY: Key<As<Rate>> = Key::new(
    "perIdentity",
    "Joins of one identity; as many may come at once. Renewals are not counted.",
)
.default(
    "10/m",
    "a workload joins once in its life; one that restarts in a circle is told to keep its state directory",
);
const PER_SOURCE: Key<As<Rate>> = Key::new(
    "perSource",
    "Failed attempts of one address (of IPv6, of one network of 64 bits), each kind for itself, after which those of that kind are \
     not heard; as many may come at once.",
)
.default(
    "100/s",
    "many workloads may share an address behind a gateway, and a token of 256 bits is not guessed at any rate",
);
const HANDSHAKES: Key<Count> = Key::new(
    "handshakes",
    "Handshakes under way at a time, and as many again from networks where a certificate was shown before. When all are taken, the \
     network with the most gives up its oldest, which is closed at once and tries again.",
)
.between("10", "10000")
.default(
    "500",
    "two cores make as many in a quarter of a second, so nobody waits longer than that for the others",
);

impl Noun for Limits {
    const ELEMENT: &'static Element = &Element {
        name: "caLimits",
        any_of: &[],
        doc: "What one identity, one address and all strangers together may ask. None of it holds back a renewal.",
        keys: &[PER_IDENTITY.about, PER_SOURCE.about, HANDSHAKES.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (per_identity, per_source, handshakes) = (
            fields.take(&PER_IDENTITY),
            fields.take(&PER_SOURCE),
            fields.take(&HANDSHAKES),
        );
        Ok(Self {
            per_identity: per_identity?,
            per_source: per_source?,
            handshakes: handshakes?,
        })
    }

    fn show(&self) -> Json {
        object([
            PER_IDENTITY.show(&self.per_identity),
            PER_SOURCE.show(&self.per_source),
            HANDSHAKES.show(&self.handshakes),
        ])
    }
}
