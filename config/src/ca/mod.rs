//! The CA's document: one file per element.

mod leaf;
mod limits;
mod ports;

pub use limits::Limits;
pub use ports::SOCKET_DEFAULT;

use crate::describe::Element;
use crate::form::{As, Duration as Span, File, ListenTcp, Map, Noun, object};
use crate::key::{Key, not_yet};
use crate::listener::{Listener, addresses_differ};
use crate::notes::{Read, text_of};
use crate::probes::Health;
use crate::read::{Value, document};
use crate::{Address, Findings, TrustDomain};
use leaf::Leaf;
use ports::{Admin, METRICS_LISTEN, Metrics};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A valid CA document. Paths are absolute or relative to the working directory (already joined with the document's folder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// The trust domain it speaks for.
    pub trust_domain: TrustDomain,
    /// Where keys and state lie.
    pub dir: PathBuf,
    /// Where workloads ask for certificates.
    pub listen: Address,
    /// The unix socket of its operators.
    pub admin_socket: PathBuf,
    /// How long a leaf lives when nobody asks for another time.
    pub leaf_ttl: Duration,
    /// The longest that anyone may ask for.
    pub leaf_ttl_max: Duration,
    /// How long after its end a certificate may still be renewed; zero: not at all.
    pub grace_renewal: Duration,
    /// What strangers may ask.
    pub limits: Limits,
    /// Where `/metrics` is served.
    pub metrics: Address,
    /// Where `/started`, `/ready` and `/live` are served.
    pub health: Address,
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
const LISTEN: Key<As<ListenTcp>> = Key::new(
    "listen",
    "Where workloads ask for certificates, over TLS; port 0 takes a free one.",
)
.default(
    "\"0.0.0.0:8443\"",
    "workloads come from other machines, and to 8443 no right of root is needed",
);
const ADMIN: Key<Map<Admin>> =
    Key::new("admin", "The socket that the `ca` verbs reach it by.").default("{}", "");
const LEAF: Key<Map<Leaf>> =
    Key::new("leaf", "How long certificates of workloads live.").default("{}", "");
const GRACE_RENEWAL: Key<Span> = Key::new(
    "graceRenewal",
    "How long after its end a certificate may still be renewed by proof of its key; `0s`: not at all.",
)
.between("0s", "30d")
.default(
    "24h",
    "a machine that slept over night comes back alone, and a stolen leaf is worth one day more at most",
);
const LIMITS: Key<Map<Limits>> = Key::new(
    "limits",
    "What one identity, one address and all strangers together may ask.",
)
.default("{}", "");
const METRICS: Key<Map<Metrics>> = Key::new("metrics", "Metrics for Prometheus.").default("{}", "");
const HEALTH: Key<Map<Health<ListenTcp>>> =
    Key::new("health", "Probes for whoever runs this CA.").default("{}", "");

impl Noun for Ca {
    const ELEMENT: &'static Element = &Element {
        name: "ca",
        any_of: &[],
        doc: "Configuration of a Countersign CA. Durations are such as `10s` or `1h30m`, rates such as `10/m`; relative paths \
              start from the folder of this file.",
        keys: &[
            TRUST_DOMAIN.about,
            DIR.about,
            LISTEN.about,
            ADMIN.about,
            LEAF.about,
            GRACE_RENEWAL.about,
            LIMITS.about,
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
            METRICS.about,
            HEALTH.about,
            not_yet(
                "telemetry",
                "{ otlp: { endpoint: \"http://collector:4318\" } }",
                "What is reported, and where to.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, dir) = (fields.take(&TRUST_DOMAIN), fields.take(&DIR));
        let (listen, admin) = (fields.take(&LISTEN), fields.take(&ADMIN));
        let (leaf, grace_renewal, limits) = (
            fields.take(&LEAF),
            fields.take(&GRACE_RENEWAL),
            fields.take(&LIMITS),
        );
        let (metrics, health) = (fields.take(&METRICS), fields.take(&HEALTH));
        addresses_differ(&listeners(value));
        let leaf = leaf?;
        Ok(Self {
            trust_domain: trust_domain?,
            dir: dir?,
            listen: listen?,
            admin_socket: admin?.0,
            leaf_ttl: leaf.ttl,
            leaf_ttl_max: leaf.ttl_max,
            grace_renewal: grace_renewal?,
            limits: limits?,
            metrics: metrics?.0,
            health: health?.0,
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
            LISTEN.show(&self.listen),
            ADMIN.show(&Admin(self.admin_socket.clone())),
            LEAF.show(&leaf),
            GRACE_RENEWAL.show(&self.grace_renewal),
            LIMITS.show(&self.limits),
            METRICS.show(&Metrics(self.metrics.clone())),
            HEALTH.show(&Health::at(self.health.clone())),
        ])
    }
}

fn listeners<'d>(root: &Value<'d>) -> Vec<Listener<'d>> {
    let own = root.peek(&LISTEN).map(|address| Listener {
        written: root.get(LISTEN.about.name).is_some(),
        value: root.get(LISTEN.about.name).unwrap_or_else(|| root.clone()),
        at: LISTEN.about.name.to_owned(),
        address,
    });
    let metrics = Listener::of_section(root, "metrics", &METRICS_LISTEN);
    let health = Listener::of_section(root, "health", &Health::<ListenTcp>::LISTEN);
    own.into_iter().chain(metrics).chain(health).collect()
}
