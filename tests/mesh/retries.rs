//! What is sent again, proven by servers that remember every request that came to them.

use crate::support::app::{HttpApp, nobody};
use crate::support::http::{Flow, Pen, h1, h2, whole};
use crate::support::mesh::Domain;
use crate::support::pair::{Otherwise, Pair};
use crate::support::recorder::{Fate, Recorder};
use crate::support::sidecar::Sidecar;
use crate::support::{mesh::Member, within};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// storefront's sidecar before these servers, each a service with a budget of its own: `s0`, `s1` and so on.
struct Caller {
    _member: Member,
    sidecar: Sidecar,
}

impl Caller {
    fn of(shop: &Domain, servers: &[SocketAddr], keys: &str) -> Self {
        let member = shop.member("storefront");
        let services: String = servers
            .iter()
            .enumerate()
            .map(|(n, at)| {
                format!(
                    "  - {{ name: s{n}, hosts: [s{n}], identity: \"spiffe://shop.example/orders\", endpoints: [\"{at}\"]{keys} }}\n"
                )
            })
            .collect();
        member.configure(&format!(
            "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n{services}"
        ));
        let sidecar = member.start();
        Caller {
            _member: member,
            sidecar,
        }
    }

    async fn ask(
        &self,
        version: Version,
        method: &str,
        service: usize,
        body: Flow,
    ) -> Response<Incoming> {
        let request = Request::builder().method(method);
        let request = match version {
            Version::HTTP_2 => request.uri(format!("http://s{service}/x")),
            _ => request.uri("/x").header("host", format!("s{service}")),
        };
        self.send(version, request.body(body).unwrap()).await
    }

    async fn send(&self, version: Version, request: Request<Flow>) -> Response<Incoming> {
        let at = self.sidecar.at("http");
        let answer = async {
            match version {
                Version::HTTP_2 => h2(at).await.send_request(request).await,
                _ => h1(at).await.send_request(request).await,
            }
        };
        within("an answer", answer).await.unwrap()
    }

    async fn retried(&self, service: usize, on: &str, result: &str) -> u64 {
        let series = format!(
            "countersign_retries_total{{service=\"s{service}\",on=\"{on}\",result=\"{result}\"}}"
        );
        self.sidecar.count(&series).await
    }
}

