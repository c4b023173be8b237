//! What the app may call.

use super::retries::Retries;
use super::tls::{How, IDENTITY, Tls, Written, agreed};
use crate::describe::Element;
use crate::form::{As, Duration, List, Map, Name, Noun, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use crate::{Endpoint, HostPattern};
use serde_json::Value as Json;

/// Something that the app may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique.
    pub name: String,
    /// The authorities under which the app calls it; empty when only bound listeners reach it.
    pub hosts: Vec<HostPattern>,
    /// Where it is reached; never empty.
    pub endpoints: Vec<Endpoint>,
    /// How the connection to it is secured, and who must be at its other end.
    pub tls: Tls,
    /// Until the response head; `None`: no bound.
    pub timeout: Option<std::time::Duration>,
    /// Until the last byte of the answer; `None`: no bound.
    pub total_timeout: Option<std::time::Duration>,
    /// When a request is sent again; `None`: only what was certainly not looked at.
    pub retries: Option<Retries>,
}

pub(super) const NAME: Key<As<Name>> = Key::new(
    "name",
    "Unique; outbound listeners, metrics and logs call it so.",
)
.example("orders");
pub(super) const HOSTS: Key<List<As<HostPattern>>> = Key::new(
    "hosts",
    "The authorities under which the app calls it. With a port: only that authority; without: any port. Each belongs to one \
     service. The first is the TLS server name of `tls: mutual`. Without hosts only listeners with `service` reach it. CONNECT on an `http` \
     listener leads to services that an outbound `tcp` listener names.",
)
.optional().typical()
.example("[orders, orders.shop.svc.cluster.local]");
const ENDPOINTS: Key<List<As<Endpoint>>> = Key::new(
    "endpoints",
    "Where its inbound listeners are reached. A name stands for every address that it resolves to; `srv:NAME` for the hosts \
     and ports of its SRV records, by priority and weight (RFC 2782). No name leads to loopback, link-local \
     or unspecified addresses or to our own listeners; an endpoint that is written so does, `localhost` included, except to \
     our own outbound listeners and pages.",
)
.example("[\"orders:15006\"]");
const TLS: Key<How> = Key::new(
    "tls",
    "How the connection is secured. What is not mutual is for what is not in the mesh, never a way out when it fails.",
)
.default(
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

const TOTAL_TIMEOUT: Key<Duration> = Key::new(
    "totalTimeout",
    "How long the whole answer may take, its last byte and all retries included, counted from the request. What is late is \
     answered 504, or cut where its answer has begun. Without it there is no bound: downloads, streams and subscriptions are \
     long by nature.",
)
.optional()
.between("1ms", "24h")
.example("30s");
const RETRIES: Key<Map<Retries>> = Key::new(
    "retries",
    "When a request is sent again. Without it only what certainly nobody looked at is: a kept connection was closed before a \
     byte went, or the server says so. A request that is itself a retry (it carries `x-countersign-attempt`) is never sent \
     again, so that retries do not multiply along a chain; `Retry-After` and `grpc-retry-pushback-ms` are obeyed.",
)
.optional();

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
            TOTAL_TIMEOUT.about,
            RETRIES.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, hosts, identity) = (
            fields.take(&NAME),
            fields.maybe(&HOSTS),
            fields.maybe(&IDENTITY),
        );
        let (endpoints, tls, timeout) = (
            fields.take(&ENDPOINTS),
            fields.take(&TLS),
            fields.maybe(&TIMEOUT),
        );
        let (total_timeout, retries) = (fields.maybe(&TOTAL_TIMEOUT), fields.maybe(&RETRIES));
        let tls = agreed(value, &fields, tls, identity, &endpoints);
        let hosts = hosts?.unwrap_or_default();
        Ok(Self {
            name: name?,
            hosts,
            endpoints: endpoints?,
            tls: tls?,
            timeout: timeout?,
            total_timeout: total_timeout?,
            retries: retries?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![NAME.show(&self.name)];
        if !self.hosts.is_empty() {
            pairs.push(HOSTS.show(&self.hosts));
        }
        pairs.extend(self.tls.identity().map(|identity| IDENTITY.show(identity)));
        pairs.extend([
            ENDPOINTS.show(&self.endpoints),
            TLS.show(&Written::of(&self.tls)),
        ]);
        pairs.extend(self.timeout.as_ref().map(|timeout| TIMEOUT.show(timeout)));
        let total_timeout = self.total_timeout.as_ref();
        pairs.extend(total_timeout.map(|timeout| TOTAL_TIMEOUT.show(timeout)));
        pairs.extend(self.retries.as_ref().map(|retries| RETRIES.show(retries)));
        object(pairs)
    }
}
