//! Every metric and every field of the access log, with its meaning: the one table.
//!
//! The registry is built from these rows, and `docs/reference/metrics.md` and `docs/reference/access-log.md` are printed
//! from them ([`metrics_reference`], [`access_log_reference`]), so that neither can say something else.

/// How a metric behaves over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
    /// Constant text in labels; its name ends in `_info` and its value is 1.
    Info,
}

impl Kind {
    /// The word that the exposition format uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// As Prometheus shows it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// One sentence without its full stop, which the exposition adds.
    pub help: &'static str,
}

impl Metric {
    /// The name of its family: without the suffix that the exposition format adds by kind.
    pub fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

/// Requests answered.
pub static REQUESTS: Metric = metric(
    "countersign_requests_total",
    Kind::Counter,
    &[
        "direction",
        "listener",
        "service",
        "peer",
        "method",
        "code",
        "verdict",
    ],
    "Requests answered, and on tcp listeners connections ended, by who asked whom and what came of it",
);
/// How long they took.
pub static REQUEST_DURATION: Metric = metric(
    "countersign_request_duration_seconds",
    Kind::Histogram,
    &["direction", "listener", "service", "verdict"],
    "From the request's head to the end of its answer; without peer, method and code, which would multiply its buckets",
);
/// Requests not yet answered.
pub static REQUESTS_IN_FLIGHT: Metric = metric(
    "countersign_requests_in_flight",
    Kind::Gauge,
    &["direction", "listener"],
    "Requests whose answer has not ended yet",
);
/// Requests that policy denied.
pub static DENIALS: Metric = metric(
    "countersign_denials_total",
    Kind::Counter,
    &["rule", "reason"],
    "Requests and connections that policy denied, by the rule that denied or came nearest",
);
/// TLS handshakes.
pub static HANDSHAKES: Metric = metric(
    "countersign_handshakes_total",
    Kind::Counter,
    &["side", "result", "group"],
    "TLS handshakes by side (server, client), result (ok, or why it failed) and key exchange group",
);
/// Requests that were sent again, or would have been.
pub static RETRIES: Metric = metric(
    "countersign_retries_total",
    Kind::Counter,
    &["service", "on", "result"],
    "Requests sent again by what came of them before (connect-failure, reset, 503, declined: not looked at by its server; no-app: the endpoint had none, and another was asked, which costs no budget), and those that the budget left nothing for (result: sent, no_budget)",
);
/// Open connections.
pub static CONNECTIONS: Metric = metric(
    "countersign_connections",
    Kind::Gauge,
    &["direction", "listener"],
    "Connections open at a listener",
);
/// What is no request, or breaks off.
pub static REFUSED_HEADS: Metric = metric(
    "countersign_refused_heads_total",
    Kind::Counter,
    &["reason"],
    "Requests refused for what their bytes are: heads that are malformed, ambiguous or too large, and malformed bodies",
);
/// What a limit refused or ended.
pub static LIMITED: Metric = metric(
    "countersign_limited_total",
    Kind::Counter,
    &["direction", "listener", "reason"],
    "Connections and requests that one of `limits` refused or ended, by why",
);
/// Endpoints that others come before.
pub static EJECTIONS: Metric = metric(
    "countersign_ejections_total",
    Kind::Counter,
    &["service", "reason"],
    "Endpoints of a service left alone for a while because a dial failed, by why it did; one that is the last left is still tried",
);
/// What secures the connections to services.
pub static UPSTREAM_CONNECTIONS: Metric = metric(
    "countersign_upstream_connections_total",
    Kind::Counter,
    &["service", "tls"],
    "Connections made to services, by what secures them (mutual, server: ordinary TLS to what is outside the mesh, none: clear text)",
);
/// Time left of the certificates in use.
pub static EXPIRY: Metric = metric(
    "countersign_expiry_seconds",
    Kind::Gauge,
    &["what"],
    "Seconds until the certificate in use ends (leaf, issuer, root); negative once it has",
);
/// Whether the CA answers.
pub static CA_REACHABLE: Metric = metric(
    "countersign_ca_reachable",
    Kind::Gauge,
    &[],
    "Whether who issues the identity answered when last asked (1 or 0); not there where nobody is asked",
);
/// How far the clocks are apart.
pub static CLOCK_SKEW: Metric = metric(
    "countersign_clock_skew_seconds",
    Kind::Gauge,
    &[],
    "How far this machine's clock is ahead of the CA's, as last measured; negative where it is behind",
);
/// Apps that are reached past their sidecar.
pub static APP_EXPOSED: Metric = metric(
    "countersign_app_exposed",
    Kind::Gauge,
    &["listener"],
    "Whether something listens on the app's port beyond loopback (1 or 0), where it is reached past the sidecar; not there \
     where that cannot be told",
);
/// Who still speaks clear text.
pub static PLAINTEXT: Metric = metric(
    "countersign_plaintext_total",
    Kind::Counter,
    &["listener", "source"],
    "Connections in clear text that were heard (mode: permissive), by the address or user they came from",
);
/// Which configuration is in force.
pub static CONFIG_GENERATION: Metric = metric(
    "countersign_config_generation",
    Kind::Gauge,
    &[],
    "Number of the snapshot in force; grows by one with every reload that was taken",
);
/// What telemetry lost.
pub static DROPPED: Metric = metric(
    "countersign_dropped_total",
    Kind::Counter,
    &["what"],
    "What was to be reported and could not be, such as access_log lines while the disk was full",
);
/// What runs.
pub static BUILD: Metric = metric(
    "countersign_build_info",
    Kind::Info,
    &["version"],
    "The version that runs",
);
/// Processor time.
pub static PROCESS_CPU: Metric = metric(
    "process_cpu_seconds_total",
    Kind::Counter,
    &[],
    "Processor time of the process in user and system mode, in seconds",
);
/// Memory.
pub static PROCESS_MEMORY: Metric = metric(
    "process_resident_memory_bytes",
    Kind::Gauge,
    &[],
    "Memory of the process that is resident, in bytes",
);
/// Open file descriptors.
pub static PROCESS_OPEN_FDS: Metric = metric(
    "process_open_fds",
    Kind::Gauge,
    &[],
    "File descriptors that the process has open",
);
/// How many it may open.
pub static PROCESS_MAX_FDS: Metric = metric(
    "process_max_fds",
    Kind::Gauge,
    &[],
    "File descriptors that the process may have open",
);
/// When it started.
pub static PROCESS_START: Metric = metric(
    "process_start_time_seconds",
    Kind::Gauge,
    &[],
    "When the process started, in seconds since 1970",
);

/// Every metric of a sidecar, in the order of the reference.
pub static SIDECAR: &[&Metric] = &[
    &REQUESTS,
    &REQUEST_DURATION,
    &REQUESTS_IN_FLIGHT,
    &DENIALS,
    &HANDSHAKES,
    &RETRIES,
    &CONNECTIONS,
    &REFUSED_HEADS,
    &LIMITED,
    &EJECTIONS,
    &UPSTREAM_CONNECTIONS,
    &EXPIRY,
    &CA_REACHABLE,
    &CLOCK_SKEW,
    &APP_EXPOSED,
    &PLAINTEXT,
    &CONFIG_GENERATION,
    &DROPPED,
    &BUILD,
    &PROCESS_CPU,
    &PROCESS_MEMORY,
    &PROCESS_OPEN_FDS,
    &PROCESS_MAX_FDS,
    &PROCESS_START,
];

/// Calls for certificates at a CA.
pub static CA_ISSUED: Metric = metric(
    "countersign_ca_issued_total",
    Kind::Counter,
    &["attestor", "result"],
    "Calls for a certificate by how the caller showed who it is and what came of it (ok, or why it was refused)",
);
/// How long those took that got one.
pub static CA_ISSUE_DURATION: Metric = metric(
    "countersign_ca_issue_duration_seconds",
    Kind::Histogram,
    &[],
    "From a call for a certificate to its place in the record, of those that got one",
);
/// Time left of what the CA itself stands on.
pub static CA_EXPIRY: Metric = metric(
    "countersign_ca_expiry_seconds",
    Kind::Gauge,
    &["what"],
    "Seconds until the CA's own certificate (leaf), its issuer and its root end; negative once it has",
);
/// Open streams.
pub static CA_STREAMS: Metric = metric(
    "countersign_ca_streams",
    Kind::Gauge,
    &[],
    "Open streams on which clients hear of changes",
);

/// Every metric of a CA, in the order of the reference.
pub static CA: &[&Metric] = &[
    &HANDSHAKES,
    &CA_ISSUED,
    &CA_ISSUE_DURATION,
    &CA_EXPIRY,
    &CA_STREAMS,
    &BUILD,
    &PROCESS_CPU,
    &PROCESS_MEMORY,
    &PROCESS_OPEN_FDS,
    &PROCESS_MAX_FDS,
    &PROCESS_START,
];

/// The media type of the metrics page.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The label value for whatever came after a label was full.
pub const OTHER: &str = "other";
/// The label value for methods outside RFC 9110 and PATCH.
pub const METHOD_OTHER: &str = "_OTHER";
/// What a lost line of the access log counts as in [`DROPPED`].
pub const DROPPED_ACCESS_LOG: &str = "access_log";

/// One field of the access log: its name and its meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The key in the JSON object.
    pub name: &'static str,
    /// Its JSON type.
    pub json: &'static str,
    /// One sentence.
    pub help: &'static str,
}

