//! Bounds on what a stranger or a slow peer can cost.

use crate::describe::Element;
use crate::form::{As, Count, Duration, Map, Noun, Size, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use crate::unit::Rate;
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
    /// Bytes of a request's body that are kept to be sent again until it is answered.
    pub retry_buffer_bytes: usize,
    /// Connections at once, of all listeners that carry traffic.
    pub connections: usize,
    /// Requests at once, of each direction.
    pub in_flight: usize,
    /// Streams of an HTTP/2 connection at once.
    pub streams: usize,
    /// What one identity may hold of these.
    pub per_identity: PerIdentity,
    /// When the process ends, new work is still taken for so long.
    pub drain_delay: std::time::Duration,
    /// When the process ends, what is open after this is cut.
    pub drain_deadline: std::time::Duration,
    /// Streams that a client of HTTP/2 may reset.
    pub resets: Rate,
    /// Frames of HTTP/2 that carry nothing.
    pub pings: Rate,
    /// How long nothing may move on a request, in neither direction.
    pub stream_idle: std::time::Duration,
    /// From a connection to the first byte on it.
    pub first_byte: std::time::Duration,
    /// How old an HTTP connection gets; `None`: as old as its certificates.
    pub connection_age: Option<std::time::Duration>,
    /// TLS handshakes under way at once.
    pub handshakes: usize,
    /// Resident bytes of this process; `None`: as the cgroup has it.
    pub memory: Option<usize>,
}

/// What one identity may hold; where nothing is said, as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerIdentity {
    /// Connections at once.
    pub connections: Option<usize>,
    /// Requests at once.
    pub in_flight: Option<usize>,
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

const RETRY_BUFFER: Key<Size> = Key::new(
    "retryBuffer",
    "How much of a request's body is kept to be sent again, until an answer comes: where the service has `retries`, and where its \
     server says that the request did not come to the app. A request with a larger body is sent once. Each request in flight may \
     hold as much.",
)
.between("0", "16MiB")
.default(
    "64KiB",
    "calls between services are smaller, uploads are larger and are not worth repeating; a thousand in flight hold 64 MiB",
);
const CONNECTIONS: Key<Count> = Key::new(
    "connections",
    "Connections at once, of all listeners that carry traffic. When all are taken, who holds the most gives up its oldest, after \
     what is in flight on it, to who holds fewer; nobody else is let in.",
)
.between("10", "1000000")
.default(
    "10000",
    "some ten callers with a thousand connections each; a quiet one costs some 16 KiB, so all of them some 160 MiB",
);
const IN_FLIGHT: Key<Count> = Key::new(
    "inFlight",
    "Requests at once, calls to the app and calls from the app each for themselves, from the head to the last byte of the answer. \
     More are refused with 503; the last eighth is only for callers that have fewer than their share.",
)
.between("1", "1000000")
.default(
    "1000",
    "at 100 ms a request these are 10000 a second, which is more than an app behind one sidecar answers: beyond it they only queue",
);
const STREAMS: Key<Count> = Key::new("streams", "Streams of an HTTP/2 connection at once.")
    .between("1", "100000")
    .default(
        "250",
        "twice what most servers grant, so that one connection carries a busy caller; each costs memory before it can be refused",
    );
const PER_IDENTITY: Key<Map<PerIdentity>> = Key::new(
    "perIdentity",
    "What one caller may hold of `connections` and `inFlight`, whatever the others leave. Without these who calls alone may have \
     all, and where room runs out it goes to who holds less.",
)
.default("{}", "");

