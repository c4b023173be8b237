//! Listeners for calls from the network to the app.

use super::half_close::{CLIENT_HALF_CLOSE, HalfClose};
use super::protocol::Protocol;
use crate::describe::{Element, Word};
use crate::form::{As, Choice, Flag, List, Listen, Map, Name, Noun, OneOf, Reach, Text, object};
use crate::key::{Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use crate::{Address, NameError, PathPattern};
use serde_json::Value as Json;

/// A listener for calls from the network to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Unique among all listeners.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// Where the app listens.
    pub app: Address,
    /// What both speak.
    pub protocol: Protocol,
    /// Whether nothing is let through while the app is reached beyond loopback; the app is then on loopback or a unix socket.
    pub require_loopback: bool,
    /// Whether callers in clear text, who have no identity, are heard.
    pub mode: Mode,
    /// What becomes of a path that two readers could read differently.
    pub paths: Paths,
    /// Paths that anybody may GET in clear text, of an http listener: compared with the whole target, byte for byte.
    pub probes: Vec<String>,
    /// What it means that a client of HTTP/1 closes its writing half.
    pub half_close: HalfClose,
}

/// Who is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Who proves who it is.
    Strict,
    /// Callers in clear text too: policy decides, and knows them as [`crate::PLAINTEXT`].
    Permissive,
}

/// What becomes of a path that two readers could read differently. In none of them a spelling leads around a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// It is refused.
    Strict,
    /// It is resolved to its one canonical form, decided and forwarded so; where it has none it is refused.
    Canonical,
    /// It is forwarded as it came: denied where it may be what a rule denies, allowed where it must be what a rule allows.
    Raw,
}

