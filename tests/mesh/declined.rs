//! What a sidecar without its app declines is sent to another replica, whatever its method; and only a sidecar's own word counts.

use crate::support::app::HttpApp;
use crate::support::http::{Flow, as_h1, fields, h1, h2, request, whole};
use crate::support::mesh::{Domain, Member, allow_all};
use crate::support::sidecar::Sidecar;
use crate::support::{until, within};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// Replicas of `orders` before these apps, and `storefront`, who knows all of them.
struct Replicas {
    _members: Vec<Member>,
    called: Vec<Sidecar>,
    calling: Sidecar,
}

impl Replicas {
    fn before(apps: &[SocketAddr]) -> Self {
        Self::behind(apps, |_, web| web)
    }

    /// The same, each known as where `wire` leads from.
    fn behind(apps: &[SocketAddr], wire: impl Fn(usize, SocketAddr) -> SocketAddr) -> Self {
        let shop = Domain::new("shop.example");
        let (mut members, mut called) = (Vec::new(), Vec::new());
        for app in apps {
            let member = shop.member("orders");
            member.policy(&allow_all(&["spiffe://shop.example/storefront"]));
            member.configure(&format!(
                "inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http }}]\npolicy: {{ file: policy.yaml }}\n\
                 limits: {{ drainDelay: 0s }}\n"
            ));
            called.push(member.start());
            members.push(member);
        }
        let web = |(nth, it): (usize, &Sidecar)| wire(nth, it.at("web")).to_string();
        let endpoints: Vec<_> = called.iter().enumerate().map(web).collect();
        let member = shop.member("storefront");
        member.configure(&format!(
            "outbound: [{{ name: http, listen: \"127.0.0.1:0\", protocol: http }}]\nservices: [{{ name: orders, hosts: [orders], \
             identity: \"spiffe://shop.example/orders\", endpoints: {endpoints:?} }}]\n"
        ));
        let calling = member.start();
        members.push(member);
        Replicas {
            _members: members,
            called,
            calling,
        }
    }

    /// Sends a POST, of whose length it says nothing where it can; what is answered, and what `Proxy-Status` says.
    async fn post(&self, version: Version, body: &str) -> (u16, Bytes, Option<String>) {
        let mut post = request("POST", "/buy", Flow::of(body.to_owned()));
        if version == Version::HTTP_11 {
            post.headers_mut()
                .extend(fields(&[("content-length", &body.len().to_string())]));
        }
        let at = self.calling.at("http");
        let answer = async {
            match version {
                Version::HTTP_2 => h2(at).await.send_request(post).await,
                _ => h1(at).await.send_request(as_h1(post)).await,
            }
        };
        let answer = within("an answer", answer).await.unwrap();
        assert!(
            !answer.headers().contains_key("x-countersign-declined"),
            "{answer:?}"
        );
        let said = answer
            .headers()
            .get("proxy-status")
            .map(|said| said.to_str().unwrap().to_owned());
        let (status, body, _) = whole(answer).await.unwrap();
        (status, body, said)
    }

    async fn retried(&self, on: &str) -> u64 {
        let series =
            format!("countersign_retries_total{{service=\"orders\",on=\"{on}\",result=\"sent\"}}");
        self.calling.count(&series).await
    }
}

