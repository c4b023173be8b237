//! What a hop removes, what it sets and what it leaves alone, through the pair of sidecars and straight at the one of the app.
//!
//! Who an app is called by, in whatever spelling others claim it, is in `heads`; the marks of sidecars are in `loops` and
//! `retries`; HTTP/2 frame by frame, with its trailers, is in `http2` and `http2_answers`.

use crate::support::app::{HttpApp, Seen};
use crate::support::client::{Client, listen};
use crate::support::http::{Flow, fields, get};
use crate::support::pair::Pair;
use crate::support::tls;
use hyper::{HeaderMap, Response, Version};
use tokio::net::{TcpListener, TcpStream};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// What the app saw of a request with these fields.
async fn seen(pair: &Pair, app: &HttpApp, version: Version, lines: &[(&str, &str)]) -> Seen {
    let mut request = get("/fields");
    *request.headers_mut() = fields(lines);
    let answer = pair.send(version, request).await;
    assert_eq!(answer.status(), 200, "{version:?} {lines:?}");
    app.seen().pop().unwrap()
}

/// All values of a name.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(|it| it.as_bytes())
        .collect()
}

/// A request, byte for byte, on its way to an app whose every byte a test sends: the app's end, and the head that it read.
async fn asked(
    pair: &Pair,
    app: &TcpListener,
    ask: &str,
) -> (Client<TcpStream>, Client<TcpStream>, String) {
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(ask.as_bytes()).await.unwrap();
    let mut served = Client::accept(app).await;
    let head = served.raw_head().await.unwrap().to_ascii_lowercase();
    (client, served, head)
}

