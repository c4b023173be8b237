//! Heads and trailers beyond `limits.header` and `limits.headers`: refused with a reason, and never shown as if they were whole.
//!
//! Up to four times the limit that is the business of one request; beyond, of its connection, since what follows a head on an
//! HTTP/2 connection cannot be read without it.

use crate::support::app::HttpApp;
use crate::support::http::{Flow, fields, get, h1, h2, request, whole};
use crate::support::http::{as_h1, frame};
use crate::support::pair::Pair;
use crate::support::sidecar::Sidecar;
use crate::support::within;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, Version};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// So many fields of so many bytes, all of one name.
fn lines(count: usize, bytes: usize) -> HeaderMap {
    let value = HeaderValue::from_str(&"v".repeat(bytes)).unwrap();
    let line = |_| (HeaderName::from_static("x-much"), value.clone());
    (0..count).map(line).collect()
}

/// What its path asks for: `/COUNT/BYTES`.
fn asked_for(request: &Request<Incoming>) -> HeaderMap {
    let mut parts = request.uri().path().split('/').skip(1);
    let mut number = || parts.next().unwrap().parse().unwrap();
    lines(number(), number())
}

/// Beyond a limit, but below four times as much; the last is one field alone, of which h2 would show nothing.
const BEYOND: [(usize, usize); 4] = [(1, 70 << 10), (300, 1), (60, 4 << 10), (1, 200 << 10)];
/// Beyond four times the limit.
const FAR_BEYOND: [(usize, usize); 2] = [(1, 600 << 10), (80, 4 << 10)];

/// How often this side counted something under this reason.
async fn counted(side: &Sidecar, series: &str, reason: &str) -> u64 {
    let ours = |(name, _): &(String, u64)| {
        name.starts_with(series) && name.contains(&format!("reason=\"{reason}\""))
    };
    let all = side.metrics().await;
    all.iter()
        .filter(|it| ours(it))
        .map(|(_, count)| count)
        .sum()
}

