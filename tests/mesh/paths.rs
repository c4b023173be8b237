//! `inbound[].paths`: what becomes of a path that readers could read differently, and that no choice lets a spelling lead
//! around a rule.

use crate::support::app::HttpApp;
use crate::support::client::{Answer, Client, ask};
use crate::support::mesh::{Domain, Member};
use crate::support::process::{countersign, run};
use crate::support::sidecar::Sidecar;
use crate::support::tls;

const POLICY: &str = "\
rules:
  - name: storefront
    from: [\"spiffe://shop.example/storefront\"]
    allow: [{}]
    deny: [{ paths: [\"/admin/**\"] }]
  - name: reports
    from: [\"spiffe://shop.example/reports\"]
    allow: [{ paths: [\"/orders/{id}\", \"/files/**\"] }]
";

/// `orders` with one listener for each choice, before one app.
struct Orders {
    shop: Domain,
    member: Member,
    sidecar: Sidecar,
}

impl Orders {
    fn before(app: &HttpApp) -> Self {
        let shop = Domain::new("shop.example");
        let member = shop.member("orders");
        member.policy(POLICY);
        let listener = |paths: &str| {
            let app = app.addr;
            format!(
                "  - {{ name: {paths}, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http, paths: {paths} }}\n"
            )
        };
        let listeners = ["strict", "canonical", "raw"].map(listener).concat();
        member.configure(&format!(
            "inbound:\n{listeners}policy: {{ file: policy.yaml }}\n"
        ));
        let sidecar = member.start();
        Orders {
            shop,
            member,
            sidecar,
        }
    }

    async fn ask(&self, who: &str, listener: &str, target: &str) -> Answer {
        let config = tls::client(Some(&self.shop.svid(who)), &["http/1.1"]);
        let connected = Client::connect_tls(self.sidecar.at(listener), config, "orders").await;
        let mut client = connected.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n");
        client.send(head.as_bytes()).await.unwrap();
        client.answer().await.unwrap()
    }

    /// What `policy explain` says of the same.
    fn explained(&self, who: &str, listener: &str, path: &str) -> String {
        let mut explain = countersign();
        explain.args(["policy", "explain", "--policy"]);
        explain.arg(self.member.path("policy.yaml"));
        let from = format!("spiffe://shop.example/{who}");
        explain.args(["--from", &from, "--listener", listener]);
        explain.args(["--paths", listener, "--method", "GET", "--path", path]);
        run(&mut explain).out
    }

    /// And the page of the sidecar itself.
    async fn page(&self, who: &str, listener: &str, path: &str) -> String {
        let hex = |byte: u8| format!("%{byte:02x}");
        let path = path.bytes().map(hex).collect::<String>();
        let from = format!("spiffe://shop.example/{who}");
        let query = format!("/explain?from={from}&method=GET&listener={listener}&path={path}");
        ask(self.sidecar.at("admin"), "GET", "localhost", &query)
            .await
            .text()
    }
}

/// Who, which listener, the target, the status, and what of it the app saw.
const CASES: &[(&str, &str, &str, u16, Option<&str>)] = &[
    // What has one meaning is decided and forwarded alike everywhere.
    (
        "reports",
        "strict",
        "/%6frders/7?a=/../b",
        200,
        Some("/%6frders/7?a=/../b"),
    ),
    (
        "reports",
        "canonical",
        "/%6frders/7?a=/../b",
        200,
        Some("/%6frders/7?a=/../b"),
    ),
    (
        "reports",
        "raw",
        "/%6frders/7?a=/../b",
        200,
        Some("/%6frders/7?a=/../b"),
    ),
    ("storefront", "strict", "/%61dmin", 403, None),
    ("storefront", "canonical", "/%61dmin", 403, None),
    ("storefront", "raw", "/%61dmin", 403, None),
    // Resolved, decided and forwarded as one.
    ("reports", "strict", "/a/../orders/7", 400, None),
    (
        "reports",
        "canonical",
        "/a/../orders/7?q=1",
        200,
        Some("/orders/7?q=1"),
    ),
    (
        "reports",
        "canonical",
        "http://orders/x//%2e%2e/../orders/7",
        400,
        None,
    ),
    (
        "reports",
        "canonical",
        "http://orders//orders//7",
        200,
        Some("/orders/7"),
    ),
    (
        "reports",
        "canonical",
        "/orders/{7}",
        200,
        Some("/orders/%7B7%7D"),
    ),
    ("reports", "canonical", "/orders/../admin", 403, None),
    ("storefront", "canonical", "/x/%2e%2e//admin/y", 403, None),
    // Its app would have taken these for what is denied, had it seen them: it sees what was decided.
    ("storefront", "canonical", "/admin/../x", 200, Some("/x")),
    (
        "storefront",
        "canonical",
        "//x/admin",
        200,
        Some("/x/admin"),
    ),
    // Not to be resolved.
    ("storefront", "canonical", "/x;y", 400, None),
    ("storefront", "canonical", "/x%2fadmin", 400, None),
    ("storefront", "canonical", "/x\\admin", 400, None),
    ("storefront", "canonical", "/%2561dmin", 400, None),
    ("storefront", "canonical", "/x%00", 400, None),
    ("storefront", "canonical", "/../admin", 400, None),
    // As it came, where every reading is allowed and none denied.
    (
        "reports",
        "raw",
        "/files/a%2Fb;v=1//100%25",
        200,
        Some("/files/a%2Fb;v=1//100%25"),
    ),
    ("reports", "raw", "/files/..%2forders%2f7", 403, None),
    ("reports", "raw", "/files/%252e%252e/admin", 403, None),
    ("reports", "raw", "/orders/a%2fb", 403, None),
    (
        "storefront",
        "raw",
        "/files/a%2fb\\;c",
        200,
        Some("/files/a%2fb\\;c"),
    ),
    ("storefront", "raw", "/files/..;/admin", 403, None),
    ("storefront", "raw", "//x/admin", 403, None),
    ("storefront", "raw", "/admin;x", 403, None),
    ("storefront", "raw", "/admin%2fx", 403, None),
    ("storefront", "raw", "/admin/x%2fy", 403, None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_choice_decides_and_forwards_as_explain_says() {
    let app = HttpApp::start().await;
    let orders = Orders::before(&app);
    for case @ (who, listener, target, status, seen) in CASES {
        let before = app.seen().len();

        let answer = orders.ask(who, listener, target).await;

        assert_eq!(answer.status, *status, "{case:?}: {}", answer.text());
        let all = app.seen();
        let reached: Vec<_> = all[before..].iter().map(|seen| &*seen.target).collect();
        assert_eq!(reached, seen.as_slice(), "{case:?}");
        let path = target.strip_prefix("http://orders").unwrap_or(target);
        let said = orders.explained(who, listener, path);
        let reason = answer.header("proxy-status").and_then(|status| {
            let (_, rest) = status.split_once("details=\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        });
        match reason {
            None => assert!(said.starts_with("allowed: "), "{case:?}: {said}"),
            Some(reason) => {
                let wanted = format!("denied ({status}, {reason}): ");
                assert!(said.starts_with(&wanted), "{case:?}: {said}");
                let of_raw = *listener == "raw" && !target.starts_with("/%61");
                assert_eq!(
                    said.contains("the path is ambiguous"),
                    *status == 400 || of_raw,
                    "{said}"
                );
            }
        }
        assert_eq!(
            orders.page(who, listener, path).await.trim_end(),
            said.trim_end()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_takes_a_choice_back_ends_what_it_let_through() {
    let (app, mut pens) = crate::support::app::app_of_pens().await;
    let orders = Orders::before(&app);
    let config = tls::client(Some(&orders.shop.svid("reports")), &["http/1.1"]);
    let mut client = Client::connect_tls(orders.sidecar.at("raw"), config, "orders")
        .await
        .unwrap();
    let head = b"GET /files/a;b HTTP/1.1\r\nhost: orders\r\n\r\n";
    client.send(head).await.unwrap();
    let pen = pens.recv().await.unwrap();
    pen.data("begun").await;
    client.raw_head().await.unwrap();

    let text = std::fs::read_to_string(orders.member.path("sidecar.yaml")).unwrap();
    orders
        .member
        .write("sidecar.yaml", &text.replace("paths: raw", "paths: strict"));
    orders.sidecar.process.signal(rustix::process::Signal::HUP);

    pen.given_up().await;
    orders.sidecar.logged("the end", |line| {
        line["path"] == "/files/a;b" && line["reason"] == "policy_changed"
    });
}