/// A small body that says how long it is.
fn posted() -> Flow {
    Flow::of(Bytes::from_static(b"buy one"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_post_comes_twice_that_may_have_been_looked_at() {
    const NOTHING: (&str, &str) = ("x-nothing", "");
    let (both, h1_only, h2_only) = (&VERSIONS[..], &VERSIONS[..1], &VERSIONS[1..]);
    // How often a POST comes, and how often a GET, where one retry is allowed.
    let cases = [
        (Fate::Reset, both, (1, 2)),
        (Fate::ResetWithinHead, h1_only, (1, 1)),
        (Fate::ResetWithinBody, h1_only, (1, 1)),
        (Fate::Answered(503, NOTHING), both, (1, 2)),
        (Fate::Answered(503, ("retry-after", "0")), both, (1, 2)),
        (Fate::Answered(503, ("retry-after", "1")), both, (1, 2)),
        (Fate::Answered(503, ("retry-after", "60")), both, (1, 1)),
        (Fate::Answered(503, ("retry-after", "later")), both, (1, 1)),
        (Fate::Answered(200, ("grpc-status", "14")), both, (1, 2)),
        (
            Fate::Answered(503, ("grpc-retry-pushback-ms", "9")),
            both,
            (1, 2),
        ),
        (
            Fate::Answered(503, ("grpc-retry-pushback-ms", "-1")),
            both,
            (1, 1),
        ),
        (Fate::Answered(500, NOTHING), both, (1, 1)),
        (Fate::Answered(200, NOTHING), both, (1, 1)),
        // Nobody looked at these.
        (Fate::Refused, h2_only, (2, 2)),
        (Fate::GoneAway, h2_only, (2, 2)),
    ];
    let shop = Domain::new("shop.example");
    for version in VERSIONS {
        let mut servers = Vec::new();
        for (fate, ..) in cases {
            servers.push(Recorder::start(&shop.svid("orders"), move |_| fate).await);
        }
        let at: Vec<_> = servers.iter().map(|server| server.at).collect();
        let caller = Caller::of(&shop, &at, ", retries: { attempts: 1 }");
        for (n, (fate, versions, expected)) in cases.iter().enumerate() {
            if !versions.contains(&version) {
                continue;
            }
            let began = Instant::now();
            let post = Request::builder().method("POST");
            let post = match version {
                Version::HTTP_2 => post.uri(format!("http://s{n}/x")),
                _ => post.uri("/x").header("host", format!("s{n}")),
            };
            let post = post.header("content-length", 7).body(posted()).unwrap();
            // That what is cut looks cut is another test's.
            let _ = whole(caller.send(version, post).await).await;
            let posts = servers[n].came().len();
            let _ = whole(caller.ask(version, "GET", n, Flow::none()).await).await;
            let gets = servers[n].came().len() - posts;
            assert_eq!((posts, gets), *expected, "{version:?} {fate:?}");
            if matches!(fate, Fate::Answered(_, ("retry-after", "1"))) {
                assert!(began.elapsed() >= Duration::from_secs(1), "it did not wait");
            }
            for (came, nth) in servers[n].came()[posts..].iter().zip(1..) {
                let mark = (nth == 2 && !came.method.is_empty()).then(|| "2".to_owned());
                assert_eq!(came.attempt, mark, "{version:?} {fate:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_found_no_connection_is_tried_again_whatever_its_method() {
    let refuses = nobody();
    let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = hangs_up.local_addr().unwrap();
    tokio::spawn(async move { while hangs_up.accept().await.is_ok() {} });

    let shop = Domain::new("shop.example");
    for version in VERSIONS {
        let caller = Caller::of(&shop, &[refuses, no_tls], ", retries: { attempts: 1 }");
        for service in [0, 1] {
            for (method, asked) in [("POST", 1), ("GET", 2)] {
                let answer = caller.ask(version, method, service, Flow::none()).await;
                assert_eq!(answer.status(), 502);
                let told = answer.headers()["proxy-status"].to_str().unwrap();
                assert!(told.ends_with("reached=?0"), "{told}");
                let retried = caller.retried(service, "connect-failure", "sent").await;
                assert_eq!(retried, asked, "{version:?} {method} s{service}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_did_not_look_at_goes_to_another_that_is_there() {
    let shop = Domain::new("shop.example");
    let refusing = Recorder::start(&shop.svid("orders"), |_| Fate::Refused).await;
    let good = Recorder::start(&shop.svid("orders"), |_| Fate::Answered(200, ("x-n", ""))).await;
    let member = shop.member("storefront");
    member.configure(&format!(
        "outbound:\n  - {{ name: http, listen: \"127.0.0.1:0\", protocol: http }}\nservices:\n  - {{ name: s0, hosts: [s0], \
         identity: \"spiffe://shop.example/orders\", endpoints: [\"{}\", \"{}\"] }}\n",
        refusing.at, good.at
    ));
    let sidecar = member.start();
    let caller = Arc::new(Caller {
        _member: member,
        sidecar,
    });

    // At once, so that the turns of some come between the two of another; as many as the budget has for a beginning.
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let caller = caller.clone();
        asking.spawn(async move { caller.ask(Version::HTTP_2, "POST", 0, posted()).await });
    }
    while let Some(answer) = asking.join_next().await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let came = refusing.came();
    assert!(!came.is_empty() && good.came().len() == 6);
    let again = came.iter().filter(|it| it.attempt.is_some()).count();
    assert_eq!(again, 0, "of {} that it refused", came.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_kept_comes_whole_the_second_time_and_a_larger_one_is_sent_once() {
    let shop = Domain::new("shop.example");
    let first_refused = |nth| match nth {
        0 => Fate::Refused,
        _ => Fate::Answered(200, ("x-n", "")),
    };
    let server = async || Recorder::start(&shop.svid("orders"), first_refused).await;
    let servers = [server().await, server().await, server().await];
    let at = servers.each_ref().map(|server| server.at);
    let caller = Caller::of(&shop, &at, ", retries: { attempts: 1 }");

    // 64 KiB, in pieces; one byte more; and one byte more that says so before.
    let piece = |n: usize| Bytes::from(vec![b'a' + u8::try_from(n % 26).unwrap(); 4 * 1024]);
    let full: Vec<u8> = (0..16).flat_map(|n| piece(n).to_vec()).collect();
    for (service, more, says) in [(0, 0, false), (1, 1, false), (2, 1, true)] {
        let (pen, flow) = Flow::open();
        tokio::spawn(write(pen, full.clone(), more));
        let request = Request::builder()
            .method("POST")
            .uri(format!("http://s{service}/x"));
        let request = match says {
            true => request.header("content-length", full.len() + more),
            false => request,
        };
        let answer = caller
            .send(Version::HTTP_2, request.body(flow).unwrap())
            .await;
        let came = servers[service].came();
        let whole = full.len() + more;
        assert_eq!(came[0].body.len(), whole, "s{service}");
        if more == 0 {
            assert_eq!((answer.status().as_u16(), came.len()), (200, 2));
            assert!(came[1].body == full, "another body");
        } else {
            assert_eq!(
                (answer.status().as_u16(), came.len()),
                (502, 1),
                "s{service}"
            );
            assert_eq!(
                answer.headers()["proxy-status"],
                "countersign; error=connection_terminated; details=\"not_processed\"; reached=?0"
            );
        }
    }
}

async fn write(pen: Pen, bytes: Vec<u8>, more: usize) {
    for piece in bytes.chunks(4 * 1024) {
        pen.data(piece.to_vec()).await;
    }
    if more > 0 {
        pen.data(vec![b'.'; more]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_holds_when_everything_fails() {
    const REQUESTS: usize = 1000;
    let shop = Domain::new("shop.example");
    let unavailable = Fate::Answered(503, ("x-n", ""));
    for (keys, fate) in [
        (", retries: { attempts: 5 }", unavailable),
        (", retries: { attempts: 5 }", Fate::Reset),
        // Also where the service says nothing: what is declined is sent again.
        ("", Fate::Refused),
    ] {
        let server = Recorder::start(&shop.svid("orders"), move |_| fate).await;
        let caller = Caller::of(&shop, &[server.at], keys);
        let at = caller.sidecar.at("http");
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            callers.spawn(async move {
                let mut sender = h2(at).await;
                for _ in 0..REQUESTS / 10 {
                    let get = Request::builder().uri("http://s0/x");
                    let get = get.body(Flow::none()).unwrap();
                    let _ = whole(sender.send_request(get).await.unwrap()).await;
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        let came = server.came().len();
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        let most = REQUESTS + REQUESTS / 5 + 3 * (seconds + 1);
        assert!(came <= most, "{fate:?}: {came} of at most {most}");
        assert!(
            came > REQUESTS + 20,
            "{fate:?}: {came}: nothing was sent again"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_not_retried_further_on_and_never_on_the_way_in() {
    for version in VERSIONS {
        let app = HttpApp::answering(|_| {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"no")));
            *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
        .await;
        let service = ", retries: { attempts: 2 }";
        let otherwise = Otherwise {
            service,
            ..Otherwise::default()
        };
        let pair = Pair::around_with(app.addr, app.addr, otherwise);
        let get = crate::support::http::get;
        assert_eq!(pair.send(version, get("/x")).await.status(), 503);
        let marks: Vec<_> = app
            .seen()
            .iter()
            .map(|seen| seen.header("x-countersign-attempt").map(str::to_owned))
            .collect();
        assert_eq!(marks, [None, Some("2".into()), Some("3".into())]);

        let mut marked = get("/y");
        let mark = HeaderValue::from_static("3");
        marked.headers_mut().insert("x-countersign-attempt", mark);
        assert_eq!(pair.send(version, marked).await.status(), 503);
        assert_eq!(app.seen().len(), 4);
        assert_eq!(app.seen()[3].header("x-countersign-attempt"), Some("3"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_takes_longer_than_it_may_is_504_or_cut() {
    let (pen, flow) = Flow::open();
    let flow = std::sync::Mutex::new(Some(flow));
    let app = HttpApp::serving(move |request| {
        let flow = match request.uri().path() {
            "/body" => flow.lock().unwrap().take(),
            _ => None,
        };
        async move {
            match flow {
                Some(flow) => Response::new(flow),
                None => std::future::pending().await,
            }
        }
    })
    .await;
    let otherwise = Otherwise {
        service: ", totalTimeout: 2s, timeout: 1m",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, app.addr, otherwise);
    let get = crate::support::http::get;

    let late = pair.send(Version::HTTP_11, get("/head")).await;
    assert_eq!(late.status(), 504);
    assert_eq!(
        late.headers()["proxy-status"],
        "countersign; error=http_response_timeout; details=\"no_response_in_time\"; reached=?1"
    );
    let cut = pair.send(Version::HTTP_2, get("/body")).await;
    assert_eq!(cut.status(), 200);
    assert!(pen.data("begun").await);
    assert!(whole(cut).await.is_err(), "it looks whole");
    let line = pair
        .calling
        .logged("the cut", |line| line["path"] == "/body");
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&"response_not_in_time".into(), &200.into())
    );
    pen.given_up().await;
}
