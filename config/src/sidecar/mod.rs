//! The sidecar's document: one file per element, and what must agree across them.

mod protocol;
mod half_close;

mod source;
mod tls;

mod dns;
mod identity;
mod inbound;
mod limits;
mod ports;
mod retries;
mod service;
mod telemetry;

mod outbound;

mod agreement;

pub use dns::Dns;
pub use half_close::HalfClose;
pub use identity::{Federated, Identity};
pub use inbound::{Inbound, Mode, Paths};
pub use limits::{Limits, PerIdentity};
pub use outbound::{Outbound, Unknown};
pub use ports::Admin;
pub use protocol::Protocol;
pub use retries::{On, Retries};
pub use service::Service;
pub use source::{Ca, Files, FirstContact, Source, State, WorkloadApi};
pub use telemetry::{LogTarget, Telemetry};
pub use tls::Tls;

use crate::describe::Element;
use crate::form::{File, List, Listen, Map, Noun, object};
use crate::key::{Key, not_yet};
use crate::notes::{Read, text_of};
use crate::probes::Health;
use crate::read::{Value, document, glance};
use crate::{Address, Findings};
use outbound::Written;
use ports::Metrics;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// A valid sidecar document. Paths are absolute or relative to the working directory (already joined with the document's folder).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Who this sidecar is.
    pub identity: Identity,
    /// Listeners for calls from the network to the app.
    pub inbound: Vec<Inbound>,
    /// Listeners for calls from the app to the network.
    pub outbound: Vec<Outbound>,
    /// What the app may call. Names are unique, hosts too.
    pub services: Vec<Service>,
    /// The policy's file; always there when there is an inbound listener.
    pub policy: Option<PathBuf>,
    /// Whom names are asked of.
    pub dns: Dns,
    /// Bounds.
    pub limits: Limits,
    /// The admin pages and socket.
    pub admin: Admin,
    /// Where `/metrics` is served.
    pub metrics: Address,
    /// Where `/started`, `/ready` and `/live` are served.
    pub health: Address,
    /// What is reported.
    pub telemetry: Telemetry,
}

impl Sidecar {
    /// Reads the text of a document; `file` is what findings name and what relative paths start from.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Findings> {
        document(text, file, <Self as Noun>::read)
    }

    /// Reads a file. A file that cannot be read is a finding too.
    pub fn load(file: &Path) -> Result<Self, Findings> {
        let text = text_of(file).map_err(|finding| Findings(vec![finding]))?;
        Self::parse(&text, file)
    }

    /// The policy file that a document names, though the rest of it may be wrong.
    pub fn policy_file(text: &str, file: &Path) -> Option<PathBuf> {
        glance(text, file, |root| root.get("policy")?.peek(&FILE))
    }
}

const IDENTITY: Key<Map<Identity>> =
    Key::new("identity", "Who this sidecar is and whom it believes.");
const INBOUND: Key<List<Map<Inbound>>> = Key::new(
    "inbound",
    "Calls from the network to the app. Needs a `policy`.",
)
.optional()
.typical();
const OUTBOUND: Key<List<Map<Written>>> =
    Key::new("outbound", "Calls from the app to the network.")
        .optional()
        .typical();
const SERVICES: Key<List<Map<Service>>> = Key::new(
    "services",
    "What the app may call: a request never chooses an address of its own.",
)
.optional()
.typical();
const POLICY: Key<Map<PolicyFile>> = Key::new(
    "policy",
    "Who may call the app. Required with an `inbound`.",
)
.optional()
.typical();
const DNS: Key<Map<Dns>> =
    Key::new("dns", "Whom the names of endpoints are asked of.").default("{}", "");
const LIMITS: Key<Map<Limits>> = Key::new(
    "limits",
    "Bounds on what a stranger or a slow peer can cost.",
)
.default("{}", "");
const ADMIN: Key<Map<Admin>> =
    Key::new("admin", "Pages and a socket to look into this sidecar.").default("{}", "");