impl Paths {
    /// Reads `strict`, `canonical` or `raw`.
    pub fn read(word: &str) -> Option<Self> {
        match word {
            "strict" => Some(Self::Strict),
            "canonical" => Some(Self::Canonical),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

impl Inbound {
    /// The port on which its app is reached over loopback, if it is: who else reaches it there can be looked for.
    pub fn watched_port(&self) -> Option<u16> {
        match &self.app {
            Address::Tcp { port, .. } if self.app.is_loopback() => Some(*port),
            Address::Tcp { .. } | Address::Unix(_) => None,
        }
    }
}

pub(super) const NAME: Key<As<Name>> = Key::new(
    "name",
    "Unique among all listeners; policy, metrics and logs call it so.",
)
.example("web");
pub(super) const LISTEN: Key<As<Listen>> = Key::new(
    "listen",
    "Where it listens; port 0 takes a free one and logs it. A unix socket has mode 0666: who calls proves who it is either way.",
)
.example("\"0.0.0.0:15006\"");
pub(super) const APP: Key<As<Reach>> = Key::new(
    "app",
    "Where the app listens; never one of our own listeners.",
)
.example("\"127.0.0.1:8080\"");
const PROTOCOL: Key<Choice<Protocol>> = Key::new("protocol", "What both speak.").example("http");
const MODE: Key<Choice<Mode>> =
    Key::new(
        "mode",
        "Whether a caller in clear text, without identity, is heard: for the time in which callers get their sidecars. Policy \
         decides on it, and only a rule whose `from` names `spiffe://plaintext.invalid/anyone` lets it pass; \
         `countersign_plaintext_total` and the log say who still comes so. On `tcp` a caller is known by its first byte: where \
         the server speaks first, one in clear text is not.",
    )
    .default(
        "strict",
        "whoever cannot say who it is gets no byte through",
    );
const PROBES: Key<List<Map<Probe>>> = Key::new(
    "probes",
    "Paths of the app that anybody may GET or HEAD on this listener in clear text, as kubelets do: the target must be exactly \
     this, without a query or a body, and only `host`, `user-agent` and `accept` are passed on. Policy is not asked, and \
     `limits.inFlight` is for others: 64 probes pass at a time, however much is in flight.",
)
.optional();

/// A path that may be called without an identity.
struct Probe(String);

const PROBE_PATH: Key<As<ProbePath>> =
    Key::new("path", "The whole target of the request.").example("/healthz");

impl Noun for Probe {
    const ELEMENT: &'static Element = &Element {
        name: "probe",
        any_of: &[],
        doc: "A path that may be called without an identity.",
        keys: &[PROBE_PATH.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&PROBE_PATH).map(Self)
    }

    fn show(&self) -> Json {
        object([PROBE_PATH.show(&self.0)])
    }
}

/// A canonical path that stands for itself.
struct ProbePath;

impl Text for ProbePath {
    type Value = String;
    const WANTED: &'static str = "a path such as `/healthz`";
    const PATTERN: &'static str = "^/";
    fn parse(text: &str) -> Result<String, NameError> {
        if text.contains(['{', '}', '*']) {
            return Err(NameError {
                why: "is a pattern: whoever has no identity calls one path".into(),
            });
        }
        PathPattern::parse(text).map(|path| path.as_str().to_owned())
    }
    fn text(path: &String) -> String {
        path.clone()
    }
}
const PATHS: Key<Choice<Paths>> = Key::new(
    "paths",
    "What happens to a path that two readers could read differently: `.` and `..` segments, `//`, encoded slashes, `\\`, `;`, \
     controls, `%25`, what is not UTF-8 or not allowed in a path. No choice lets a spelling lead around a rule; what each does \
     with which path is told in docs/reference/paths.md.",
)
.default(
    "strict",
    "a path that means one thing to the policy and another to the app is how policies are walked around",
);

const REQUIRE_LOOPBACK: Key<Flag> = Key::new(
    "requireLoopback",
    "Whether the app must be on loopback or a unix socket and nowhere else. While something of this network namespace listens \
     on the app's port beyond loopback, or that cannot be told, nothing is let through and `/started` says why. Without it, \
     that is a warning and `countersign_app_exposed`.",
)
.default(
    "false",
    "where platforms and firewalls close the port already, an app need not be changed to get a sidecar",
);

impl OneOf for Mode {
    type Value = Mode;
    const WORDS: &'static [Word] = &[
        Word {
            text: "strict",
            doc: "mutual TLS only",
            built: true,
        },
        Word {
            text: "permissive",
            doc: "plain connections too",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Mode> {
        match word {
            "strict" => Some(Mode::Strict),
            "permissive" => Some(Mode::Permissive),
            _ => None,
        }
    }
    fn word(mode: &Mode) -> &'static str {
        match mode {
            Mode::Strict => "strict",
            Mode::Permissive => "permissive",
        }
    }
}

impl OneOf for Paths {
    type Value = Paths;
    const WORDS: &'static [Word] = &[
        Word {
            text: "strict",
            doc: "refuse it with 400",
            built: true,
        },
        Word {
            text: "canonical",
            doc: "decide on the form that it resolves to, and forward that form; 400 where it has none",
            built: true,
        },
        Word {
            text: "raw",
            doc: "forward it as it came, if no reading of it is denied and all are allowed",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Paths> {
        Paths::read(word)
    }
    fn word(paths: &Paths) -> &'static str {
        match paths {
            Paths::Strict => "strict",
            Paths::Canonical => "canonical",
            Paths::Raw => "raw",
        }
    }
}

impl Noun for Inbound {
    const ELEMENT: &'static Element = &Element {
        name: "inbound",
        any_of: &[],
        doc: "A listener for calls from the network to the app: mutual TLS outside, plain to the app, policy between.",
        keys: &[
            NAME.about,
            LISTEN.about,
            APP.about,
            PROTOCOL.about,
            MODE.about,
            PATHS.about,
            REQUIRE_LOOPBACK.about,
            PROBES.about,
            CLIENT_HALF_CLOSE.about,
            not_yet(
                "xfcc",
                "set",
                "What `x-forwarded-client-cert` tells the app; today it is always set anew.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, listen, app) = (fields.take(&NAME), fields.take(&LISTEN), fields.take(&APP));
        let (protocol, mode, mut paths) = (
            fields.take(&PROTOCOL),
            fields.take(&MODE),
            fields.take(&PATHS),
        );
        let mut require_loopback = fields.take(&REQUIRE_LOOPBACK);
        let half_close = fields.take(&CLIENT_HALF_CLOSE);
        let half_close = HalfClose::of(value, &protocol, half_close);
        if let (Ok(true), Ok(app)) = (&require_loopback, &app)
            && !app.is_loopback()
            && let Some(written) = value.get("app")
        {
            let help =
                "wanted an app on `127.0.0.1`, `[::1]` or a unix socket, or no `requireLoopback`";
            require_loopback = Err(written.note(format!("`{app}` is not loopback"), help));
        }
        let mut probes = fields.maybe(&PROBES);
        if let (Ok(Protocol::Tcp), Some(written)) = (&protocol, value.get("probes")) {
            let help = "bytes have no paths: remove it";
            probes = Err(written.note("`probes` at a tcp listener", help));
        }
        if let (Ok(Protocol::Tcp), Ok(Paths::Canonical | Paths::Raw), Some(written)) =
            (&protocol, &paths, value.get("paths"))
        {
            let help = "bytes have no paths: remove it";
            paths = Err(written.note("`paths` at a tcp listener", help));
        }
        Ok(Self {
            name: name?,
            listen: listen?,
            app: app?,
            protocol: protocol?,
            require_loopback: require_loopback?,
            mode: mode?,
            paths: paths?,
            probes: probes?
                .unwrap_or_default()
                .into_iter()
                .map(|probe| probe.0)
                .collect(),
            half_close: half_close?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![
            NAME.show(&self.name),
            LISTEN.show(&self.listen),
            APP.show(&self.app),
            PROTOCOL.show(&self.protocol),
            MODE.show(&self.mode),
            PATHS.show(&self.paths),
            REQUIRE_LOOPBACK.show(&self.require_loopback),
        ];
        if !self.probes.is_empty() {
            let probes = self.probes.iter().cloned().map(Probe).collect();
            pairs.push(PROBES.show(&probes));
        }
        pairs.extend(self.half_close.shown(self.protocol));
        object(pairs)
    }
}
