//! The CA's document.

use crate::describe::Element;
use crate::form::{As, Duration as Span, File, Map, Noun, object};
use crate::key::{Key, not_yet};
use crate::notes::{Read, text_of};
use crate::read::{Value, document};
use crate::{Findings, TrustDomain, unit};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A valid CA document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// The trust domain it speaks for.
    pub trust_domain: TrustDomain,
    /// Where keys and state lie.
    pub dir: PathBuf,
    /// How long a leaf lives when nobody asks for another time.
    pub leaf_ttl: Duration,
    /// The longest that anyone may ask for.
    pub leaf_ttl_max: Duration,
}

impl Ca {
    /// Reads the text of a document; `file` is what findings name and what relative paths start from.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Findings> {
        document(text, file, <Self as Noun>::read)
    }

    /// Reads a file.
    pub fn load(file: &Path) -> Result<Self, Findings> {
        let text = text_of(file).map_err(|finding| Findings(vec![finding]))?;
        Self::parse(&text, file)
    }
}

const TRUST_DOMAIN: Key<As<TrustDomain>> = Key::new(
    "trustDomain",
    "The trust domain it speaks for; it issues no identity outside it.",
)
.example("shop.example");
const DIR: Key<File> = Key::new(
    "dir",
    "Where keys and state lie: a folder of mode 0700 with one owner at a time.",
)
.example("/var/lib/countersign-ca");
const LEAF: Key<Map<Leaf>> =
    Key::new("leaf", "How long certificates of workloads live.").default("{}", "");

impl Noun for Ca {
    const ELEMENT: &'static Element = &Element {
        name: "ca",
        any_of: &[],
        doc: "Configuration of a Countersign CA. Durations are such as `10s` or `1h30m`; relative paths start from the folder of \
              this file.",
        keys: &[
            TRUST_DOMAIN.about,
            DIR.about,
            not_yet(
                "listen",
                "\"0.0.0.0:8443\"",
                "Where sidecars ask for certificates.",
            ),
            not_yet(
                "admin",
                "{ socket: /run/countersign/ca.sock }",
                "The socket that the `ca` verbs reach it by.",
            ),
            LEAF.about,
            not_yet(
                "graceRenewal",
                "24h",
                "How long after its end a certificate may still be renewed.",
            ),
            not_yet(
                "limits",
                "{ perIdentity: 10/m, perSource: 100/s, handshakes: 500 }",
                "What one identity, one source and all strangers together may ask.",
            ),
            not_yet(
                "ackDeadline",
                "24h",
                "How long a rotation waits for sidecars to acknowledge a bundle.",
            ),
            not_yet(
                "crl",
                "{ listen: \"0.0.0.0:8080\" }",
                "Where revocation lists are served.",
            ),
            not_yet(
                "roles",
                "[{ uid: 1000, role: rotator }]",
                "Who may do what over the socket.",
            ),
            not_yet(
                "metrics",
                "{ listen: \"0.0.0.0:9464\" }",
                "Metrics for Prometheus.",
            ),
            not_yet("health", "{ listen: \"0.0.0.0:15021\" }", "Probes."),
            not_yet(
                "telemetry",
                "{ otlp: { endpoint: \"http://collector:4318\" } }",
                "What is reported, and where to.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, dir, leaf) = (
            fields.take(&TRUST_DOMAIN),
            fields.take(&DIR),
            fields.take(&LEAF),
        );
        let leaf = leaf?;
        Ok(Self {
            trust_domain: trust_domain?,
            dir: dir?,
            leaf_ttl: leaf.ttl,
            leaf_ttl_max: leaf.ttl_max,
        })
    }

    fn show(&self) -> Json {
        let leaf = Leaf {
            ttl: self.leaf_ttl,
            ttl_max: self.leaf_ttl_max,
        };
        object([
            TRUST_DOMAIN.show(&self.trust_domain),
            DIR.show(&self.dir),
            LEAF.show(&leaf),
        ])
    }
}

/// How long certificates of workloads live.
struct Leaf {
    ttl: Duration,
    ttl_max: Duration,
}

const TTL: Key<Span> = Key::new(
    "ttl",
    "How long a certificate lives when nobody asks for another time; never above `maxTtl`.",
)
.between("1m", "30d")
.default(
    "1h",
    "a stolen key is worth an hour, and a CA that is away for half of it is not noticed",
);
const TTL_MAX: Key<Span> = Key::new("maxTtl", "The longest that anyone may ask for.")
    .between("1m", "30d")
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