/// Nobody listens there.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_a_sidecar_without_its_app_declines_goes_to_the_other_replica() {
    for version in VERSIONS {
        let app = HttpApp::start().await;
        let replicas = Replicas::before(&[nobody(), app.addr]);

        // One that takes long to connect is passed over for a while, on a busy machine.
        let posted = AtomicUsize::new(0);
        let declined = until("a POST that was declined", async || {
            let body = format!("buy {}", posted.fetch_add(1, Ordering::Relaxed));
            let (status, came, said) = replicas.post(version, &body).await;
            assert_eq!(
                (status, &came[..]),
                (200, body.as_bytes()),
                "{version:?} {said:?}"
            );
            let declined = replicas.retried("no-app").await;
            (declined > 0).then_some(declined)
        })
        .await;

        assert_eq!(app.seen().len(), posted.into_inner(), "{version:?}");
        let ejected = "countersign_ejections_total{service=\"orders\",reason=\"app_not_up\"}";
        assert_eq!(
            replicas.calling.count(ejected).await,
            declined,
            "{version:?}"
        );
        drop(replicas.called);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_replica_has_an_app_the_answer_is_that_of_the_last() {
    for version in VERSIONS {
        for apps in [&[nobody()][..], &[nobody(), nobody()][..]] {
            let replicas = Replicas::before(apps);

            let (status, _, said) = replicas.post(version, "buy").await;

            assert_eq!(status, 503, "{version:?} {said:?}");
            assert_eq!(
                said.as_deref(),
                Some(
                    "countersign; error=destination_unavailable; details=\"app_not_up\"; reached=?0"
                )
            );
            // Each is asked once, as where none takes a connection.
            let retried = replicas.retried("no-app").await;
            assert_eq!(retried, apps.len() as u64 - 1, "{version:?}");
            assert_eq!(replicas.retried("declined").await, 0, "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_cannot_say_that_it_was_not_reached() {
    for version in VERSIONS {
        let app = HttpApp::answering(|_| {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"no")));
            *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            let lie = [
                ("x-countersign-declined", "unavailable"),
                ("x-countersign_declined", "unprocessed"),
            ];
            answer.headers_mut().extend(fields(&lie));
            answer
        })
        .await;
        let replicas = Replicas::before(&[app.addr, app.addr]);

        assert_eq!(replicas.post(version, "buy").await.0, 503);

        assert_eq!(app.seen().len(), 1, "{version:?}");
    }
}

/// Ways to servers, on which what servers send can be held up.
#[derive(Clone)]
struct Ways(Arc<State>);

struct State {
    held: watch::Sender<bool>,
    /// Connections that their server has closed.
    closed: watch::Sender<usize>,
    /// What came for a server that has closed.
    in_vain: watch::Sender<usize>,
}

impl Ways {
    fn new() -> Self {
        Ways(Arc::new(State {
            held: watch::Sender::new(false),
            closed: watch::Sender::new(0),
            in_vain: watch::Sender::new(0),
        }))
    }

    /// Where a way to this server begins.
    fn to(&self, server: SocketAddr) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (listener, ways) = (TcpListener::from_std(listener).unwrap(), self.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Where nobody is, the way ends too.
                if let Ok(far) = TcpStream::connect(server).await {
                    let (near, far, has_closed) =
                        (near.into_split(), far.into_split(), Arc::default());
                    tokio::spawn(ways.clone().forth(near.0, far.1, Arc::clone(&has_closed)));
                    tokio::spawn(ways.clone().back(far.0, near.1, has_closed));
                }
            }
        });
        at
    }

    async fn forth(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        has_closed: Arc<AtomicBool>,
    ) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            // It may be gone.
            let _ = to.write_all(&buffer[..count]).await;
            if has_closed.load(Ordering::Relaxed) {
                self.0.in_vain.send_modify(|count| *count += 1);
            }
        }
        let _ = to.shutdown().await;
    }

    async fn back(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        has_closed: Arc<AtomicBool>,
    ) {
        let (sent, mut come) = mpsc::unbounded_channel::<Vec<u8>>();
        let mut held = self.0.held.subscribe();
        tokio::spawn(async move {
            while let Some(bytes) = come.recv().await {
                let is_free = held.wait_for(|held| !held).await.is_ok();
                if !is_free || to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = held.wait_for(|held| !held).await;
            let _ = to.shutdown().await;
        });
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if sent.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
        has_closed.store(true, Ordering::Relaxed);
        self.0.closed.send_modify(|count| *count += 1);
    }

    /// Waits for the first connection that its server closes.
    async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        within("an end", closed.wait_for(|count| *count > 0))
            .await
            .unwrap();
    }

    /// Waits until something came for a server that has closed.
    async fn in_vain(&self) {
        let mut in_vain = self.0.in_vain.subscribe();
        within("a request", in_vain.wait_for(|count| *count > 0))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_on_its_way_to_a_sidecar_that_closes_its_quiet_connection_goes_to_the_other_replica()
{
    let apps = [HttpApp::start().await, HttpApp::start().await];
    let (straight, slow) = (Ways::new(), Ways::new());
    let all = [apps[0].addr, apps[1].addr];
    let way = |nth: usize, web| match nth {
        0 => slow.to(web),
        _ => straight.to(web),
    };
    let replicas = Replicas::behind(&all, way);
    let seen = || apps.each_ref().map(|app| app.seen().len());
    let before = until("a connection that is kept to each", async || {
        assert_eq!(replicas.post(Version::HTTP_11, "first").await.0, 200);
        let seen = seen();
        seen.iter().all(|count| *count > 0).then_some(seen)
    })
    .await;

    slow.0.held.send_replace(true);
    replicas.called[0].process.ask_to_end();
    slow.closed().await;
    let release = async {
        slow.in_vain().await;
        slow.0.held.send_replace(false);
    };
    let (second, third, ()) = tokio::join!(
        replicas.post(Version::HTTP_11, "second"),
        replicas.post(Version::HTTP_11, "third"),
        release
    );

    assert_eq!((second.0, third.0), (200, 200), "{second:?} {third:?}");
    assert_eq!(seen(), [before[0], before[1] + 2]);
    assert_eq!(
        replicas.retried("declined").await,
        1,
        "one of them met the connection that was closed"
    );
}