/// The body in chunks, and the trailers behind it, up to the empty line.
async fn chunked(end: &mut Client<TcpStream>) -> String {
    let mut all = String::new();
    while !all.ends_with("\r\n\r\n") {
        all.push_str(&end.line().await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_connection_names_ends_at_the_hop_and_what_sidecars_set_never_does() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let names = "x-mine, X-FORWARDED-CLIENT-CERT, x-countersign-hops, x-countersign-attempt, Host, Content-Length, authority";
    let head = format!(
        "POST /named HTTP/1.1\r\nhost: orders\r\nconnection: {names}\r\nx-mine: 1\r\nx-countersign-hops: 00000000000000aa\r\n\
         x-forwarded-client-cert: URI=spiffe://shop.example/admin\r\nx-kept: 2\r\nconnection: x-also\r\nx-also: 3\r\n\
         content-length: 2\r\n\r\nok"
    );
    let mut through = Client::connect(pair.calling.at("http")).await;
    let svid = pair.shop.svid("storefront");
    let (at, config) = (pair.called.at("web"), tls::client(Some(&svid), &[]));
    let mut straight = Client::connect_tls(at, config, "orders").await.unwrap();
    through.send(head.as_bytes()).await.unwrap();
    assert_eq!(through.answer().await.unwrap().status, 200);
    straight.send(head.as_bytes()).await.unwrap();
    assert_eq!(straight.answer().await.unwrap().status, 200);

    let came = app.seen();
    assert_eq!(came.len(), 2);
    for seen in came {
        let xfcc = seen.header("x-forwarded-client-cert").unwrap();
        assert!(
            xfcc.ends_with(";URI=spiffe://shop.example/storefront"),
            "{xfcc}"
        );
        // That of who claimed it, and those of the sidecars.
        let hops = seen.header("x-countersign-hops").unwrap();
        assert!(hops.starts_with("00000000000000aa,"), "{hops}");
        let kept = [
            "host",
            "content-length",
            "x-kept",
            "x-mine",
            "x-also",
            "connection",
        ];
        assert_eq!(
            kept.map(|name| seen.header(name)),
            [Some("orders"), Some("2"), Some("2"), None, None, None],
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_steers_nobody_and_claims_nothing_in_any_spelling() {
    const CLAIMS: [&str; 8] = [
        "x-forwarded-client-cert",
        "x_forwarded-client_cert",
        "x-countersign-declined",
        "x_countersign_hops",
        "l5d-proxy-error",
        "x-envoy-immediate-health-check-fail",
        "x_envoy_overloaded",
        "dapr-caller-app-id",
    ];
    let app = HttpApp::serving(|request| async move {
        let mut answer = Response::new(Flow::none());
        for name in CLAIMS {
            answer.headers_mut().insert(name, "lie".parse().unwrap());
        }
        let headers = answer.headers_mut();
        headers.insert("x-kept", "yes".parse().unwrap());
        headers.insert("via", "1.1 elsewhere".parse().unwrap());
        if request.version() == Version::HTTP_11 {
            headers.insert("connection", "x-mine".parse().unwrap());
            headers.insert("x-mine", "1".parse().unwrap());
            headers.insert("keep-alive", "timeout=5".parse().unwrap());
            headers.insert("proxy-connection", "x".parse().unwrap());
        }
        answer
    })
    .await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let answer = pair.send(version, get("/lies")).await;
        let headers = answer.headers();
        let hop = ["connection", "x-mine", "keep-alive", "proxy-connection"];
        for name in CLAIMS.iter().chain(&hop) {
            assert_eq!(headers.get(*name), None, "{version:?} {name}");
        }
        assert_eq!(all(headers, "x-kept"), [b"yes"], "{version:?}");
        assert_eq!(all(headers, "via"), [b"1.1 elsewhere"], "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_frame_route_and_vouch_for_nothing_in_any_spelling_both_ways() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let chunks = "2\r\nok\r\n0\r\nX-Sum: 6\r\nHost: evil\r\nContent-Length: 9\r\nTRANSFER_ENCODING: chunked\r\nAuthorization: lie\r\n\
                  X-Forwarded_Client-Cert: lie\r\nx_envoy_x: lie\r\nL5d-x: lie\r\nDapr-Caller-App-Id: lie\r\nSet-Cookie: lie\r\n\
                  X-Countersign-Peer: lie\r\nConnection: close\r\nTE: lie\r\nTrailer: lie\r\nx-also: 7\r\n\r\n";
    let passed = "2\r\nok\r\n0\r\nx-sum: 6\r\nx-also: 7\r\n\r\n";
    let declared = "Trailer: X-Sum, Host, X-Also\r\n";
    let ask = format!(
        "POST / HTTP/1.1\r\nHost: orders\r\n{declared}TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    let (mut client, mut served, _) = asked(&pair, &app, &ask).await;
    let at_app = chunked(&mut served).await;
    let answer = format!("HTTP/1.1 200 OK\r\n{declared}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    served.send(answer.as_bytes()).await.unwrap();
    client.raw_head().await.unwrap();
    let at_caller = chunked(&mut client).await;
    for (whose, trailers) in [("a request's", at_app), ("an answer's", at_caller)] {
        assert!(
            !trailers.contains("lie") && !trailers.contains("evil"),
            "{whose}: {trailers}"
        );
        assert!(trailers.ends_with(&passed[7..]), "{whose}: {trailers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_request_came_from_stays_as_it_came() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let lines = [
        (
            "forwarded",
            "for=192.0.2.1;proto=https, for=\"[2001:db8::1]\"",
        ),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "192.0.2.1"),
    ];
    for version in VERSIONS {
        let seen = seen(&pair, &app, version, &lines).await;
        for (name, values) in &by_name(&lines) {
            assert_eq!(all(&seen.headers, name), *values, "{version:?} {name}");
        }
    }
}

/// Each name with its values.
fn by_name<'a>(lines: &[(&'a str, &'a str)]) -> Vec<(&'a str, Vec<&'a [u8]>)> {
    let values = |name| {
        let of = lines.iter().filter(move |(held, _)| *held == name);
        of.map(|(_, value)| value.as_bytes()).collect()
    };
    lines
        .iter()
        .map(|(name, _)| (*name, values(*name)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_go_on_as_they_came_in_every_form_and_malformed_too() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let (w3c, b3) = (format!("00-{trace}-{span}-01"), format!("{trace}-{span}-d"));
    let forms: [&[(&str, &str)]; 8] = [
        &[
            ("traceparent", &w3c),
            ("tracestate", "rojo=1"),
            ("tracestate", "congo=2"),
        ],
        &[("b3", &b3)],
        &[("b3", "0")],
        &[
            ("x-b3-traceid", trace),
            ("x-b3-spanid", span),
            ("x-b3-parentspanid", span),
            ("x-b3-sampled", "1"),
            ("x-b3-flags", "1"),
        ],
        &[("grpc-trace-bin", "AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE")],
        &[("baggage", "user=1;p=2, x=%20")],
        &[
            ("traceparent", "00-nonsense"),
            ("tracestate", "=,="),
            ("b3", ""),
            ("grpc-trace-bin", "***"),
        ],
        &[("traceparent", &w3c), ("traceparent", &w3c)],
    ];
    for version in VERSIONS {
        for lines in forms {
            let seen = seen(&pair, &app, version, lines).await;
            for (name, values) in &by_name(lines) {
                assert_eq!(all(&seen.headers, name), *values, "{version:?} {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn te_trailers_goes_on_and_says_on_http1_that_it_is_for_the_next_hop_alone() {
    let (app, at) = listen().await;
    let pair = Pair::before(at);
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (sent, te, connection) in [
        (
            "TE: trailers\r\nConnection: TE\r\n",
            Some("trailers"),
            Some("te"),
        ),
        ("TE: trailers\r\n", Some("trailers"), Some("te")),
        ("TE: gzip, Trailers;q=1\r\n", None, None),
        ("TE: deflate, trailers\r\n", Some("trailers"), Some("te")),
        ("TE: gzip\r\nConnection: TE\r\n", None, None),
        (
            &format!("{upgrade}TE: trailers\r\nConnection: Upgrade, TE\r\n"),
            Some("trailers"),
            Some("upgrade, te"),
        ),
    ] {
        let ask = format!("GET / HTTP/1.1\r\nHost: orders\r\n{sent}\r\n");
        let (_client, _served, head) = asked(&pair, &app, &ask).await;
        let value = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
        };
        assert_eq!(
            (value("te:"), value("connection:")),
            (te, connection),
            "{sent}{head}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn via_stays_as_it_came_and_none_is_added() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let none = seen(&pair, &app, version, &[]).await;
        assert_eq!(none.header("via"), None, "{version:?}");
        let came = seen(&pair, &app, version, &[("via", "1.0 fred, 1.1 p.example")]).await;
        assert_eq!(
            came.header("via"),
            Some("1.0 fred, 1.1 p.example"),
            "{version:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_id_gets_one_and_one_that_has_one_keeps_it() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let first = seen(&pair, &app, version, &[]).await;
        let second = seen(&pair, &app, version, &[]).await;
        let ids = [first, second].map(|seen| seen.header("x-request-id").unwrap().to_owned());
        assert!(ids.iter().all(|id| id.len() == 36), "{version:?} {ids:?}");
        assert_ne!(ids[0], ids[1], "{version:?}");
        let own = seen(&pair, &app, version, &[("x-request-id", "mine/1")]).await;
        assert_eq!(
            all(&own.headers, "x-request-id"),
            [b"mine/1"],
            "{version:?}"
        );
    }
}