const METRICS: Key<Map<Metrics>> = Key::new("metrics", "Metrics for Prometheus.").default("{}", "");
const HEALTH: Key<Map<Health<Listen>>> =
    Key::new("health", "Probes for whoever runs this sidecar.").default("{}", "");
const TELEMETRY: Key<Map<Telemetry>> =
    Key::new("telemetry", "What is reported, and where to.").default("{}", "");

impl Noun for Sidecar {
    const ELEMENT: &'static Element = &Element {
        name: "sidecar",
        any_of: &[],
        doc: "Configuration of a Countersign sidecar. Durations are such as `10s` or `1h30m`, sizes such as `64KiB`; relative \
              paths start from the folder of this file.",
        keys: &[
            IDENTITY.about,
            INBOUND.about,
            OUTBOUND.about,
            SERVICES.about,
            POLICY.about,
            DNS.about,
            LIMITS.about,
            ADMIN.about,
            METRICS.about,
            HEALTH.about,
            not_yet(
                "revocationStaleness",
                "{ after: 1h, then: warn }",
                "What happens when news of revocations stay away.",
            ),
            TELEMETRY.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (identity, inbound) = (fields.take(&IDENTITY), fields.maybe(&INBOUND));
        let (outbound, services, policy) = (
            fields.maybe(&OUTBOUND),
            fields.maybe(&SERVICES),
            fields.maybe(&POLICY),
        );
        let dns = fields.take(&DNS);
        let (limits, telemetry) = (fields.take(&LIMITS), fields.take(&TELEMETRY));
        let (admin, metrics, health) = (
            fields.take(&ADMIN),
            fields.take(&METRICS),
            fields.take(&HEALTH),
        );
        agreement::check(value);

        let services = services?.unwrap_or_default();
        // An outbound whose service does not exist has its finding by now, so that leaving it out hides nothing.
        let outbound = outbound?
            .unwrap_or_default()
            .into_iter()
            .filter_map(|written| written.bind(&services))
            .collect();
        Ok(Self {
            identity: identity?,
            inbound: inbound?.unwrap_or_default(),
            outbound,
            services,
            policy: policy?.map(|policy| policy.0),
            dns: dns?,
            limits: limits?,
            admin: admin?,
            metrics: metrics?.0,
            health: health?.0,
            telemetry: telemetry?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![IDENTITY.show(&self.identity)];
        if !self.inbound.is_empty() {
            pairs.push(INBOUND.show(&self.inbound));
        }
        if !self.outbound.is_empty() {
            pairs.push(
                OUTBOUND.show(
                    &self
                        .outbound
                        .iter()
                        .map(|outbound| Written::of(outbound, &self.services))
                        .collect(),
                ),
            );
        }
        if !self.services.is_empty() {
            pairs.push(SERVICES.show(&self.services));
        }
        pairs.extend(
            self.policy
                .as_ref()
                .map(|file| POLICY.show(&PolicyFile(file.clone()))),
        );
        pairs.extend([
            DNS.show(&self.dns),
            LIMITS.show(&self.limits),
            ADMIN.show(&self.admin),
            METRICS.show(&Metrics(self.metrics.clone())),
            HEALTH.show(&Health::at(self.health.clone())),
            TELEMETRY.show(&self.telemetry),
        ]);
        object(pairs)
    }
}

/// Where the policy is written.
struct PolicyFile(PathBuf);

const FILE: Key<File> =
    Key::new("file", "The policy document; it is watched.").example("policy.yaml");

impl Noun for PolicyFile {
    const ELEMENT: &'static Element = &Element {
        name: "policyFile",
        any_of: &[],
        doc: "Where the policy is written.",
        keys: &[
            FILE.about,
            not_yet(
                "shadow",
                "policy-next.yaml",
                "A policy that is only tried: what it would refuse is counted.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&FILE).map(Self)
    }

    fn show(&self) -> Json {
        object([FILE.show(&self.0)])
    }
}