const fn text(name: &'static str, help: &'static str) -> Field {
    Field {
        name,
        json: "string",
        help,
    }
}
const fn number(name: &'static str, help: &'static str) -> Field {
    Field {
        name,
        json: "number",
        help,
    }
}

/// Every field of the access log in the order in which a line has them.
pub static ACCESS_LOG: &[Field] = &[
    text(
        "time",
        "When the answer ended: RFC 3339 in UTC with microseconds.",
    ),
    text(
        "direction",
        "`inbound` (to the app) or `outbound` (from the app).",
    ),
    text("listener", "The listener's name in the configuration."),
    text("local_id", "The SPIFFE ID of this sidecar."),
    text("peer_id", "The verified SPIFFE ID of the other side."),
    text("method", "The request's method."),
    text("path", "The request's path as it came, without its query."),
    text("host", "The request's Host or :authority."),
    text(
        "service",
        "The service of the configuration that was called.",
    ),
    text("endpoint", "The address that the request was sent to."),
    number("status", "The status that the caller got."),
    text(
        "verdict",
        "`allowed` or `denied`; absent where policy is not asked.",
    ),
    text(
        "rule",
        "The rule that allowed or denied, or that came nearest.",
    ),
    text("reason", "Why: a label that never changes."),
    text(
        "decision_id",
        "The decision's id, as in the answer's `countersign-decision-id`.",
    ),
    number(
        "duration_ms",
        "From the request's head to the end of the answer, in milliseconds.",
    ),
    number(
        "upstream_ms",
        "From sending the request on to the head of its answer, in milliseconds.",
    ),
    number(
        "request_bytes",
        "Bytes of the request's body, on tcp bytes from the caller.",
    ),
    number(
        "response_bytes",
        "Bytes of the answer's body, on tcp bytes to the caller.",
    ),
    text("trace_id", "The trace that the request belongs to."),
    text("span_id", "The span of this hop."),
    text(
        "tls",
        "What secured the hop: `mutual` TLS, `server` (ordinary TLS to what is outside the mesh) or `none`. Inbound, the hop \
         from the caller; outbound, the one to the service. Absent where no service was found.",
    ),
    text("tls_group", "The key exchange group of the TLS session."),
    text("error", "What went wrong, for the operator."),
];