const RESETS: Key<As<Rate>> = Key::new(
    "resets",
    "Streams that an HTTP/2 client may reset beyond those that were answered; as many may come at once. With more its connection \
     ends.",
)
.default(
    "100/s",
    "who gets answers may give up as many calls again; a hundred a second given up with none answered is an attack (rapid reset), \
     or a client whose every call times out and whom a new connection costs nothing",
);
const PINGS: Key<As<Rate>> = Key::new(
    "pings",
    "HTTP/2 frames that carry nothing (pings, settings, priorities, windows, empty data) beyond four for each frame with a head or \
     data, of either side; as many may come at once. With more the connection ends.",
)
.default(
    "100/s",
    "gRPC keeps alive with one in ten seconds and measures bandwidth with one for some of its data",
);
const STREAM_IDLE: Key<Duration> = Key::new(
    "streamIdle",
    "How long nothing may move on a request, in neither direction: a body that its sender does not go on with, an answer that its \
     reader does not take or that does not come. Connections of bytes and WebSockets may be silent for longer.",
)
.between("1s", "24h")
.default(
    "5m",
    "longer than load balancers wait, which is a minute; a subscription says something within it or sends pings of its own",
);
const FIRST_BYTE: Key<Duration> = Key::new(
    "firstByte",
    "How long an HTTP connection may wait for its first byte, counted from the end of the TLS handshake.",
)
.between("100ms", "24h")
.default(
    "30s",
    "who connects ahead of need does so for a moment; a crowd that connects and says nothing takes the places of others",
);
const CONNECTION_AGE: Key<Duration> = Key::new(
    "connectionAge",
    "How old an HTTP connection gets before it is asked to end after what is in flight, so that long-lived clients find new \
     endpoints: between nine tenths of this and all of it, so that those who came together do not leave together. Without it \
     inbound connections live as long as the certificates on them, an hour by default, and outbound ones without end.",
)
.between("1s", "30d")
.optional()
.example("30m");
const HANDSHAKES: Key<Count> = Key::new(
    "handshakes",
    "TLS handshakes under way at once, beside `connections`. When all are taken, the address (of IPv6, the network of 64 bits) \
     with the most gives up its oldest to one with fewer; nobody else is let in.",
)
.between("10", "1000000")
.default(
    "1000",
    "two cores make as many in half a second; who shakes hands at that rate for longer is a flood",
);

const MEMORY: Key<Size> = Key::new(
    "memory",
    "Resident memory of this process. From seven eighths of it on whoever holds the most connections and requests gets no more \
     (requests: 503) and is asked for its oldest connections, from fifteen sixteenths on nobody gets more; probes and admin pages \
     are always answered. Without it: three quarters of what the cgroup of this process allows, because socket buffers count \
     there too; where that allows everything, all there is.",
)
.between("16MiB", "1024GiB")
.optional()
.example("512MiB");

const IDENTITY_CONNECTIONS: Key<Count> =
    Key::new("connections", "Connections of one identity at once.")
        .between("1", "1000000")
        .optional()
        .example("5000");
const IDENTITY_IN_FLIGHT: Key<Count> = Key::new("inFlight", "Requests of one identity at once.")
    .between("1", "1000000")
    .optional()
    .example("500");

impl Noun for PerIdentity {
    const ELEMENT: &'static Element = &Element {
        name: "perIdentity",
        any_of: &[],
        doc: "What one caller may hold, whatever the others leave.",
        keys: &[IDENTITY_CONNECTIONS.about, IDENTITY_IN_FLIGHT.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (connections, in_flight) = (
            fields.maybe(&IDENTITY_CONNECTIONS),
            fields.maybe(&IDENTITY_IN_FLIGHT),
        );
        Ok(Self {
            connections: connections?,
            in_flight: in_flight?,
        })
    }

