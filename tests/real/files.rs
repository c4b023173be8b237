//! `examples/files` with real nginx and real curl: what the page says, what policy says, and what no path can do.

use crate::support::curl::{Answer, Call};
use crate::support::example::Example;
use crate::support::process::{countersign, run};
use serde_json::Value;

const CERTIFICATES: &str = "Certificates";
const UP: &str = "The app and the sidecars";

#[test]
#[ignore = "needs nginx, curl and PostgreSQL: .ci/parts"]
fn the_page_of_the_example_says_what_happens() {
    Example::copy("files").follow_all();
}

/// One version of HTTP, and how the example reaches the app in it.
#[derive(Clone, Copy)]
struct Version {
    http2: bool,
    host: &'static str,
    listener: &'static str,
    in_nginx: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        http2: false,
        host: "orders",
        listener: "web",
        in_nginx: "HTTP/1.1",
    },
    Version {
        http2: true,
        host: "orders-h2",
        listener: "web-h2",
        in_nginx: "HTTP/2.0",
    },
];

/// Who calls, and the port of the page where their sidecar takes calls.
const STOREFRONT: (&str, u16) = ("spiffe://shop.example/storefront", 15001);
const REPORTS: (&str, u16) = ("spiffe://shop.example/reports", 15301);

struct Shop(Example);

impl Shop {
    fn open() -> Self {
        let mut example = Example::copy("files");
        example.follow(&[CERTIFICATES, UP]);
        Shop(example)
    }

    fn call(&self, version: Version, from: (&str, u16), method: &str, target: &[u8]) -> Answer {
        let call = Call {
            to: self.0.at(from.1),
            http2: version.http2,
            host: version.host,
            method,
            target,
        };
        call.make()
    }

    /// What the sidecar of orders logged of a decision.
    fn logged(&self, decision: &str) -> Value {
        let lines = self.0.lines_with("orders-access.log", &[decision], 1);
        assert_eq!(lines.len(), 1, "a decision is logged once");
        serde_json::from_str(&lines[0]).unwrap()
    }

    /// What `policy explain` says of the same question.
    fn explained(&self, version: Version, from: (&str, u16), method: &str, path: &str) -> String {
        let mut explain = countersign();
        explain.args(["policy", "explain", "--policy"]);
        explain.arg(self.0.path("policy.yaml"));
        explain.args(["--from", from.0, "--listener", version.listener]);
        explain.args(["--host", version.host, "--method", method, "--path", path]);
        let ran = run(&mut explain);
        assert_eq!(ran.err, "", "{method} {path}");
        ran.out
    }

    /// What nginx saw since it had seen `before` requests: makes one more that is allowed, and waits for that to be there.
    fn seen_since(&self, before: usize) -> Vec<String> {
        let last = self.call(VERSIONS[0], STOREFRONT, "GET", b"/orders/999");
        assert_eq!(last.status, Some(200));
        self.0.lines_with("nginx-access.log", &["/orders/999"], 1);
        let log = self.0.text("nginx-access.log");
        let lines = log.lines().skip(before).map(str::to_owned);
        lines.filter(|line| !line.contains("/orders/999")).collect()
    }
}

/// A denied call says so in its answer, and log and `policy explain` say why in the same words.
#[track_caller]
fn check_denied(
    shop: &Shop,
    version: Version,
    from: (&str, u16),
    call: (&str, &str),
    wanted: (u16, &str),
) {
    let ((method, path), (status, reason)) = (call, wanted);
    let answer = shop.call(version, from, method, path.as_bytes());
    assert_eq!(answer.status, Some(status), "{method} {path}: {answer:?}");
    let error = match status {
        400 => "http_request_error",
        _ => "http_request_denied",
    };
    assert_eq!(
        answer.header("proxy-status").unwrap(),
        format!("countersign; error={error}; details=\"{reason}\"; reached=?0"),
        "{method} {path}"
    );
    let decision = answer.header("countersign-decision-id").unwrap();
    if method != "HEAD" {
        let body = format!("{{\"error\":\"{reason}\",\"decision\":\"{decision}\"}}\n");
        assert_eq!(answer.body, body, "{method} {path}");
    }

    let logged = shop.logged(decision);
    for (field, wanted) in [
        ("verdict", "denied"),
        ("reason", reason),
        ("peer_id", from.0),
        ("listener", version.listener),
        ("method", method),
        ("path", path.split('?').next().unwrap()),
        ("host", version.host),
    ] {
        assert_eq!(
            logged[field], wanted,
            "{field} of {method} {path}: {logged}"
        );
    }
    assert_eq!(logged["status"], status, "{logged}");
    let why = logged["error"].as_str().unwrap_or_default();
    let explained = shop.explained(version, from, method, path);
    assert_eq!(explained, format!("denied ({status}, {reason}): {why}\n"));
}

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn the_callers_identity_decides_and_every_denial_is_explained_in_the_same_words() {
    let shop = Shop::open();
    let mut served = Vec::new();
    for version in VERSIONS {
        for (method, path) in [
            ("GET", "/orders/7"),
            ("GET", "/orders"),
            ("HEAD", "/orders/7"),
            ("GET", "/orders/7?from=/../x;y"),
            ("GET", "/%6frders/7"),
        ] {
            let answer = shop.call(version, STOREFRONT, method, path.as_bytes());
            assert_eq!(answer.status, Some(200), "{method} {path}: {answer:?}");
            assert_eq!(answer.header("proxy-status"), None);
            let explained = shop.explained(version, STOREFRONT, method, path);
            let wanted = "allowed: rule \"storefront reads orders\" allows it\n";
            assert_eq!(explained, wanted, "{method} {path}");
            // The bytes that came are the bytes that are forwarded, in the version that came.
            served.push(format!("200 {0} \"{method} {path} {0}\"", version.in_nginx));
        }
        for (from, method, path, reason) in [
            (STOREFRONT, "DELETE", "/orders/7", "no_rule_allows"),
            (STOREFRONT, "POST", "/orders", "no_rule_allows"),
            (STOREFRONT, "get", "/orders", "no_rule_allows"),
            (STOREFRONT, "GET", "/", "no_rule_allows"),
            (STOREFRONT, "GET", "/orders/", "no_rule_allows"),
            (STOREFRONT, "GET", "/Orders", "no_rule_allows"),
            (STOREFRONT, "GET", "/orders/7/lines", "no_rule_allows"),
            (STOREFRONT, "GET", "/invoices?x=/orders", "no_rule_allows"),
            (STOREFRONT, "PUT", "/receipts", "no_rule_allows"),
            (STOREFRONT, "HEAD", "/receipts/1", "no_rule_allows"),
            (REPORTS, "GET", "/orders/7", "no_rule_for_caller"),
            (REPORTS, "HEAD", "/", "no_rule_for_caller"),
        ] {
            check_denied(&shop, version, from, (method, path), (403, reason));
        }
    }
    let seen = shop.seen_since(0);
    assert_eq!(seen.len(), served.len(), "{seen:#?}");
    for (seen, wanted) in seen.iter().zip(&served) {
        assert!(seen.starts_with(wanted), "{seen}, not {wanted}");
        let caller = ";URI=spiffe://shop.example/storefront\"";
        assert!(seen.ends_with(caller), "{seen}");
    }
}

