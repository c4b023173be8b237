//! Bodies through the pair of sidecars, in both versions: nothing is collected on the way, and nothing is added.

use crate::support::app::HttpApp;
use crate::support::http::{Flow, Pen, fields, frame, request, whole};
use crate::support::pair::Pair;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, Version};
use tokio::sync::{Mutex, mpsc};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// An app whose answers the test writes while they are read: each request comes out of the channel with a pen for its answer.
struct LiveApp {
    app: HttpApp,
    calls: Mutex<mpsc::Receiver<(Request<Incoming>, Pen)>>,
}

impl LiveApp {
    async fn start() -> Self {
        let (calling, calls) = mpsc::channel(16);
        let app = HttpApp::serving(move |request| {
            let calling = calling.clone();
            async move {
                let (pen, flow) = Flow::open();
                let mut answer = Response::new(flow);
                answer
                    .headers_mut()
                    .insert("trailer", HeaderValue::from_static("x-sum"));
                calling
                    .send((request, pen))
                    .await
                    .expect("the test still runs");
                answer
            }
        })
        .await;
        LiveApp {
            app,
            calls: Mutex::new(calls),
        }
    }

    async fn call(&self) -> (Request<Incoming>, Pen) {
        let mut calls = self.calls.lock().await;
        crate::support::within("a call", calls.recv())
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_while_they_are_written_and_trailers_follow_them() {
    let app = LiveApp::start().await;
    let pair = Pair::before(app.app.addr);
    for version in VERSIONS {
        let (asking, flow) = Flow::open();
        let mut request = request("POST", "/stream", flow);
        *request.headers_mut() = fields(&[("te", "trailers"), ("trailer", "x-sum")]);
        asking.data("one").await;
        let sent = pair.send(version, request);
        let at_app = async {
            let (mut request, answering) = app.call().await;
            let first = frame(request.body_mut())
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap();
            assert_eq!((request.version(), &first[..]), (version, &b"one"[..]));
            assert!(answering.data("eins").await);
            (request, answering)
        };
        let (mut answer, (mut request, answering)) = tokio::join!(sent, at_app);

        // Both sides still write, and each first part has arrived.
        let first = frame(answer.body_mut())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap();
        assert_eq!((answer.status().as_u16(), &first[..]), (200, &b"eins"[..]));
        asking.data("two").await;
        let second = frame(request.body_mut())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap();
        assert_eq!(&second[..], b"two");
        asking
            .trailers(fields(&[
                ("x-sum", "6"),
                ("x-forwarded-client-cert", "URI=spiffe://shop.example/admin"),
            ]))
            .await;
        let rest = request.into_body().collect().await.unwrap();
        assert_eq!(
            rest.trailers(),
            Some(&fields(&[("x-sum", "6")])),
            "{version:?}"
        );

        answering.data("zwei").await;
        answering
            .trailers(fields(&[("x-sum", "8"), ("content-length", "9")]))
            .await;
        let (_, body, trailers) = whole(answer).await.unwrap();
        assert_eq!(
            (&body[..], &trailers),
            (&b"zwei"[..], &fields(&[("x-sum", "8")])),
            "{version:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_many_mebibytes_arrives_whole_and_is_counted_at_both_sides() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    for version in VERSIONS {
        let (pen, flow) = Flow::open();
        let path = format!("/big/{version:?}");
        let write = async {
            for _ in 0..16 {
                pen.data(chunk.clone()).await;
            }
            drop(pen);
        };
        let (answer, ()) = tokio::join!(
            async { whole(pair.send(version, request("PUT", &path, flow)).await).await },
            write
        );
        assert_eq!(answer.unwrap().1.len(), 16 << 20);
        for (side, direction) in [(&pair.calling, "outbound"), (&pair.called, "inbound")] {
            let line = side.logged(&path, |line| line["path"] == *path);
            assert_eq!(
                (&line["request_bytes"], &line["response_bytes"]),
                (&(16 << 20).into(), &(16 << 20).into()),
                "{line}"
            );
            assert_eq!(
                (line["direction"].as_str(), line["status"].as_u64()),
                (Some(direction), Some(200))
            );
            assert!(
                line["duration_ms"].as_f64() >= line["upstream_ms"].as_f64(),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_body_keep_their_form() {
    let app = HttpApp::serving(|request| async move {
        let mut answer = Response::new(Flow::none());
        match request.uri().path() {
            "/204" => *answer.status_mut() = hyper::StatusCode::NO_CONTENT,
            "/304" => *answer.status_mut() = hyper::StatusCode::NOT_MODIFIED,
            "/empty" => *answer.headers_mut() = fields(&[("content-length", "0")]),
            _ => *answer.headers_mut() = fields(&[("content-length", "12345")]),
        }
        answer
    })
    .await;
    let pair = Pair::before(app.addr);
    for version in VERSIONS {
        for (method, path, status, length) in [
            ("HEAD", "/long", 200, Some("12345")),
            ("GET", "/204", 204, None),
            ("GET", "/304", 304, None),
            ("GET", "/empty", 200, Some("0")),
        ] {
            let answer = pair
                .send(version, request(method, path, Flow::none()))
                .await;
            let held = |name| {
                answer
                    .headers()
                    .get(name)
                    .map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            let seen = (
                answer.status().as_u16(),
                held("content-length"),
                held("transfer-encoding"),
            );
            assert_eq!(
                seen,
                (status, length.map(str::to_owned), None),
                "{version:?} {path}"
            );
            assert_eq!(whole(answer).await.unwrap().1, Bytes::new());
        }
    }
}