    fn show(&self) -> Json {
        let connections = self.connections.as_ref();
        let in_flight = self.in_flight.as_ref();
        object(
            connections
                .map(|count| IDENTITY_CONNECTIONS.show(count))
                .into_iter()
                .chain(in_flight.map(|count| IDENTITY_IN_FLIGHT.show(count))),
        )
    }
}
const DRAIN_DELAY: Key<Duration> = Key::new(
    "drainDelay",
    "When the process is asked to end it is not ready at once, and takes what comes for so long, though never beyond \
     `drainDeadline`.",
)
.between("0s", "10m")
.default(
    "2s",
    "whoever sends traffic here goes by probes and lists of endpoints, which lag by a second or two",
);
const DRAIN_DEADLINE: Key<Duration> = Key::new(
    "drainDeadline",
    "From the wish to end until what is still open is cut, the delay included. Whoever kills the process (`docker stop -t`, \
     `terminationGracePeriodSeconds`, `TimeoutStopSec`) must wait longer.",
)
.between("0s", "24h")
.default(
    "30s",
    "far longer than a request takes; what is open then is a stream, and those do not end by themselves",
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
            RETRY_BUFFER.about,
            CONNECTIONS.about,
            IN_FLIGHT.about,
            STREAMS.about,
            PER_IDENTITY.about,
            DRAIN_DELAY.about,
            DRAIN_DEADLINE.about,
            RESETS.about,
            PINGS.about,
            STREAM_IDLE.about,
            FIRST_BYTE.about,
            CONNECTION_AGE.about,
            HANDSHAKES.about,
            MEMORY.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (header_bytes, headers) = (fields.take(&HEADER), fields.take(&HEADERS));
        let (handshake, head) = (fields.take(&HANDSHAKE), fields.take(&HEAD));
        let (connect, idle) = (fields.take(&CONNECT), fields.take(&IDLE));
        let after_expiry = fields.take(&AFTER_EXPIRY);
        let retry_buffer = fields.take(&RETRY_BUFFER);
        let (connections, in_flight) = (fields.take(&CONNECTIONS), fields.take(&IN_FLIGHT));
        let (streams, per_identity) = (fields.take(&STREAMS), fields.take(&PER_IDENTITY));
        let drain_delay = fields.take(&DRAIN_DELAY);
        let drain_deadline = fields.take(&DRAIN_DEADLINE);
        let (resets, pings) = (fields.take(&RESETS), fields.take(&PINGS));
        let (stream_idle, first_byte) = (fields.take(&STREAM_IDLE), fields.take(&FIRST_BYTE));
        let connection_age = fields.maybe(&CONNECTION_AGE);
        let (handshakes, memory) = (fields.take(&HANDSHAKES), fields.maybe(&MEMORY));
        Ok(Self {
            header_bytes: header_bytes?,
            headers: headers?,
            handshake: handshake?,
            head: head?,
            connect: connect?,
            idle: idle?,
            after_expiry: after_expiry?,
            retry_buffer_bytes: retry_buffer?,
            connections: connections?,
            in_flight: in_flight?,
            streams: streams?,
            per_identity: per_identity?,
            drain_delay: drain_delay?,
            drain_deadline: drain_deadline?,
            resets: resets?,
            pings: pings?,
            stream_idle: stream_idle?,
            first_byte: first_byte?,
            connection_age: connection_age?,
            handshakes: handshakes?,
            memory: memory?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![
            HEADER.show(&self.header_bytes),
            HEADERS.show(&self.headers),
            HANDSHAKE.show(&self.handshake),
            HEAD.show(&self.head),
            CONNECT.show(&self.connect),
            IDLE.show(&self.idle),
            AFTER_EXPIRY.show(&self.after_expiry),
            RETRY_BUFFER.show(&self.retry_buffer_bytes),
            CONNECTIONS.show(&self.connections),
            IN_FLIGHT.show(&self.in_flight),
            STREAMS.show(&self.streams),
            PER_IDENTITY.show(&self.per_identity),
            DRAIN_DELAY.show(&self.drain_delay),
            DRAIN_DEADLINE.show(&self.drain_deadline),
            RESETS.show(&self.resets),
            PINGS.show(&self.pings),
            STREAM_IDLE.show(&self.stream_idle),
            FIRST_BYTE.show(&self.first_byte),
            HANDSHAKES.show(&self.handshakes),
        ];
        let age = self.connection_age.as_ref();
        pairs.extend(age.map(|age| CONNECTION_AGE.show(age)));
        pairs.extend(self.memory.as_ref().map(|memory| MEMORY.show(memory)));
        object(pairs)
    }
}