/// The text of `docs/reference/metrics.md`.
pub fn metrics_reference() -> String {
    let mut page = String::from(
        "# Metrics of a sidecar\n\n\
         Served as OpenMetrics text at `/metrics`. Labels whose values come from outside (`peer`, `service`, `rule` and their like)\n\
         hold 100 values, then `other`; methods outside RFC 9110 and PATCH are `_OTHER`. This page is printed from\n\
         `telemetry/src/names.rs`; change it there.\n\n\
         | name | type | labels | meaning |\n|---|---|---|---|\n",
    );
    rows(&mut page, SIDECAR);
    page += "\n# Metrics of a CA\n\nServed by `countersign ca serve` in the same form.\n\n| name | type | labels | meaning |\n|---|---|---|---|\n";
    rows(&mut page, CA);
    page
}

fn rows(page: &mut String, metrics: &[&Metric]) {
    for metric in metrics {
        let labels = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect::<Vec<_>>()
            .join(" ");
        let kind = metric.kind.as_str();
        *page += &format!(
            "| `{}` | {kind} | {labels} | {}. |\n",
            metric.name, metric.help
        );
    }
}

/// The text of `docs/reference/access-log.md`.
pub fn access_log_reference() -> String {
    let mut page = String::from(
        "# Access log\n\n\
         One JSON object a line, written when the answer has ended. Fields stand in this order; one that has no value is left\n\
         out. Text longer than 8 KiB is cut and ends in `…`. Lines that cannot be written are counted in\n\
         `countersign_dropped_total{what=\"access_log\"}` and never hold up a request. A file that was renamed or removed is\n\
         opened anew within a second. This page is printed from `telemetry/src/names.rs`; change it there.\n\n\
         | field | type | meaning |\n|---|---|---|\n",
    );
    for field in ACCESS_LOG {
        page += &format!("| `{}` | {} | {} |\n", field.name, field.json, field.help);
    }
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use std::path::Path;

    /// Compares a page of the docs with what it is printed from; `BLESS=1` writes it.
    fn check(page: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/reference")
            .join(page);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found, text,
            "{page} is out of date: BLESS=1 cargo test -p countersign-telemetry"
        );
    }

    #[test]
    fn the_reference_pages_are_current() {
        check("metrics.md", &metrics_reference());
        check("access-log.md", &access_log_reference());
    }

    #[test]
    fn a_metrics_name_says_its_kind() {
        for metric in SIDECAR.iter().chain(CA) {
            let suffix = metric.name.rsplit('_').next();
            assert_eq!(
                metric.kind == Kind::Counter,
                suffix == Some("total"),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.kind == Kind::Info,
                suffix == Some("info"),
                "{}",
                metric.name
            );
        }
    }
}
