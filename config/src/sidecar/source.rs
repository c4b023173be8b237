//! Where an identity comes from: files, our CA, or a Workload API.
//!
//! Secrets are never written into the document, only where they lie; one that is, is not repeated in its finding.

use crate::describe::{About, Element, Shape};
use crate::form::{As, File, Map, Noun, ReachTcp, Text, check_path, object, path_text};
use crate::key::{Form, Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use crate::{Address, NameError, TrustDomain};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// Where the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files that somebody else renews.
    Files(Files),
    /// Our CA issues and renews it.
    Ca {
        /// Which, and how it is met first.
        ca: Ca,
        /// Where key, certificate and statement outlive the process.
        state: State,
    },
    /// A SPIFFE Workload API issues and renews it.
    WorkloadApi(WorkloadApi),
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

/// Our CA, as a sidecar meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// Where it is: a host and a port other than 0.
    pub address: Address,
    /// What is trusted before anything was heard of it.
    pub first_contact: FirstContact,
    /// The file of the join token. It may be missing where the state directory holds a certificate.
    pub join_token: PathBuf,
}

/// What is trusted at the first contact with a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstContact {
    /// The roots in this file; PEM.
    Bundle(PathBuf),
    /// The root whose DER has this SHA-256.
    Fingerprint([u8; 32]),
}

/// Where key, certificate and statement outlive the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nowhere.
    Memory,
    /// In this folder, which is ours alone.
    Folder(PathBuf),
}

/// A SPIFFE Workload API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadApi {
    /// Its socket, absolute; `None`: the one that SPIFFE_ENDPOINT_SOCKET names in the environment.
    pub socket: Option<PathBuf>,
    /// Other trust domains whose roots it may bring along; no domain twice, never the own.
    pub federated: Vec<TrustDomain>,
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

const ADDRESS: Key<As<ReachTcp>> =
    Key::new("address", "Where the CA listens.").example("\"ca:8443\"");
const FIRST_BUNDLE: Key<File> = Key::new(
    "bundle",
    "The CA's roots as it printed them, PEM: what is trusted at the first contact. Later roots come signed by these.",
)
.example("bundle.pem")
.one_of(TRUSTED);
const FINGERPRINT: Key<As<Sha256>> = Key::new(
    "fingerprint",
    "The SHA-256 of one of its roots, as `countersign ca init` printed it: enough where a file is hard to bring along.",
)
.example("\"sha256:5f1d3c9e8b7a60412233445566778899aabbccddeeff00112233445566778899\"")
.one_of(TRUSTED);
const TRUSTED: &[&str] = &["bundle", "fingerprint"];
const JOIN_TOKEN: Key<Map<JoinToken>> = Key::new(
    "joinToken",
    "Who this workload is, said once: what `countersign ca token create` made.",
)
.example("{ file: /run/secrets/join-token }")
.one_of(PROVEN);
const PROVEN: &[&str] = &["joinToken", "kubernetes"];

impl Noun for Ca {
    const ELEMENT: &'static Element = &Element {
        name: "identityCa",
        any_of: &[],
        doc: "The CA that issues and renews the identity.",
        keys: &[
            ADDRESS.about,
            FIRST_BUNDLE.about,
            FINGERPRINT.about,
            JOIN_TOKEN.about,
            not_yet(
                "kubernetes",
                "{ tokenFile: /var/run/secrets/tokens/countersign }",
                "A projected service account's token says who this workload is.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (address, trusted) = (fields.take(&ADDRESS), fields.which(TRUSTED));
        let (bundle, fingerprint) = (fields.maybe(&FIRST_BUNDLE), fields.maybe(&FINGERPRINT));
        let join_token = match value.get(JOIN_TOKEN.about.name) {
            Some(token) if token.is_scalar() => {
                let help = "write it into a file of mode 0600 and name that: `joinToken: { file: join-token }`";
                fields.refuse(&JOIN_TOKEN, &token, "stands here itself", help)
            }
            _ => fields.take(&JOIN_TOKEN),
        };
        trusted?;
        let first_contact = match (bundle?, fingerprint?) {
            (_, Some(sha256)) => FirstContact::Fingerprint(sha256),
            (Some(bundle), None) => FirstContact::Bundle(bundle),
            (None, None) => return Err(fields.none_of(TRUSTED)),
        };
        Ok(Self {
            address: address?,
            first_contact,
            join_token: join_token?.0,
        })
    }

    fn show(&self) -> Json {
        object([
            ADDRESS.show(&self.address),
            match &self.first_contact {
                FirstContact::Bundle(file) => FIRST_BUNDLE.show(file),
                FirstContact::Fingerprint(sha256) => FINGERPRINT.show(sha256),
            },
            JOIN_TOKEN.show(&JoinToken(self.join_token.clone())),
        ])
    }
}

/// Where the join token lies.
struct JoinToken(PathBuf);

const TOKEN_FILE: Key<File> = Key::new(
    "file",
    "The token alone; blanks around it are ignored. Whoever reads it can become this workload until it is used or ends.",
)
.example("/run/secrets/join-token");

impl Noun for JoinToken {
    const ELEMENT: &'static Element = &Element {
        name: "joinToken",
        any_of: &[],
        doc: "Where the join token lies.",
        keys: &[TOKEN_FILE.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&TOKEN_FILE).map(Self)
    }

