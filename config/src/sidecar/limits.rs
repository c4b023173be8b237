//! Bounds on what a stranger or a slow peer can cost.

use crate::describe::Element;
use crate::form::{Count, Duration, Noun, Size, object};
use crate::key::{Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;

/// Bounds on what a stranger or a slow peer can cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request or response head.
    pub header_bytes: usize,
    /// Number of header fields.
    pub headers: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake: std::time::Duration,
    /// From the first byte of a request head to its last (HTTP/1).
    pub head: std::time::Duration,
    /// From the first SYN to a connected socket.
    pub connect: std::time::Duration,
    /// An HTTP connection without a request ends after this.
    pub idle: std::time::Duration,
    /// What is open on a connection runs on this long after a certificate on it has ended; zero: no longer than that.
    pub after_expiry: std::time::Duration,
}

const HEADER: Key<Size> = Key::new(
    "header",
    "Size of a request or response head, all fields together.",
)
.between("8KiB", "1MiB")
.default(
    "64KiB",
    "twice what common servers take, so that the app's own limit speaks first",
);
const HEADERS: Key<Count> = Key::new("headers", "Number of header fields.")
    .between("16", "1000")
    .default("200", "twice what common servers take");
const HANDSHAKE: Key<Duration> = Key::new("handshake", "From accept to the end of the TLS handshake.")
    .between("100ms", "5m")
    .default("10s", "two round trips and a lost packet take three seconds; who needs more holds a socket for nothing");
const HEAD: Key<Duration> = Key::new("head", "From the first byte of a request head to its last.")
    .between("100ms", "5m")
    .default(
        "10s",
        "a head comes in one packet or two; drop by drop it is an attack (slowloris)",
    );
const CONNECT: Key<Duration> = Key::new(
    "connect",
    "Until a connection to an endpoint or to the app stands.",
)
.between("10ms", "5m")
.default(
    "1s",
    "inside a data centre a connection takes a millisecond, and one lost SYN a second",
);
const IDLE: Key<Duration> = Key::new("idle", "How long an HTTP connection may wait without a request.")
    .between("1s", "24h")
    .default("75s", "longer than the minute that most clients and load balancers keep theirs, so that they close first");

const AFTER_EXPIRY: Key<Duration> = Key::new(
    "afterExpiry",
    "How long requests, streams and connections of bytes that are open run on after a certificate on their connection has \
     ended. New ones never start on it; `0s` ends them with it.",
)
.between("0s", "30d")
.default(
    "24h",
    "leaves end every hour, and a download or a subscription that was allowed to begin is no less allowed then; revocation \
     is what ends things",
);

impl Noun for Limits {
    const ELEMENT: &'static Element = &Element {
        name: "limits",
        any_of: &[],
        doc: "Bounds on what a stranger or a slow peer can cost.",
        keys: &[
            HEADER.about,
            HEADERS.about,
            HANDSHAKE.about,
            HEAD.about,
            CONNECT.about,
            IDLE.about,
            AFTER_EXPIRY.about,
            not_yet("streamIdle", "5m", "How long a stream may be silent."),
            not_yet("connections", "10000", "Connections at once."),
            not_yet("inFlight", "1000", "Requests at once."),
            not_yet("streams", "250", "Streams of an HTTP/2 connection at once."),
            not_yet("resets", "100/s", "Streams that a client may reset."),
            not_yet(
                "drainDelay",
                "2s",
                "How long new requests are still taken after the drain began.",
            ),
            not_yet(
                "drainDeadline",
                "30s",
                "How long open requests may take to end.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (header_bytes, headers) = (fields.take(&HEADER), fields.take(&HEADERS));
        let (handshake, head) = (fields.take(&HANDSHAKE), fields.take(&HEAD));
        let (connect, idle) = (fields.take(&CONNECT), fields.take(&IDLE));
        let after_expiry = fields.take(&AFTER_EXPIRY);
        Ok(Self {
            header_bytes: header_bytes?,
            headers: headers?,
            handshake: handshake?,
            head: head?,
            connect: connect?,
            idle: idle?,
            after_expiry: after_expiry?,
        })
    }

    fn show(&self) -> Json {
        object([
            HEADER.show(&self.header_bytes),
            HEADERS.show(&self.headers),
            HANDSHAKE.show(&self.handshake),
            HEAD.show(&self.head),
            CONNECT.show(&self.connect),
            IDLE.show(&self.idle),
            AFTER_EXPIRY.show(&self.after_expiry),
        ])
    }
}