/// Paths that two readers can read differently, each with its label. Nearly all lead to `/orders/7` for some reader, which
/// a rule allows.
const TRICKS: &[(&str, &[&str])] = &[
    (
        "path_dot_segment",
        &[
            "/orders/./7",
            "/x/../orders/7",
            "/../orders/7",
            "/orders/7/.",
            "/orders/7/x/..",
            "/orders/%2e/7",
            "/x/%2e%2e/orders/7",
            "/x/%2E./orders/7",
            "/x/.%2e/orders/7",
            "/orders/..",
            "/.",
        ],
    ),
    (
        "path_empty_segment",
        &["//orders/7", "/orders//7", "/orders/7//", "//"],
    ),
    (
        "path_encoded_slash",
        &[
            "/orders%2f7",
            "/orders%2F7",
            "/x/..%2forders/7",
            "/%2f/orders/7",
        ],
    ),
    (
        "path_backslash",
        &[
            "/orders\\7",
            "/orders%5c7",
            "/orders%5C7",
            "/x\\..\\orders/7",
            "/x/..%5corders/7",
        ],
    ),
    (
        "path_parameter",
        &[
            "/orders/7;v=1",
            "/orders;v=1/7",
            "/orders/7;",
            "/x/..;/orders/7",
            "/orders/7%3bv=1",
            "/orders/7%3B",
        ],
    ),
    (
        "path_control_character",
        &[
            "/orders/7%00",
            "/orders/7%00.html",
            "/orders/7%0d%0ax:1",
            "/orders/7%09",
            "/orders/7%7f",
            "/orders/%C2%85",
        ],
    ),
    (
        "path_percent",
        &[
            "/orders/7%",
            "/orders/%7",
            "/orders/%zz",
            "/orders/%u0037",
            "/orders/%252e",
            "/x/%252e%252e/orders/7",
            "/orders%252f7",
            "/orders/%2537",
            "/orders/7%25",
        ],
    ),
    (
        "path_not_utf8",
        &[
            "/orders/%ff",
            "/orders/%c0%af7",
            "/orders/%c0%ae%c0%ae/7",
            "/orders/%ed%a0%80",
            "/orders/%e9",
        ],
    ),
    (
        "path_character",
        &["/orders/{7}", "/orders/^7", "/orders/[7]", "/orders/|7"],
    ),
];

/// Targets that hyper's own parser refuses: in HTTP/1 with a 400 that is not ours, in HTTP/2 by ending the stream.
const NO_TARGETS: &[&[u8]] = &[
    b"/orders/\xff",
    b"/orders/\x01",
    b"/orders/\x7f",
    b"/orders/7\t",
    b"/orders/ 7",
    b"/orders/<7>",
    b"orders/7",
    b"\\orders\\7",
];

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn no_path_trick_reaches_the_app() {
    let shop = Shop::open();
    for version in VERSIONS {
        for (reason, paths) in TRICKS {
            for path in *paths {
                check_denied(&shop, version, STOREFRONT, ("GET", path), (400, reason));
            }
        }
        for target in NO_TARGETS {
            let answer = shop.call(version, STOREFRONT, "GET", target);
            let wanted = (!version.http2).then_some(400);
            assert_eq!(
                answer.status,
                wanted,
                "{}: {answer:?}",
                target.escape_ascii()
            );
        }
        // Not in a path of RFC 3986: on HTTP/1 `"` is not even in a target, on HTTP/2 the path is refused.
        for target in ["/orders/é", "/orders/\"7\""] {
            let answer = shop.call(version, STOREFRONT, "GET", target.as_bytes());
            assert_eq!(answer.status, Some(400), "{answer:?}");
        }
    }
    assert_eq!(shop.seen_since(0), [""; 0], "nginx saw a trick");
}
