//! Requests that are under way when a policy comes into force that forbids them: they end at once, however they stand, and
//! what is still allowed beside them does not notice.

use crate::support::app::HttpApp;
use crate::support::http::{Flow, Pen, as_h1, frame, get, h1, h2, request};
use crate::support::pair::{Otherwise, Pair};
use crate::support::within;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];
/// What is promised, from the moment at which the new generation is in force.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

const BOTH: &str = "\
rules:
  - { name: reads, from: [\"spiffe://shop.example/storefront\"], allow: [{ paths: [\"/kept/**\"] }] }
  - { name: may go, from: [\"spiffe://shop.example/storefront\"], allow: [{ paths: [\"/gone/**\"] }] }
";
const ONE: &str = "\
rules:
  - { name: reads, from: [\"spiffe://shop.example/storefront\"], allow: [{ paths: [\"/kept/**\"] }] }
  - { name: goes, from: [\"spiffe://shop.example/**\"], deny: [{ paths: [\"/gone/**\"] }] }
";

/// The pair, before an app whose answers the test writes: each request comes out of the channel with a pen for its answer.
struct World {
    pair: Pair,
    _app: HttpApp,
    calls: Mutex<mpsc::Receiver<(Request<Incoming>, Option<Pen>)>>,
}

impl World {
    async fn start() -> Self {
        let (calling, calls) = mpsc::channel(16);
        let app = HttpApp::serving(move |request: Request<Incoming>| {
            let calling = calling.clone();
            async move {
                let never = request.uri().path().ends_with("/never");
                let (pen, flow) = Flow::open();
                let pen = if never { None } else { Some(pen) };
                calling.send((request, pen)).await.expect("the test runs");
                if never {
                    std::future::pending::<()>().await;
                }
                Response::new(flow)
            }
        })
        .await;
        let otherwise = Otherwise {
            policy: BOTH,
            ..Otherwise::default()
        };
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        World {
            pair: Pair::around_with(app.addr, nobody, otherwise),
            _app: app,
            calls: Mutex::new(calls),
        }
    }

    /// What arrived at the app.
    async fn call(&self) -> (Request<Incoming>, Option<Pen>) {
        let mut calls = self.calls.lock().await;
        within("a call", calls.recv()).await.unwrap()
    }

    /// A request whose both bodies are under way: the caller's pen and answer, the app's request and pen.
    async fn open(
        &self,
        sent: impl Future<Output = Response<Incoming>>,
    ) -> (Response<Incoming>, Request<Incoming>, Pen) {
        let (answer, (request, pen)) = tokio::join!(sent, self.call());
        (answer, request, pen.unwrap())
    }

    /// Forbids `/gone`, and waits until that is in force.
    async fn forbid(&self) -> Instant {
        let series = "countersign_config_generation";
        let before = self.pair.called.count(series).await;
        self.pair.orders.policy(ONE);
        self.pair.called.counts(series, before + 1).await;
        Instant::now()
    }

    /// How the request of this path was told at its callee.
    fn told(&self, path: &str) -> (String, String, String, u64) {
        let line = self.pair.called.logged(path, |line| line["path"] == *path);
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let status = line["status"].as_u64().unwrap_or_default();
        (text("verdict"), text("reason"), text("rule"), status)
    }
}

fn changed(status: u64) -> (String, String, String, u64) {
    let text = str::to_owned;
    (
        text("allowed"),
        text("policy_changed"),
        text("goes"),
        status,
    )
}

async fn in_time(what: &str, since: Instant, ended: impl Future<Output = ()>) {
    within(what, ended).await;
    let took = since.elapsed();
    assert!(took < ENDS_WITHIN, "{what}: after {took:?}");
}

/// Reads to the end, which must be no good one.
async fn is_cut(mut body: Incoming) {
    while let Some(frame) = frame(&mut body).await {
        if frame.is_err() {
            return;
        }
    }
    panic!("it ended as if it were whole");
}

/// Writes until nobody takes it: a server of HTTP/1 that is still asked for its answer learns of its caller's end in no other way.
async fn is_refused(pen: &Pen) {
    while pen.data("on").await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What goes into one end comes out of the other.
async fn flows(pen: &Pen, body: &mut Incoming) {
    assert!(pen.data("on").await);
    let data = frame(body).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, Bytes::from("on"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_streams_on_one_connection_the_forbidden_one_ends_and_the_other_goes_on() {
    for version in VERSIONS {
        let world = World::start().await;
        let at = world.pair.calling.at("http");
        let mut shared = h2(at).await;
        let mut send = async |request: Request<Flow>| match version {
            Version::HTTP_2 => shared.send_request(request).await.unwrap(),
            _ => h1(at).await.send_request(as_h1(request)).await.unwrap(),
        };
        let (kept_pen, flow) = Flow::open();
        let kept = world.open(send(request("POST", "/kept/x", flow))).await;
        let (gone_pen, flow) = Flow::open();
        let gone = world.open(send(request("POST", "/gone/x", flow))).await;
        let (mut kept_answer, mut kept_request, kept_answering) = kept;
        let (gone_answer, mut gone_request, gone_answering) = gone;
        flows(&gone_pen, gone_request.body_mut()).await;
        flows(&kept_pen, kept_request.body_mut()).await;

        let since = world.forbid().await;

        in_time("the answer", since, is_cut(gone_answer.into_body())).await;
        in_time("the request", since, is_cut(gone_request.into_body())).await;
        in_time("the app's pen", since, is_refused(&gone_answering)).await;
        in_time("the caller's pen", since, gone_pen.given_up()).await;
        flows(&kept_pen, kept_request.body_mut()).await;
        flows(&kept_answering, kept_answer.body_mut()).await;
        assert_eq!(world.told("/gone/x"), changed(200), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_request_that_was_not_answered_yet_ends_too() {
    for version in VERSIONS {
        let world = World::start().await;
        let sent = world.pair.send(version, get("/gone/never"));
        let forbidding = async {
            let _call = world.call().await;
            world.forbid().await
        };

        let (answer, since) = tokio::join!(sent, forbidding);

        assert_eq!(answer.status(), 502, "{version:?}");
        assert!(since.elapsed() < ENDS_WITHIN, "{:?}", since.elapsed());
        assert_eq!(world.told("/gone/never"), changed(0), "{version:?}");
    }
}

/// Writes until nobody takes any more.
async fn fill(pen: &Pen) {
    let chunk = Bytes::from(vec![b'x'; 64 << 10]);
    let stuck = Duration::from_millis(300);
    while tokio::time::timeout(stuck, pen.data(chunk.clone()))
        .await
        .is_ok()
    {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_answer_that_its_caller_does_not_read_ends_too() {
    for version in VERSIONS {
        let world = World::start().await;
        let sent = world.pair.send(version, get("/gone/unread"));
        let (_answer, _request, pen) = world.open(sent).await;
        fill(&pen).await;

        let since = world.forbid().await;

        in_time("the app's pen", since, pen.given_up()).await;
        assert_eq!(world.told("/gone/unread"), changed(200), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_request_whose_body_the_app_does_not_read_ends_too() {
    for version in VERSIONS {
        for answered in [true, false] {
            let world = World::start().await;
            let (pen, flow) = Flow::open();
            let path = format!("/gone/{}", if answered { "unread" } else { "never" });
            let sent = world.pair.send(version, request("POST", &path, flow));
            let ends = async {
                let (_request, _answering) = world.call().await;
                fill(&pen).await;

                let since = world.forbid().await;

                in_time("the caller's pen", since, pen.given_up()).await;
            };
            tokio::join!(sent, ends);

            let status = if answered { 200 } else { 0 };
            assert_eq!(world.told(&path), changed(status), "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_forbidden_request_after_its_answer_ends_too() {
    let world = World::start().await;
    let (pen, flow) = Flow::open();
    let sent = world
        .pair
        .send(Version::HTTP_2, request("POST", "/gone/early", flow));
    let (answer, mut asked, answering) = world.open(sent).await;
    drop(answering);
    let mut answer = answer.into_body();
    while let Some(frame) = frame(&mut answer).await {
        assert_eq!(frame.unwrap().into_data().unwrap(), Bytes::new());
    }
    flows(&pen, asked.body_mut()).await;

    let since = world.forbid().await;

    in_time("the request", since, is_cut(asked.into_body())).await;
    in_time("the caller's pen", since, pen.given_up()).await;
}
