//! gRPC's interop cases through the pair of sidecars: grpcio's server (`interop.py`) and its client (`interop_cases.py`).
//!
//! Each case is held against what gRPC's "interop test descriptions" say of it, and against what comes of it without sidecars.

use crate::support::pair::Pair;
use crate::support::process::{Process, part, run};
use serde_json::{Map, Value};
use std::net::SocketAddr;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/interop.py");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/interop_cases.py");

/// As the list names them: no case may be forgotten without a reason.
const LISTED: [&str; 29] = [
    "empty_unary",
    "cacheable_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "compute_engine_creds",
    "jwt_token_creds",
    "oauth2_auth_token",
    "per_rpc_creds",
    "google_default_credentials",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "rpc_soak",
    "channel_soak",
    "concurrent_large_unary",
    "orca_per_rpc",
    "orca_oob",
];

/// What came of each case there, and which cases have a reason not to be played.
fn played(at: SocketAddr) -> (Map<String, Value>, Map<String, Value>) {
    let ran = run(part("python").args(["-B", CLIENT, &at.to_string()]));
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let object = |key: &str| told[key].as_object().unwrap().clone();
    (object("cases"), object("excluded"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn every_interop_case_comes_out_as_listed_and_as_without_sidecars() {
    let server = Process::start(part("python").args(["-B", SERVER]));
    let port = server.out.wait_for("the server", |line| {
        line.strip_prefix("listening ")?.parse().ok()
    });
    let straight = SocketAddr::from(([127, 0, 0, 1], port));
    let pair = Pair::before(straight);

    let (direct, excluded) = played(straight);
    let (through, _) = played(pair.calling.at("http"));

    let mut wrong = String::new();
    for name in LISTED {
        if excluded.contains_key(name) {
            continue;
        }
        let [direct, through] =
            [&direct, &through].map(|all| all.get(name).unwrap_or(&Value::Null));
        if through["wrong"] != Value::Null || through["came"] == Value::Null {
            wrong.push_str(&format!("\n{name}: {}", through["wrong"]));
        } else if direct != through {
            wrong.push_str(&format!(
                "\n{name}: {through}, and without sidecars {direct}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(through.len() + excluded.len(), LISTED.len());
}
