//! What a running sidecar says of itself: `countersign status`, and the admin pages that answer questions.

use super::support::app::HttpApp;
use super::support::client::ask;
use super::support::pair::Pair;
use super::support::process::{Ran, countersign, run};
use super::support::sidecar::Sidecar;
use serde_json::Value;

fn status(sidecar: &Sidecar, args: &[&str]) -> Ran {
    let mut command = countersign();
    command
        .arg("status")
        .args(args)
        .env("COUNTERSIGN_ADMIN", sidecar.at("admin").to_string());
    run(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verb_says_how_a_sidecar_is_and_its_exit_code_is_the_answer() {
    let app = HttpApp::start().await;
    let pair = Pair::around(app.addr, app.addr);

    let ran = status(&pair.called, &[]);

    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    for part in ["serving", "spiffe://shop.example/orders", "web", "inbound"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = status(&pair.called, &["-o", "json"]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["ready"]["is"], true);
    assert_eq!(told["identity"]["state"], "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_app_a_sidecar_has_started_and_is_not_ready() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mut pair = Pair::before(nobody);

    let ready = status(&pair.called, &[]);
    let started = status(&pair.called, &["--expect", "started"]);

    assert_eq!(ready.code, Some(1));
    assert!(
        ready
            .err
            .starts_with("not ready: app behind web at 127.0.0.1:1 does not accept: "),
        "{}",
        ready.err
    );
    assert_eq!((started.code, &*started.err), (Some(0), ""));
    let at = pair.called.at("admin");
    pair.called.process.ask_to_end();
    assert_eq!(pair.called.process.end().code(), Some(0));
    let gone = status(&pair.called, &["--expect", "live"]);
    assert_eq!(gone.code, Some(3));
    assert!(
        gone.err.starts_with(&format!(
            "{at}: no sidecar to be asked: nobody listens there; "
        )),
        "{}",
        gone.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_in_force_answers_questions_in_the_words_of_its_decisions() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let admin = pair.called.at("admin");
    let explain = async |query: &str| {
        let page = format!("/explain?{query}");
        let answer = ask(admin, "GET", "localhost", &page).await;
        (answer.status, answer.text())
    };

    for (query, status, told) in [
        (
            "from=spiffe://shop.example/storefront&method=GET&path=%2Forders",
            200,
            "allowed: rule ",
        ),
        (
            "from=spiffe://shop.example/other&method=GET&path=/orders",
            200,
            "denied (403, no_rule_for_caller): ",
        ),
        (
            "from=spiffe://shop.example/storefront&method=GET&path=/a/..%2Fb",
            200,
            "denied (400, path_dot_segment): ",
        ),
        (
            "from=spiffe://shop.example/storefront&tcp",
            200,
            "allowed: rule ",
        ),
        ("method=GET&path=/", 400, "`from` is missing; "),
        ("from=orders&tcp", 400, "`from`: "),
        (
            "from=spiffe://shop.example/x&form=y",
            400,
            "`form` is not asked for; ",
        ),
        ("tcp&path=/", 400, "`from` is missing; "),
    ] {
        let (answered, text) = explain(query).await;
        assert_eq!(answered, status, "{query}: {text}");
        assert!(text.starts_with(told), "{query}: {text}");
    }
}
