//! How long certificates of workloads live.
//!
//! Not longer than three days: an issuer takes over from the last one when that has three and a half left, and no leaf
//! outlives its issuer.

use crate::describe::Element;
use crate::form::{Duration as Span, Noun, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use crate::unit;
use serde_json::Value as Json;
use std::time::Duration;

/// How long certificates of workloads live.
pub(super) struct Leaf {
    pub(super) ttl: Duration,
    pub(super) ttl_max: Duration,
}

const TTL: Key<Span> = Key::new(
    "ttl",
    "How long a certificate lives when nobody asks for another time; never above `maxTtl`.",
)
.between("10s", "3d")
.default(
    "1h",
    "a stolen key is worth an hour, and a CA that is away for half of it is not noticed",
);
const TTL_MAX: Key<Span> = Key::new("maxTtl", "The longest that anyone may ask for.")
    .between("10s", "3d")
    .default(
        "24h",
        "whoever cannot renew within a day needs somebody to look at it",
    );

impl Noun for Leaf {
    const ELEMENT: &'static Element = &Element {
        name: "leaf",
        any_of: &[],
        doc: "How long certificates of workloads live.",
        keys: &[TTL.about, TTL_MAX.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (ttl, ttl_max) = (fields.take(&TTL), fields.take(&TTL_MAX));
        let leaf = Self {
            ttl: ttl?,
            ttl_max: ttl_max?,
        };
        if leaf.ttl > leaf.ttl_max {
            let (ttl, max) = (
                unit::duration_text(leaf.ttl),
                unit::duration_text(leaf.ttl_max),
            );
            let at = value
                .get("ttl")
                .or_else(|| value.get("maxTtl"))
                .unwrap_or_else(|| value.clone());
            return Err(at.note(
                format!("`ttl` ({ttl}) is longer than `maxTtl` ({max})"),
                "shorten the one or lengthen the other",
            ));
        }
        Ok(leaf)
    }

    fn show(&self) -> Json {
        object([TTL.show(&self.ttl), TTL_MAX.show(&self.ttl_max)])
    }
}
