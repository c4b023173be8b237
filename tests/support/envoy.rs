//! The real Envoy with an identity in files: what it takes to be called by a sidecar and to call one.

use super::client::ask;
use super::process::{Process, part};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// What a listener is for, by name.
pub struct Listener<'a> {
    pub name: &'a str,
    /// TLS, and who alone may come; `None`: clear text.
    pub only: Option<&'a str>,
    /// Where requests go on to.
    pub cluster: &'a str,
}

/// Where requests go, by name, in the version in which they came.
pub struct Cluster<'a> {
    pub name: &'a str,
    pub to: SocketAddr,
    /// TLS, and who alone may answer; `None`: clear text.
    pub only: Option<&'a str>,
}

/// Runs until it is dropped.
pub struct Envoy {
    /// Its access log, one JSON object a line, is on standard output.
    pub process: Process,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Envoy {
    /// Starts it with the identity in `folder`, as `ca issue` writes one. Panics with its log if it does not start.
    pub async fn start(
        folder: &Path,
        listeners: &[Listener<'_>],
        clusters: &[Cluster<'_>],
    ) -> Self {
        let config = config(folder, listeners, clusters);
        let (file, admin) = (folder.join("envoy.json"), folder.join("envoy-admin"));
        fs::write(&file, config.to_string()).expect("a file of a test");
        let mut command = part("envoy");
        command
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "info"])
            // Why a connection ended.
            .args(["--component-log-level", "connection:debug"])
            .args(["--file-flush-interval-msec", "10", "--admin-address-path"])
            .arg(&admin)
            .arg("-c")
            .arg(&file);
        let process = Process::start(&mut command);
        process.err.wait_for("Envoy", |line| {
            line.contains("starting main dispatch loop").then_some(())
        });
        let admin = fs::read_to_string(admin).expect("it says where it can be asked");
        let admin = admin.trim().parse().expect("an address");
        let listeners = opened(admin).await;
        Envoy { process, listeners }
    }

    /// Where the listener of that name is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        self.listeners[listener]
    }

    /// The first line of its access log, past or future, that is as wanted.
    pub fn logged(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.process.out.wait_for(what, |line| {
            let line = serde_json::from_str(line).expect("its access log is JSON");
            wanted(&line).then_some(line)
        })
    }
}

/// Where its listeners are: it opened them on ports that were free.
async fn opened(admin: SocketAddr) -> BTreeMap<String, SocketAddr> {
    let page = ask(admin, "GET", "localhost", "/listeners?format=json").await;
    let page: Value = serde_json::from_slice(&page.body).expect("JSON");
    let all = page["listener_statuses"].as_array().expect("a list");
    let one = |status: &Value| {
        let at = &status["local_address"]["socket_address"];
        let at = format!(
            "{}:{}",
            at["address"].as_str().expect("text"),
            at["port_value"]
        );
        let name = status["name"].as_str().expect("text").to_owned();
        (name, at.parse().expect("an address"))
    };
    all.iter().map(one).collect()
}

const API: &str = "type.googleapis.com/envoy.extensions";

fn config(folder: &Path, listeners: &[Listener<'_>], clusters: &[Cluster<'_>]) -> Value {
    let listeners: Vec<Value> = listeners.iter().map(|it| listener(folder, it)).collect();
    let clusters: Vec<Value> = clusters.iter().map(|it| cluster(folder, it)).collect();
    json!({
        "admin": { "address": address(SocketAddr::from(([127, 0, 0, 1], 0))) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

fn address(at: SocketAddr) -> Value {
    json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } })
}

fn listener(folder: &Path, listener: &Listener<'_>) -> Value {
    let manager = json!({
        "@type": format!("{API}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": listener.name,
        "access_log": [log(&[
            ("path", "%REQ(:PATH)%"),
            ("protocol", "%PROTOCOL%"),
            ("status", "%RESPONSE_CODE%"),
            ("caller", "%DOWNSTREAM_PEER_URI_SAN%"),
            ("called", "%UPSTREAM_PEER_URI_SAN%"),
            ("failure", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
        ])],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": listener.cluster } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{API}.filters.http.router.v3.Router") },
        }],
    });
    let mut chain = json!({ "filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }] });
    if let Some(only) = listener.only {
        chain["transport_socket"] = tls(folder, only, "DownstreamTlsContext");
        let offered = &mut chain["transport_socket"]["typed_config"];
        offered["require_client_certificate"] = json!(true);
        offered["common_tls_context"]["alpn_protocols"] = json!(["h2", "http/1.1"]);
    }
    json!({
        "name": listener.name,
        "address": address(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [chain],
        "access_log": [log(&[
            ("connection", listener.name),
            ("failure", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
        ])],
    })
}

fn cluster(folder: &Path, cluster: &Cluster<'_>) -> Value {
    // The version is the request's.
    let options = json!({
        "@type": format!("{API}.upstreams.http.v3.HttpProtocolOptions"),
        "use_downstream_protocol_config": { "http_protocol_options": {}, "http2_protocol_options": {} },
    });
    let mut made = json!({
        "name": cluster.name,
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": cluster.name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": address(cluster.to) } },
        ] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
    });
    if let Some(only) = cluster.only {
        made["transport_socket"] = tls(folder, only, "UpstreamTlsContext");
    }
    made
}

/// TLS 1.3 with the identity in the folder; the other side must be `only`, and who that is its SPIFFE validator reads.
fn tls(folder: &Path, only: &str, side: &str) -> Value {
    let file = |name: &str| json!({ "filename": folder.join(name) });
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{API}.transport_sockets.tls.v3.{side}"),
            "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                "tls_certificates": [{ "certificate_chain": file("svid.pem"), "private_key": file("key.pem") }],
                "validation_context": {
                    "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": { "exact": only } }],
                    "custom_validator_config": {
                        "name": "envoy.tls.cert_validator.spiffe",
                        "typed_config": {
                            "@type": format!("{API}.transport_sockets.tls.v3.SPIFFECertValidatorConfig"),
                            "trust_domains": [{ "name": "shop.example", "trust_bundle": file("bundle.pem") }],
                        },
                    },
                },
            },
        },
    })
}

/// An access log on standard output.
fn log(fields: &[(&str, &str)]) -> Value {
    let fields: serde_json::Map<_, _> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect();
    json!({
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": format!("{API}.access_loggers.stream.v3.StdoutAccessLog"),
            "log_format": { "json_format": fields },
        },
    })
}
