//! Who a sidecar is and whom it believes.

use super::source::{Ca, Files, Kept, Source, State, WorkloadApi};
use crate::TrustDomain;
use crate::describe::Element;
use crate::form::{As, File, List, Map, Noun, object};
use crate::key::{Fields, Key};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::path::PathBuf;

/// Who this sidecar is and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its own trust domain.
    pub trust_domain: TrustDomain,
    /// Where key, certificate and bundle come from.
    pub source: Source,
    /// Bundles of other trust domains; no domain twice, never its own. None of a [`WorkloadApi`], which brings them along.
    pub federated: Vec<Federated>,
}

/// Another trust domain and its roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federated {
    /// The other domain.
    pub trust_domain: TrustDomain,
    /// Its roots; PEM.
    pub bundle: PathBuf,
}

pub(super) const TRUST_DOMAIN: Key<As<TrustDomain>> = Key::new(
    "trustDomain",
    "The trust domain of this sidecar, the first half of every identity in it.",
)
.example("shop.example");
const SOURCES: &[&str] = &["files", "ca", "workloadApi"];
const FILES: Key<Map<Files>> = Key::new(
    "files",
    "PEM files that somebody else renews. They are watched, and taken together or not at all.",
)
.example("{ certificate: svid.pem, key: key.pem, bundle: bundle.pem }")
.one_of(SOURCES);
const CA: Key<Map<Ca>> = Key::new("ca", "Our CA issues and renews the identity.")
    .example("{ address: \"ca:8443\", bundle: bundle.pem, joinToken: { file: /run/secrets/join-token } }")
    .one_of(SOURCES);
const WORKLOAD_API: Key<Map<WorkloadApi>> = Key::new(
    "workloadApi",
    "A SPIFFE Workload API issues and renews the identity.",
)
.example("{ socket: \"unix:///run/spire/agent.sock\" }")
.one_of(SOURCES);
const STATE_DIR: Key<Kept> = Key::new(
    "stateDir",
    "A folder of mode 0700 for key, certificate and the statement of whom to believe, from which a restart \
     resumes without asking anybody. `memory`, or nothing: there is none, since two sidecars of one machine must not meet in \
     a folder that neither chose; a restart then joins again, which a used token does not allow.",
)
.optional()
.with("ca")
.example("/var/lib/countersign");
pub(super) const FEDERATED: Key<List<Map<Other>>> = Key::new(
    "federated",
    "Other trust domains whose workloads may be believed. Without it only the own domain is.",
)
.optional()
.example("[{ trustDomain: partner.example, bundle: partner.pem }]");

