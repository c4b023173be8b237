//! Who a sidecar is and whom it believes.

use crate::TrustDomain;
use crate::describe::Element;
use crate::form::{As, File, List, Map, Noun, object};
use crate::key::{Key, not_yet};
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
    /// Bundles of other trust domains; no domain twice, never its own.
    pub federated: Vec<Federated>,
}

/// Where the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files that somebody else renews.
    Files(Files),
}

/// The three files of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Leaf first, then issuers; PEM.
    pub certificate: PathBuf,
    /// PKCS#8, SEC1 or PKCS#1 PEM.
    pub key: PathBuf,
    /// Roots of the own trust domain; PEM.
    pub bundle: PathBuf,
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
const FILES: Key<Map<Files>> = Key::new(
    "files",
    "PEM files that somebody else renews. They are watched, and taken together or not at all.",
)
.example("{ certificate: svid.pem, key: key.pem, bundle: bundle.pem }")
.instead(&["ca", "workloadApi"]);
pub(super) const FEDERATED: Key<List<Map<Federated>>> = Key::new(
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
            not_yet(
                "stateDir",
                "/var/lib/countersign",
                "A folder of mode 0700 for key, certificate and bundle, from which a restart resumes.",
            ),
            not_yet(
                "ca",
                "{ address: \"ca:8443\", bundle: bundle.pem, joinToken: { file: /run/secrets/join-token } }",
                "Our CA issues and renews the identity.",
            ),
            not_yet(
                "workloadApi",
                "{ socket: \"unix:///run/spire/agent.sock\" }",
                "A SPIFFE Workload API issues and renews the identity.",
            ),
            FILES.about,
            FEDERATED.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, files, federated) = (
            fields.take(&TRUST_DOMAIN),
            fields.take(&FILES),
            fields.maybe(&FEDERATED),
        );
        Ok(Self {
            trust_domain: trust_domain?,
            source: Source::Files(files?),
            federated: federated?.unwrap_or_default(),
        })
    }

    fn show(&self) -> Json {
        let Source::Files(files) = &self.source;
        let mut pairs = vec![TRUST_DOMAIN.show(&self.trust_domain), FILES.show(files)];
        if !self.federated.is_empty() {
            pairs.push(FEDERATED.show(&self.federated));
        }
        object(pairs)
    }
}

const CERTIFICATE: Key<File> = Key::new(
    "certificate",
    "The certificate (SVID) first, then its issuers up to, without, the root.",
)
.example("svid.pem");
const KEY: Key<File> = Key::new(
    "key",
    "The private key of the certificate; nobody but its owner may read it.",
)
.example("key.pem");
const BUNDLE: Key<File> =
    Key::new("bundle", "The roots of the own trust domain.").example("bundle.pem");

impl Noun for Files {
    const ELEMENT: &'static Element = &Element {
        name: "files",
        any_of: &[],
        doc: "The three files of an identity, all PEM.",
        keys: &[CERTIFICATE.about, KEY.about, BUNDLE.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (certificate, key, bundle) = (
            fields.take(&CERTIFICATE),
            fields.take(&KEY),
            fields.take(&BUNDLE),
        );
        Ok(Self {
            certificate: certificate?,
            key: key?,
            bundle: bundle?,
        })
    }

    fn show(&self) -> Json {
        object([
            CERTIFICATE.show(&self.certificate),
            KEY.show(&self.key),
            BUNDLE.show(&self.bundle),
        ])
    }
}

pub(super) const OTHER_DOMAIN: Key<As<TrustDomain>> = Key::new(
    "trustDomain",
    "The other trust domain: never the own, none twice.",
)
.example("partner.example");
const OTHER_BUNDLE: Key<File> = Key::new(
    "bundle",
    "Its roots, PEM. They vouch for this domain's identities and no others.",
)
.example("partner.pem");

impl Noun for Federated {
    const ELEMENT: &'static Element = &Element {
        name: "federated",
        any_of: &[],
        doc: "Another trust domain and its roots.",
        keys: &[OTHER_DOMAIN.about, OTHER_BUNDLE.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (trust_domain, bundle) = (fields.take(&OTHER_DOMAIN), fields.take(&OTHER_BUNDLE));
        Ok(Self {
            trust_domain: trust_domain?,
            bundle: bundle?,
        })
    }

    fn show(&self) -> Json {
        object([
            OTHER_DOMAIN.show(&self.trust_domain),
            OTHER_BUNDLE.show(&self.bundle),
        ])
    }
}