/// Sends a request through both sidecars and reads all of its answer.
async fn asked(
    pair: &Pair,
    version: Version,
    request: Request<Flow>,
) -> Result<(u16, HeaderMap, HeaderMap), hyper::Error> {
    let at = pair.calling.at("http");
    let answer = match version {
        Version::HTTP_2 => h2(at).await.send_request(request).await?,
        _ => h1(at).await.send_request(as_h1(request)).await?,
    };
    let head = answer.headers().clone();
    let (status, _, trailers) = whole(answer).await?;
    Ok((status, head, trailers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_head_beyond_a_limit_is_431_with_its_reason_and_its_connection_goes_on() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let mut client = h2(pair.calling.at("http")).await;
    for (count, bytes) in BEYOND {
        let reason = if count == 300 {
            "too_many_headers"
        } else {
            "head_too_large"
        };
        let before = counted(&pair.calling, "countersign_refused_heads_total", reason).await;
        let mut large = get("/large");
        *large.headers_mut() = lines(count, bytes);

        let answer = client.send_request(large).await.unwrap();

        let told =
            format!("countersign; error=http_request_error; details=\"{reason}\"; reached=?0");
        assert_eq!(answer.status(), 431, "{count} of {bytes}");
        assert_eq!(answer.headers()["proxy-status"], told, "{count} of {bytes}");
        let now = counted(&pair.calling, "countersign_refused_heads_total", reason).await;
        assert_eq!(now, before + 1, "{count} of {bytes}");
    }
    let answer = client.send_request(get("/next")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_head_far_beyond_the_limit_ends_its_connection_and_is_counted() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    for (times, (count, bytes)) in (1..).zip(FAR_BEYOND) {
        let mut large = get("/large");
        *large.headers_mut() = lines(count, bytes);

        let sent = h2(pair.calling.at("http")).await.send_request(large).await;

        assert!(sent.is_err(), "{count} of {bytes}: {sent:?}");
        let series = "countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"head_too_large\"}";
        pair.calling.counts(series, times).await;
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answers_head_beyond_a_limit_is_502_with_its_reason_and_counted() {
    let app = HttpApp::serving(|request| async move {
        let mut answer = Response::new(Flow::none());
        *answer.headers_mut() = asked_for(&request);
        answer
    })
    .await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let fits = asked(&pair, version, get("/1/61440")).await.unwrap();
        assert_eq!((fits.0, fits.1["x-much"].len()), (200, 60 << 10));
        for (count, bytes) in BEYOND.into_iter().chain(FAR_BEYOND) {
            let path = format!("/{count}/{bytes}");

            let (status, head, _) = asked(&pair, version, get(&path)).await.unwrap();

            let far = version == Version::HTTP_2 && FAR_BEYOND.contains(&(count, bytes));
            let whose = if far { "upstream" } else { "response" };
            let told = format!(
                "countersign; error=http_protocol_error; details=\"{whose}_head_too_large\"; reached=?1"
            );
            assert_eq!(status, 502, "{version:?} {path}");
            assert_eq!(head["proxy-status"], told, "{version:?} {path}");
        }
    }
    for reason in ["response_head_too_large", "upstream_head_too_large"] {
        assert!(
            counted(&pair.called, "countersign_limited_total", reason).await > 0,
            "{reason}"
        );
    }
}

/// An app that answers with a body and with the trailers that are asked for.
async fn app_of_trailers() -> HttpApp {
    HttpApp::serving(|request| async move {
        let (pen, flow) = Flow::open();
        tokio::spawn(async move {
            pen.data("all is well").await;
            pen.trailers(asked_for(&request)).await;
        });
        let mut answer = Response::new(flow);
        let declared = HeaderValue::from_static("x-much");
        answer.headers_mut().insert("trailer", declared);
        answer
    })
    .await
}

fn wants_trailers(path: &str) -> Request<Flow> {
    let mut request = get(path);
    *request.headers_mut() = fields(&[("te", "trailers")]);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_trailers_are_beyond_a_limit_never_ends_well() {
    let app = app_of_trailers().await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        let fits = asked(&pair, version, wants_trailers("/1/61440")).await;
        assert_eq!(fits.unwrap().2["x-much"].len(), 60 << 10, "{version:?}");
        for (count, bytes) in BEYOND.into_iter().chain(FAR_BEYOND) {
            let path = format!("/{count}/{bytes}");

            let ended = asked(&pair, version, wants_trailers(&path)).await;

            // Where the reset overtakes the head, its caller gets an answer of its own sidecar.
            let well = ended.as_ref().is_ok_and(|(status, ..)| *status == 200);
            assert!(!well, "{version:?} {path}: {ended:?}");
            let far = version == Version::HTTP_2 && FAR_BEYOND.contains(&(count, bytes));
            let reason = match far {
                true => "upstream_head_too_large",
                false => "response_trailers_too_large",
            };
            let wanted =
                |line: &serde_json::Value| line["path"] == *path && line["reason"] == reason;
            pair.called.logged(&format!("{reason} of {path}"), wanted);
            assert!(counted(&pair.called, "countersign_limited_total", reason).await > 0);
        }
    }
    let mut shared = h2(pair.calling.at("http")).await;
    let good = shared.send_request(wants_trailers("/1/1")).await.unwrap();
    let bad = match shared.send_request(wants_trailers("/1/204800")).await {
        Ok(bad) => bad.status() == 200 && whole(bad).await.is_ok(),
        Err(_) => false,
    };
    assert!(!bad, "it ended well");
    assert_eq!(whole(good).await.unwrap().2, lines(1, 1), "beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_trailers_beyond_a_limit_grpc_sees_a_status_with_the_reason_and_others_a_reset() {
    let (calling, mut calls) = tokio::sync::mpsc::channel(1);
    let app = HttpApp::serving(move |request: Request<Incoming>| {
        let calling = calling.clone();
        async move {
            let (pen, flow) = Flow::open();
            calling.send(pen).await.unwrap();
            let mut answer = Response::new(flow);
            if let Some(kind) = request.headers().get("content-type") {
                let kind = kind.clone();
                answer.headers_mut().insert("content-type", kind);
            }
            answer
        }
    })
    .await;
    let pair = Pair::before(app.addr);
    let mut call = wants_trailers("/grpc");
    let grpc = HeaderValue::from_static("application/grpc+proto");
    call.headers_mut().insert("content-type", grpc);
    let answer = pair.send(Version::HTTP_2, call).await;
    let pen = within("a call", calls.recv()).await.unwrap();

    pen.trailers(lines(1, 80 << 10)).await;
    let (status, _, trailers) = whole(answer).await.unwrap();

    let told = [
        ("grpc-status", "8"),
        ("grpc-message", "response_trailers_too_large"),
    ];
    assert_eq!((status, trailers), (200, fields(&told)));
    let reason = "response_trailers_too_large";
    let wanted = |line: &serde_json::Value| line["path"] == "/grpc" && line["reason"] == reason;
    pair.called.logged(reason, wanted);
    let answer = pair.send(Version::HTTP_2, wants_trailers("/call")).await;
    let pen = within("a call", calls.recv()).await.unwrap();

    pen.trailers(lines(1, 80 << 10)).await;
    let error = whole(answer).await.unwrap_err();

    let source = std::error::Error::source(&error).unwrap();
    let reason = source.downcast_ref::<h2::Error>().unwrap().reason();
    assert_eq!(reason, Some(h2::Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_trailers_are_beyond_a_limit_never_ends_well_at_the_app() {
    // The app says that it was called, and how the request ended when it has.
    let (telling, mut told) = tokio::sync::mpsc::channel(16);
    let app = HttpApp::serving(move |request: Request<Incoming>| {
        let telling = telling.clone();
        async move {
            telling.send(None).await.unwrap();
            let ended = request.into_body().collect().await;
            telling.send(Some(ended.is_ok())).await.unwrap();
            Response::new(Flow::of("read"))
        }
    })
    .await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        // The app's own bound over HTTP/1 is hyper's, 16 KiB.
        let fitting = match version {
            Version::HTTP_2 => (1, 60 << 10),
            _ => (1, 15 << 10),
        };
        for (count, bytes) in [fitting].into_iter().chain(BEYOND) {
            let (pen, flow) = Flow::open();
            let mut request = request("POST", "/upload", flow);
            *request.headers_mut() = fields(&[("trailer", "x-much")]);
            pen.data("beginning").await;
            let ending = async {
                assert_eq!(within("a call", told.recv()).await, Some(None));
                pen.trailers(lines(count, bytes)).await;
                within("an end", told.recv()).await.flatten()
            };

            let sent = asked(&pair, version, request);
            let (answer, whole) = tokio::join!(sent, ending);

            let what = format!("{version:?} {count} of {bytes}");
            let fits = (count, bytes) == fitting;
            assert_eq!(whole, Some(fits), "{what}");
            let (status, head, _) = answer.unwrap();
            if fits {
                assert_eq!(status, 200, "{what}");
                continue;
            }
            let told = "countersign; error=http_request_error; details=\"request_trailers_too_large\"; reached=?1";
            assert_eq!(
                (status, &head["proxy-status"]),
                (431, &HeaderValue::from_static(told)),
                "{what}"
            );
        }
    }
    let reason = "request_trailers_too_large";
    assert!(counted(&pair.calling, "countersign_limited_total", reason).await > 0);
    pair.calling.logged(reason, |line| line["reason"] == reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_answered_before_too_large_trailers_came_never_sees_a_good_end_either() {
    let (calling, mut calls) = tokio::sync::mpsc::channel(1);
    let app = HttpApp::serving(move |request: Request<Incoming>| {
        let calling = calling.clone();
        async move {
            let (pen, flow) = Flow::open();
            calling.send((request, pen)).await.unwrap();
            Response::new(flow)
        }
    })
    .await;
    let pair = Pair::before(app.addr);
    for (bytes, reason) in [
        (80 << 10, "request_trailers_too_large"),
        (600 << 10, "head_too_large"),
    ] {
        let (pen, flow) = Flow::open();
        let answer = pair
            .send(Version::HTTP_2, request("POST", "/early", flow))
            .await;
        let (mut request, _answering) = within("a call", calls.recv()).await.unwrap();
        assert!(pen.data("one").await);
        frame(request.body_mut()).await.unwrap().unwrap();

        pen.trailers(lines(1, bytes)).await;

        assert!(request.into_body().collect().await.is_err(), "{bytes}");
        assert!(whole(answer).await.is_err(), "{bytes}");
        pair.calling.logged(reason, |line| {
            line["reason"] == reason && line["status"] == 200
        });
    }
}