    fn show(&self) -> Json {
        object([TOKEN_FILE.show(&self.0)])
    }
}

/// The form of a fingerprint.
struct Sha256;

impl Text for Sha256 {
    type Value = [u8; 32];
    const WANTED: &'static str = "`sha256:` and 64 hexadecimal digits";
    const PATTERN: &'static str = "^sha256:[0-9A-Fa-f]{64}$";
    fn parse(text: &str) -> Result<[u8; 32], NameError> {
        let why = |why: String| NameError { why };
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| why("does not begin with `sha256:`".into()))?;
        if let Some(c) = hex.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(why(format!(
                "`{}` is no hexadecimal digit",
                c.escape_debug()
            )));
        }
        let mut sha256 = [0; 32];
        if hex.len() != 2 * sha256.len() {
            return Err(why(format!("has {} hexadecimal digits", hex.len())));
        }
        for (byte, at) in sha256.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16)
                .map_err(|_| why("is not hexadecimal".into()))?;
        }
        Ok(sha256)
    }
    fn text(sha256: &[u8; 32]) -> String {
        let digits = sha256.iter().map(|byte| format!("{byte:02x}"));
        format!("sha256:{}", digits.collect::<String>())
    }
}

/// The form of [`State`].
pub(super) struct Kept;

const MEMORY: &str = "memory";

impl Form for Kept {
    type Value = State;
    const SHAPE: Shape = Shape::Text {
        wanted: "`memory` or the path of a folder",
        pattern: "",
    };
    fn read(value: &Value<'_>, _: &About) -> Read<State> {
        let text = value.parse("`memory` or the path of a folder", check_path)?;
        Ok(match text.as_str() {
            MEMORY => State::Memory,
            _ => State::Folder(value.notes.resolve(&text)),
        })
    }
    fn show(state: &State) -> Json {
        match state {
            State::Memory => MEMORY.into(),
            // Read again, a folder of that name must stay one.
            State::Folder(path) if path == Path::new(MEMORY) => format!("./{MEMORY}").into(),
            State::Folder(path) => path_text(path).into(),
        }
    }
}

const API_SOCKET: Key<As<Socket>> = Key::new(
    "socket",
    "Where it listens. Without it SPIFFE_ENDPOINT_SOCKET in the environment says where, and nothing else does.",
)
.optional()
.typical()
.example("\"unix:///run/spire/agent.sock\"");

impl Noun for WorkloadApi {
    const ELEMENT: &'static Element = &Element {
        name: "workloadApi",
        any_of: &[],
        doc: "The SPIFFE Workload API that issues and renews the identity.",
        keys: &[API_SOCKET.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let socket = value.fields(Self::ELEMENT)?.maybe(&API_SOCKET)?;
        // Which others are believed stands beside it.
        let federated = Vec::new();
        Ok(Self { socket, federated })
    }

    fn show(&self) -> Json {
        object(self.socket.as_ref().map(|socket| API_SOCKET.show(socket)))
    }
}

/// The form of a Workload API's socket (SPIFFE Workload Endpoint §4).
struct Socket;

impl Text for Socket {
    type Value = PathBuf;
    const WANTED: &'static str = "a unix socket such as `unix:///run/spire/agent.sock`";
    const PATTERN: &'static str = "^unix:/";
    fn parse(text: &str) -> Result<PathBuf, NameError> {
        if !text.starts_with("unix:") {
            return Err(NameError {
                why: "is no unix socket".into(),
            });
        }
        match Address::parse(text)? {
            Address::Unix(path) => Ok(path),
            Address::Tcp { .. } => Err(NameError {
                why: "is no unix socket".into(),
            }),
        }
    }
    fn text(path: &PathBuf) -> String {
        format!("unix://{}", path_text(path))
    }
}
