//! gRPC of another make through the pair of sidecars: grpcio's server and its clients (`fruits.py`).
//!
//! What is not ours to change is made straight too, and must come out the same.

use crate::support::pair::{Otherwise, Pair};
use crate::support::process::{Process, part, run};
use crate::support::until;
use serde_json::{Value, json};
use std::net::SocketAddr;

const FRUITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/fruits.py");

const NOT_THE_SECRET: &str = "\
rules:
  - name: storefront asks
    from: [\"spiffe://shop.example/storefront\"]
    allow: [{}]
  - name: nobody asks for the secret
    from: [\"spiffe://shop.example/**\"]
    deny: [{ paths: [/shop.Fruits/secret] }]
";

/// The server, and the sidecars between it and its clients.
struct Fruits {
    server: Process,
    straight: SocketAddr,
    pair: Pair,
}

impl Fruits {
    fn new() -> Self {
        let server = Process::start(part("python").args([FRUITS, "serve"]));
        let port = server.out.wait_for("the server", |line| {
            line.strip_prefix("listening ")?.parse().ok()
        });
        let straight = SocketAddr::from(([127, 0, 0, 1], port));
        let pair = Pair::around_with(
            straight,
            SocketAddr::from(([127, 0, 0, 1], 1)),
            Otherwise {
                policy: NOT_THE_SECRET,
                ..Otherwise::default()
            },
        );
        Fruits {
            server,
            straight,
            pair,
        }
    }

    /// Makes the calls of a case through the sidecars.
    fn through(&self, case: &str) -> Value {
        calls(case, self.pair.calling.at("http"))
    }

    /// The same without them.
    fn straight(&self, case: &str) -> Value {
        calls(case, self.straight)
    }

    /// How often the server said so.
    fn said(&self, line: &str) -> usize {
        let all = self.server.out.so_far();
        all.iter().filter(|said| *said == line).count()
    }
}

fn calls(case: &str, to: SocketAddr) -> Value {
    let ran = run(part("python").args([FRUITS, case, &to.to_string()]));
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{case}: {ran:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn unary_calls_and_three_kinds_of_streams_come_out_as_without_sidecars() {
    let fruits = Fruits::new();

    let through = fruits.through("kinds");

    assert_eq!(through, fruits.straight("kinds"));
    assert_eq!(through["unary"]["message"], "pears");
    assert_eq!(through["sum"], "499500");
    assert_eq!(through["count"]["messages"].as_array().unwrap().len(), 1000);
    // Each was written when the one before had been answered.
    assert_eq!(through["chat"][19], "re: 19");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn a_deadline_and_a_cancellation_reach_the_server() {
    let fruits = Fruits::new();
    let ended = async |times| {
        until("the end of a call", async || {
            (fruits.said("ended") == times).then_some(())
        })
        .await;
    };

    let late = fruits.through("deadline");
    ended(1).await;
    let cancelled = fruits.through("cancel");
    ended(2).await;

    assert_eq!(late["code"], "DEADLINE_EXCEEDED");
    assert_eq!(late["messages"], json!(["waiting"]));
    let seconds = late["seconds"].as_f64().unwrap();
    assert!((0.9..10.0).contains(&seconds), "{late}");
    assert_eq!(cancelled["code"], "CANCELLED");
    let told = fruits.server.out.so_far();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("waits"))
        .collect();
    // The server knows how long its client waits; what it took to come here is not added.
    assert!(
        ["waits 1.0", "waits 0.9", "waits 0.8"].contains(&told[0].as_str()),
        "{told:?}"
    );
    assert_eq!(told[1], "waits without a deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn sixty_kibibytes_of_metadata_pass_each_way_and_more_is_refused_by_name() {
    let fruits = Fruits::new();

    let through = fruits.through("metadata");
    let much = 60 * 1024;
    for (what, message, initial, trailing) in [
        ("sent", much, 0, 0),
        ("initial", 0, much, 0),
        ("trailing", 0, 0, much),
        ("afterwards", much, much, much),
    ] {
        let call = &through[what];
        assert_eq!(call["code"], "OK", "{what}: {call}");
        assert_eq!(call["message"], message.to_string(), "{what}: {call}");
        assert_eq!(call["initial_length"], initial, "{what}: {call}");
        assert_eq!(call["trailing_length"], trailing, "{what}: {call}");
    }
    let refused = |what: &str| {
        (
            through[what]["code"].clone(),
            through[what]["details"].clone(),
        )
    };
    assert_eq!(
        refused("too much sent"),
        (json!("RESOURCE_EXHAUSTED"), json!("head_too_large"))
    );
    assert_eq!(
        refused("too much initial"),
        (json!("UNAVAILABLE"), json!("response_head_too_large"))
    );
    assert_eq!(
        refused("too much trailing"),
        (
            json!("RESOURCE_EXHAUSTED"),
            json!("response_trailers_too_large")
        )
    );
    let reason = "response_trailers_too_large";
    fruits
        .pair
        .called
        .logged(reason, |line| line["reason"] == reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn a_servers_statuses_come_as_they_are_in_trailers_and_in_trailers_only() {
    let fruits = Fruits::new();

    let through = fruits.through("statuses");

    assert_eq!(through, fruits.straight("statuses"));
    for case in through.as_array().unwrap() {
        for ended in [&case[1], &case[2]] {
            assert_eq!(ended["code"], case[0]);
            assert_eq!(
                ended["trailing"]["x-why-bin"].as_array().unwrap().len(),
                256
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn a_denial_is_permission_denied_with_its_reason_and_never_reaches_the_server() {
    let fruits = Fruits::new();

    let denied = fruits.through("denied");

    for call in denied.as_array().unwrap() {
        assert_eq!(call["code"], "PERMISSION_DENIED", "{call}");
        assert_eq!(call["details"], "denied_by_rule", "{call}");
    }
    assert_eq!(fruits.said("called /shop.Fruits/secret"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip grpcio: .ci/parts"]
async fn a_server_that_is_away_is_unavailable_with_the_reason() {
    let mut fruits = Fruits::new();
    fruits.server.kill();

    let away = fruits.through("away");

    assert_eq!(
        (&away["code"], &away["details"]),
        (&json!("UNAVAILABLE"), &json!("app_not_up"))
    );
}
