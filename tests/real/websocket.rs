//! WebSocket of another make through the pair of sidecars: the server and the clients of Python's `websockets` (`talk.py`).

use crate::support::pair::{Otherwise, Pair};
use crate::support::process::{Process, part, run};
use serde_json::{Value, json};
use std::net::SocketAddr;

const TALK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/talk.py");

const NOT_THE_SECRET: &str = "\
rules:
  - name: storefront talks
    from: [\"spiffe://shop.example/storefront\"]
    allow: [{ methods: [GET] }]
  - name: nobody asks for the secret
    from: [\"spiffe://shop.example/**\"]
    deny: [{ paths: [/secret] }]
";

/// The server, and the sidecars between it and its clients.
struct Talk {
    server: Process,
    pair: Pair,
}

impl Talk {
    fn new() -> Self {
        let server = Process::start(part("python").args([TALK, "serve"]));
        let port: u16 = server.out.wait_for("the server", |line| {
            line.strip_prefix("listening ")?.parse().ok()
        });
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let otherwise = Otherwise {
            policy: NOT_THE_SECRET,
            limits: "{ idle: 1s }",
            ..Otherwise::default()
        };
        let pair = Pair::around_with(loopback(port), loopback(1), otherwise);
        Talk { server, pair }
    }

    /// Makes the connections of a case through the sidecars.
    fn through(&self, case: &str) -> Value {
        let to = self.pair.calling.at("http").to_string();
        let ran = run(part("python").args([TALK, case, &to]));
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{case}: {ran:?}"))
    }

    /// Waits until the server says this.
    fn says(&self, said: &str) {
        let line = |line: &str| (line == said).then_some(());
        self.server.out.wait_for(said, line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn messages_of_every_kind_come_back_as_they_were_sent() {
    let talk = Talk::new();

    let echo = talk.through("echo");
    let deflated = talk.through("deflated");

    assert_eq!(echo["same"], json!([true, true, true, true, true, true]));
    assert_eq!(
        (&echo["extensions"], &echo["code"]),
        (&json!(null), &json!(1000))
    );
    assert_eq!(
        deflated,
        json!({ "same": true, "deflated": true, "code": 1000 })
    );
    assert_eq!(talk.through("subprotocol"), "talk.v1");
    assert_eq!(talk.through("first"), "hello", "the server speaks first");
    let caller = talk.server.out.wait_for("the caller", |line| {
        line.starts_with("caller /echo").then(|| line.to_owned())
    });
    assert!(
        caller.ends_with(";URI=spiffe://shop.example/storefront"),
        "{caller}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn pings_are_answered_by_the_other_end_and_quiet_is_no_end() {
    let talk = Talk::new();

    assert_eq!(talk.through("pings"), true);
    talk.says("pong within True");
    assert_eq!(talk.through("idle"), json!(["still there?", true]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn both_ends_hear_how_and_why_a_connection_closed() {
    let talk = Talk::new();

    let closed = talk.through("closing");

    // 1006: without a word, as it was for the other.
    assert_eq!(
        closed,
        json!([[4001, "enøugh"], [4002, "bye, wørld"], [1006, ""]])
    );
    for said in [
        "closed /by-client 4001 enøugh",
        "closed /bye 4002 bye, wørld",
        "closed /died 1006 ",
        "closed /cut 1006 ",
    ] {
        talk.says(said);
    }
    talk.pair.called.logged("its end", |line| {
        line["path"] == "/by-client" && line["status"] == 101 && line["verdict"] == "allowed"
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn a_hundred_talk_at_a_time() {
    let talk = Talk::new();

    assert_eq!(talk.through("many"), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn who_is_denied_gets_the_answer_that_says_why_and_the_server_hears_nothing() {
    let talk = Talk::new();

    let denied = talk.through("denied");

    let status = "countersign; error=http_request_denied; details=\"denied_by_rule\"; reached=?0";
    assert_eq!(denied, json!([403, status, "denied_by_rule"]));
    let heard = talk.server.out.so_far();
    assert!(
        heard.iter().all(|line| !line.contains("/secret")),
        "{heard:?}"
    );
}