impl Noun for Identity {
    const ELEMENT: &'static Element = &Element {
        name: "identity",
        any_of: &[],
        doc: "Who this sidecar is and whom it believes.",
        keys: &[
            TRUST_DOMAIN.about,
            FILES.about,
            CA.about,
            STATE_DIR.about,
            WORKLOAD_API.about,
            FEDERATED.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, source, federated) = (
            fields.take(&TRUST_DOMAIN),
            source(&fields, value),
            fields.maybe(&FEDERATED),
        );
        let (mut source, others) = (source?, federated?.unwrap_or_default());
        let at = value.each(FEDERATED.about.name);
        let federated = match &mut source {
            Source::WorkloadApi(api) => {
                api.federated = domains(others, &at)?;
                Vec::new()
            }
            Source::Files(_) | Source::Ca { .. } => with_bundles(others, &at)?,
        };
        Ok(Self {
            trust_domain: trust_domain?,
            source,
            federated,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![TRUST_DOMAIN.show(&self.trust_domain)];
        match &self.source {
            Source::Files(files) => pairs.push(FILES.show(files)),
            Source::Ca { ca, state } => pairs.extend([CA.show(ca), STATE_DIR.show(state)]),
            Source::WorkloadApi(api) => pairs.push(WORKLOAD_API.show(api)),
        }
        let others: Vec<Other> = match &self.source {
            Source::WorkloadApi(api) => api.federated.iter().map(Other::of_domain).collect(),
            Source::Files(_) | Source::Ca { .. } => {
                self.federated.iter().map(Other::of_file).collect()
            }
        };
        if !others.is_empty() {
            pairs.push(FEDERATED.show(&others));
        }
        object(pairs)
    }
}

/// Other trust domains, each with the file of its roots.
fn with_bundles(others: Vec<Other>, at: &[Value<'_>]) -> Read<Vec<Federated>> {
    let each = others.into_iter().zip(at).map(|(other, at)| {
        let missing = || {
            let help = format!("add `bundle: {}`", OTHER_BUNDLE.about.example);
            at.note("`bundle` is missing", help)
        };
        Ok(Federated {
            bundle: other.bundle.ok_or_else(missing)?,
            trust_domain: other.trust_domain,
        })
    });
    every(each)
}

/// Other trust domains whose roots come with the identity.
fn domains(others: Vec<Other>, at: &[Value<'_>]) -> Read<Vec<TrustDomain>> {
    let each =
        others
            .into_iter()
            .zip(at)
            .map(|(other, at)| match at.get(OTHER_BUNDLE.about.name) {
                None => Ok(other.trust_domain),
                Some(bundle) => Err(bundle.note(
                    "stands beside `workloadApi`, which brings the roots along",
                    "remove it, and federate the workload's registration with that trust domain",
                )),
            });
    every(each)
}

/// All of them, or a proof that something was noted, and everything was.
fn every<T>(each: impl Iterator<Item = Read<T>>) -> Read<Vec<T>> {
    let all: Vec<Read<T>> = each.collect();
    all.into_iter().collect()
}

/// The source that is written, and no other; a state directory belongs to the CA's.
fn source(fields: &Fields<'_>, identity: &Value<'_>) -> Read<Source> {
    let which = fields.which(SOURCES);
    let (files, ca, api) = (
        fields.maybe(&FILES),
        fields.maybe(&CA),
        fields.maybe(&WORKLOAD_API),
    );
    let state = fields.maybe(&STATE_DIR);
    if let (Ok(name), Some(written)) = (which, identity.get(STATE_DIR.about.name))
        && name != CA.about.name
    {
        written.note(
            format!("stands beside `{name}`, which keeps nothing"),
            "remove it: it is for `ca` only",
        );
    }
    which?;
    match (files?, ca?, api?, state?) {
        (Some(files), None, None, _) => Ok(Source::Files(files)),
        (None, Some(ca), None, state) => Ok(Source::Ca {
            ca,
            state: state.unwrap_or(State::Memory),
        }),
        (None, None, Some(api), _) => Ok(Source::WorkloadApi(api)),
        _ => Err(fields.none_of(SOURCES)),
    }
}

pub(super) const OTHER_DOMAIN: Key<As<TrustDomain>> = Key::new(
    "trustDomain",
    "The other trust domain: never the own, none twice.",
)
.example("partner.example");
const OTHER_BUNDLE: Key<File> = Key::new(
    "bundle",
    "Its roots, PEM. They vouch for this domain's identities and no others. Only with `workloadApi` it is left out: there the \
     roots come with the identity.",
)
.optional()
.typical()
.example("partner.pem");

/// Another trust domain as it is written: whether its roots are in a file is for the source to say.
pub(super) struct Other {
    trust_domain: TrustDomain,
    bundle: Option<PathBuf>,
}

impl Other {
    fn of_domain(trust_domain: &TrustDomain) -> Self {
        Other {
            trust_domain: trust_domain.clone(),
            bundle: None,
        }
    }

    fn of_file(federated: &Federated) -> Self {
        Other {
            trust_domain: federated.trust_domain.clone(),
            bundle: Some(federated.bundle.clone()),
        }
    }
}

impl Noun for Other {
    const ELEMENT: &'static Element = &Element {
        name: "federated",
        any_of: &[],
        doc: "Another trust domain and its roots.",
        keys: &[OTHER_DOMAIN.about, OTHER_BUNDLE.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, bundle) = (fields.take(&OTHER_DOMAIN), fields.maybe(&OTHER_BUNDLE));
        Ok(Self {
            trust_domain: trust_domain?,
            bundle: bundle?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![OTHER_DOMAIN.show(&self.trust_domain)];
        pairs.extend(self.bundle.as_ref().map(|bundle| OTHER_BUNDLE.show(bundle)));
        object(pairs)
    }
}
