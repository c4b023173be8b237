//! HTTP clients of other makes before the outbound listeners: Java's, node's and curl, as they are and as clients of a proxy.

use crate::support::app::HttpApp;
use crate::support::pair::Pair;
use crate::support::process::{Ran, run};
use hyper::Version;
use std::process::Command;

fn file(name: &str) -> String {
    format!("{}/tests/real/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The ports of the listener that leads to one service, and of the one that leads to all that are named.
fn ports(pair: &Pair) -> [String; 2] {
    ["bound", "http"].map(|listener| pair.calling.at(listener).port().to_string())
}

/// What belonged to the connection of a client, and no longer to the app's.
fn of_the_hop(app: &HttpApp) -> Vec<String> {
    let hop = [
        "upgrade",
        "http2-settings",
        "connection",
        "proxy-connection",
        "te",
    ];
    let seen = app.seen();
    let names = seen.iter().flat_map(|seen| seen.headers.keys());
    names
        .filter(|name| hop.contains(&name.as_str()))
        .map(ToString::to_string)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs openjdk-17-jdk-headless: .ci/parts"]
async fn java_s_client_that_offers_http2_is_served_in_http1() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);

    let ran = run(Command::new("java")
        .arg(file("Call.java"))
        .args(ports(&pair)));

    assert_eq!(
        ran.out,
        "HTTP_1_1 200\nHTTP_1_1 200 pears\n50 of 50\nHTTP_1_1 200\nHTTP_1_1 200 plums\n\
         HTTP_1_1 502 {\"error\":\"no_such_service\"}\n"
            .replace("200\n", "200 \n"),
        "{}",
        ran.err
    );
    let seen = app.seen();
    assert!(seen.iter().all(|seen| seen.version == Version::HTTP_11));
    let last = seen.last().unwrap();
    assert_eq!(
        (last.target.as_str(), last.header("host")),
        ("/java/proxied", Some("orders"))
    );
    assert_eq!(of_the_hop(&app), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nodejs: .ci/parts"]
async fn node_s_fetch_and_its_clients_of_both_versions_are_served() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);

    let ran = run(Command::new("node")
        .arg(file("call.mjs"))
        .args(ports(&pair)));

    assert_eq!(
        ran.out, "fetch 200 \nfetch 200 pears\nfetch 200 apples\nhttp 50\nhttp2 50\n",
        "{}",
        ran.err
    );
    assert_eq!(app.seen().last().unwrap().version, Version::HTTP_2);
    assert_eq!(of_the_hop(&app), [""; 0]);
}

/// curl, without what its user has set.
fn curl(args: &[&str]) -> Ran {
    let mut curl = Command::new("curl");
    for variable in [
        "http_proxy",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ] {
        curl.env_remove(variable);
    }
    let ran = run(curl.args(["-q", "-sS", "--max-time", "20"]).args(args));
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    ran
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl: .ci/parts"]
async fn curl_is_served_in_every_version_that_it_speaks_and_asks_for() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let bound = format!("http://{}/curl", pair.calling.at("bound"));
    let named = format!("::{}", pair.calling.at("http"));
    let by_name = ["--connect-to", &named, "http://orders/curl?by=name"];

    for (how, answered, went_on) in [
        (&["--http1.0"][..], "1", Version::HTTP_11),
        (&["--http1.0", "-H", "Host:"], "1", Version::HTTP_11),
        (&["--http1.1"], "1.1", Version::HTTP_11),
        // Asks to go on in HTTP/2, and is answered in what it speaks.
        (&["--http2"], "1.1", Version::HTTP_11),
        (&["--http2-prior-knowledge"], "2", Version::HTTP_2),
    ] {
        let said = ["-d", "pears", "-w", " %{http_code} %{http_version}"];
        let wanted = format!("pears 200 {answered}");

        let ran = curl(&[how, &said, &[&bound]].concat());

        assert_eq!(ran.out, wanted, "{how:?}");
        assert_eq!(app.seen().last().unwrap().version, went_on, "{how:?}");

        if how.contains(&"Host:") {
            continue;
        }

        let ran = curl(&[how, &said, &by_name].concat());

        assert_eq!(ran.out, wanted, "{how:?}");
        let target = app.seen().last().unwrap().target.clone();
        assert_eq!(target, "/curl?by=name", "{how:?}");
    }
    assert_eq!(of_the_hop(&app), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl: .ci/parts"]
async fn curl_s_http_proxy_leads_to_services_by_name_and_nowhere_else() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let proxy = format!("http://{}", pair.calling.at("http"));
    let through = |url: &str| {
        let mut curl = Command::new("curl");
        curl.env("http_proxy", &proxy)
            .env_remove("no_proxy")
            .env_remove("NO_PROXY");
        run(curl.args([
            "-q",
            "-sS",
            "--max-time",
            "20",
            "-w",
            " %{http_code}",
            "-d",
            "pears",
            url,
        ]))
    };

    assert_eq!(through("http://orders/by/proxy?x=1").out, "pears 200");
    let seen = app.seen();
    let last = seen.last().unwrap();
    assert_eq!(
        (
            last.target.as_str(),
            last.header("host"),
            last.header("proxy-connection")
        ),
        ("/by/proxy?x=1", Some("orders"), None)
    );
    let app_itself = format!("http://{}/straight", app.addr);
    for url in [app_itself.as_str(), "http://elsewhere/"] {
        assert_eq!(
            through(url).out,
            "{\"error\":\"no_such_service\"}\n 502",
            "{url}"
        );
    }
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl: .ci/parts"]
async fn curl_tunnels_through_the_listener_to_a_declared_service_of_bytes_only() {
    let (web, bytes) = (HttpApp::start().await, HttpApp::start().await);
    let pair = Pair::around(web.addr, bytes.addr);
    let proxy = format!("http://{}", pair.calling.at("http"));
    let through = |url: &str| {
        let mut curl = Command::new("curl");
        curl.env_remove("no_proxy").env_remove("NO_PROXY");
        curl.args(["-q", "-sS", "--max-time", "20", "-p", "-x", &proxy]);
        run(curl.args(["-d", "pears", "-w", " %{http_connect}", url]))
    };

    // HTTP within, of which the sidecars see bytes.
    assert_eq!(through("http://ledger:5432/within").out, "pears 200");
    let seen = bytes.seen();
    assert_eq!((seen.len(), seen[0].target.as_str()), (1, "/within"));
    assert_eq!(seen[0].header("x-forwarded-client-cert"), None);

    let app_itself = format!("http://{}/", bytes.addr);
    for url in [
        app_itself.as_str(),
        "http://orders:80/",
        "http://elsewhere:5432/",
    ] {
        let refused = through(url);
        assert_eq!(refused.code, Some(56), "{url}: {refused:?}");
        assert!(refused.out.ends_with(" 502"), "{url}: {refused:?}");
    }
    assert_eq!((bytes.seen().len(), web.seen().len()), (1, 0));
}
