//! What the app may call.

use super::protocol::{Only, Settled};
use crate::describe::{Element, Word};
use crate::form::{As, Choice, Duration, List, Name, Noun, Reach, object};
use crate::key::{Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use crate::{Address, HostPattern, SpiffeId};
use serde_json::Value as Json;

/// Something that the app may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique.
    pub name: String,
    /// The authorities under which the app calls it; empty when only bound listeners reach it.
    pub hosts: Vec<HostPattern>,
    /// The only peer accepted behind that name.
    pub identity: SpiffeId,
    /// Where it is reached; never empty.
    pub endpoints: Vec<Address>,
    /// Until the response head; `None`: no bound.
    pub timeout: Option<std::time::Duration>,
}

pub(super) const NAME: Key<As<Name>> = Key::new(
    "name",
    "Unique; outbound listeners, metrics and logs call it so.",
)
.example("orders");
pub(super) const HOSTS: Key<List<As<HostPattern>>> = Key::new(
    "hosts",
    "The authorities under which the app calls it. With a port: only that authority; without: any port. Each belongs to one \
     service. The first is the TLS server name. Without hosts only listeners with `service` reach it.",
)
.optional().typical()
.example("[orders, orders.shop.svc.cluster.local]");
pub(super) const IDENTITY: Key<As<SpiffeId>> =
    Key::new("identity", "The only peer accepted behind that name.")
        .example("spiffe://shop.example/orders");
const ENDPOINTS: Key<List<As<Reach>>> =
    Key::new("endpoints", "Where its inbound listeners are reached.").example("[\"orders:15006\"]");
const TLS: Key<Choice<Only<Tls>>> = Key::new("tls", "How the connection is secured.").default(
    "mutual",
    "both sides prove who they are: that is what this is for",
);
const TIMEOUT: Key<Duration> = Key::new(
    "timeout",
    "How long the response head may take, counted from the request. Without it there is no bound: how long an answer takes \
     is the app's knowledge, and a bound guessed here would break long polls; what is slow before the answer is bounded by \
     `limits`.",
)
.optional()
.between("1ms", "24h")
.example("2s");

struct Tls;
impl Settled for Tls {
    const WORDS: &'static [Word] = &[
        Word {
            text: "mutual",
            doc: "mutual TLS with SPIFFE identities",
            built: true,
        },
        Word {
            text: "server",
            doc: "ordinary TLS with `sni` and `roots`",
            built: false,
        },
        Word {
            text: "none",
            doc: "plain",
            built: false,
        },
    ];
}

impl Noun for Service {
    const ELEMENT: &'static Element = &Element {
        name: "service",
        any_of: &[],
        doc: "Something that the app may call.",
        keys: &[
            NAME.about,
            HOSTS.about,
            IDENTITY.about,
            ENDPOINTS.about,
            TLS.about,
            TIMEOUT.about,
            not_yet(
                "totalTimeout",
                "30s",
                "How long the whole response may take.",
            ),
            not_yet(
                "retries",
                "{ attempts: 2, on: [connect-failure, reset, 503] }",
                "When a request is sent again.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, hosts, identity) = (
            fields.take(&NAME),
            fields.maybe(&HOSTS),
            fields.take(&IDENTITY),
        );
        let (endpoints, tls, timeout) = (
            fields.take(&ENDPOINTS),
            fields.take(&TLS),
            fields.maybe(&TIMEOUT),
        );
        let () = tls?;
        let hosts = hosts?.unwrap_or_default();
        Ok(Self {
            name: name?,
            hosts,
            identity: identity?,
            endpoints: endpoints?,
            timeout: timeout?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![NAME.show(&self.name)];
        if !self.hosts.is_empty() {
            pairs.push(HOSTS.show(&self.hosts));
        }
        pairs.extend([
            IDENTITY.show(&self.identity),
            ENDPOINTS.show(&self.endpoints),
            TLS.show(&()),
        ]);
        pairs.extend(self.timeout.as_ref().map(|timeout| TIMEOUT.show(timeout)));
        object(pairs)
    }
}
