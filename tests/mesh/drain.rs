//! Asked to end: not ready at once, then nothing new, then what is left is cut and told.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::{Client, ask, listen};
use crate::support::http::{Flow, Pen, as_h1, frame, get, h1, h2, whole};
use crate::support::mesh::{COMMON, Domain, Member, allow_all};
use crate::support::pair::{Otherwise, Pair, inbound, outbound};
use crate::support::process::{Ran, countersign, run};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, until, within};
use hyper::{Response, Version};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::client::TlsStream;

/// An app that answers at once, but for `/slow`, whose answers a test writes.
struct Slow {
    app: HttpApp,
    pens: Mutex<mpsc::Receiver<Pen>>,
}

impl Slow {
    async fn start() -> Self {
        let (calling, pens) = mpsc::channel(16);
        let app = HttpApp::serving(move |request| {
            let calling = calling.clone();
            async move {
                if request.uri().path() != "/slow" {
                    return Response::new(Flow::of("quick"));
                }
                let (pen, flow) = Flow::open();
                pen.data("first ").await;
                calling.send(pen).await.expect("the test still runs");
                Response::new(flow)
            }
        })
        .await;
        let pens = Mutex::new(pens);
        Slow { app, pens }
    }

    async fn pen(&self) -> Pen {
        let mut pens = self.pens.lock().await;
        within("a call", pens.recv()).await.unwrap()
    }
}

async fn pair_with(slow: &Slow, db: &EchoApp, limits: &str) -> Pair {
    let otherwise = Otherwise {
        limits,
        ..Otherwise::default()
    };
    Pair::around_with(slow.app.addr, db.addr, otherwise)
}

/// A connection of `storefront` to the port of `orders`, without a sidecar of its own.
async fn caller(pair: &Pair, alpn: &str) -> Client<TlsStream<TcpStream>> {
    let config = tls::client(Some(&pair.shop.svid("storefront")), &[alpn]);
    let dialled = Client::connect_tls(pair.called.at("web"), config, "orders");
    dialled.await.unwrap()
}

async fn ready(sidecar: &Sidecar) -> (u16, String) {
    let page = ask(sidecar.at("health"), "GET", "localhost", "/ready").await;
    (page.status, page.text())
}

async fn refuses(at: SocketAddr) {
    until("the end of accepting", async || {
        TcpStream::connect(at).await.is_err().then_some(())
    })
    .await;
}

const GET: &[u8] = b"GET /quick HTTP/1.1\r\nhost: orders\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_during_the_delay_is_served_and_what_is_in_flight_outlives_the_drain() {
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut pair = pair_with(&slow, &db, "{ drainDelay: 1s }").await;
        let mut answer = pair.send(version, get("/slow")).await;
        let pen = slow.pen().await;
        frame(answer.body_mut()).await.unwrap().unwrap();

        let asked = Instant::now();
        pair.called.process.ask_to_end();
        pair.called.said("not ready any more");
        assert_eq!(
            ready(&pair.called).await,
            (503, "not ready: draining\n".into())
        );
        let mut new = caller(&pair, "http/1.1").await;
        new.send(GET).await.unwrap();
        assert_eq!(new.answer().await.unwrap().status, 200);
        refuses(pair.called.at("web")).await;
        assert!(
            asked.elapsed() >= Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        drop(new);

        assert!(pen.data("last").await, "{version:?}: it is still read");
        drop(pen);
        assert_eq!(&whole(answer).await.unwrap().1[..], b"last", "{version:?}");
        assert_eq!(pair.called.process.end().code(), Some(0), "{version:?}");
        pair.called.said("ended; nothing was cut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_at_the_deadline_is_cut_and_told_by_kind_and_listener() {
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    let limits = "{ drainDelay: 0s, drainDeadline: 500ms }";
    let mut pair = pair_with(&slow, &db, limits).await;
    let http = pair.calling.at("http");
    let mut one = h1(http).await;
    let many = h2(http).await;
    let mut open = vec![one.send_request(as_h1(get("/slow"))).await.unwrap()];
    for _ in 0..2 {
        open.push(many.clone().send_request(get("/slow")).await.unwrap());
    }
    let mut pens = Vec::new();
    for _ in 0..3 {
        pens.push(slow.pen().await);
    }
    let mut tunnel = Client::connect(pair.calling.at("db")).await;
    tunnel.send(b"ping").await.unwrap();
    assert_eq!(tunnel.bytes(4).await.unwrap(), b"ping");

    pair.called.process.ask_to_end();

    assert_eq!(pair.called.process.end().code(), Some(0));
    pair.called
        .said("ended; cut: 1 request, 2 streams on web; 1 tcp connection on db");
    for listener in ["web", "db"] {
        let line = pair
            .called
            .logged("what was cut", |line| line["listener"] == listener);
        assert_eq!(line["reason"], "cut_by_drain", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_goes_on_through_the_drain_and_is_told_as_one_when_it_is_cut() {
    let (app, at) = listen().await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let otherwise = Otherwise {
        limits: "{ drainDelay: 0s, drainDeadline: 1s }",
        ..Otherwise::default()
    };
    let mut pair = Pair::around_with(at, nobody, otherwise);
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let ask = format!(
        "GET / HTTP/1.1\r\nhost: orders\r\n{upgrade}sec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut client = Client::connect(pair.calling.at("http")).await;
    client.send(ask.as_bytes()).await.unwrap();
    let mut served = Client::accept(&app).await;
    served.raw_head().await.unwrap();
    let switched = format!(
        "HTTP/1.1 101 Switching Protocols\r\n{upgrade}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    served.send(switched.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 101);

    pair.called.process.ask_to_end();
    refuses(pair.called.at("web")).await;
    client.send(b"ping").await.unwrap();
    assert_eq!(served.bytes(4).await.unwrap(), b"ping");

    assert_eq!(pair.called.process.end().code(), Some(0));
    pair.called.said("ended; cut: 1 upgraded connection on web");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_connection_gets_one_more_answer_that_says_it_closes() {
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    let mut pair = pair_with(&slow, &db, "{ drainDelay: 0s }").await;
    let mut quiet = caller(&pair, "http/1.1").await;
    quiet.send(GET).await.unwrap();
    let answer = quiet.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, None));

    pair.called.process.ask_to_end();
    refuses(pair.called.at("web")).await;
    quiet.send(GET).await.unwrap();

    let answer = quiet.answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(quiet.rest().await.unwrap(), b"");
    assert_eq!(pair.called.process.end().code(), Some(0));
}

/// A frame's kind and its payload (RFC 9113 §4.1).
async fn h2_frame(client: &mut Client<TlsStream<TcpStream>>) -> (u8, Vec<u8>) {
    let head = client.bytes(9).await.unwrap();
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    (head[3], client.bytes(length).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goaway_comes_in_two_steps() {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    let mut pair = pair_with(&slow, &db, "{ drainDelay: 0s }").await;
    let mut client = caller(&pair, "h2").await;
    client
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // Its SETTINGS: the connection stands.
    assert_eq!(h2_frame(&mut client).await.0, 4);

    pair.called.process.ask_to_end();

    let mut last_streams = Vec::new();
    while last_streams.len() < 2 {
        let (kind, payload) = h2_frame(&mut client).await;
        match kind {
            GOAWAY => last_streams.push(u32::from_be_bytes(payload[..4].try_into().unwrap())),
            PING => {
                // Only now does the server know that we have heard: until here we might have sent more.
                assert_eq!(last_streams, [0x7fff_ffff]);
                let pong = [&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], &payload].concat();
                client.send(&pong).await.unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(last_streams, [0x7fff_ffff, 0]);
    assert_eq!(client.rest().await.unwrap(), b"");
    // What a client has still to say, and says before it has read all of this, finds somebody who reads.
    let word = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
    for _ in 0..3 {
        client.send(&word).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(client);
    assert_eq!(pair.called.process.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_app_calls_stays_open_until_the_app_is_gone() {
    let (web, app) = (HttpApp::start().await, HttpApp::start().await);
    let pair = Pair::before(web.addr);
    let both = pair.shop.member("storefront");
    both.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    let (to, nobody) = (pair.called.at("web"), SocketAddr::from(([127, 0, 0, 1], 1)));
    let called = inbound(app.addr, nobody, "{ drainDelay: 100ms }");
    let calls = outbound(to, nobody, "{}", "").replace("limits: {}\n", "");
    let calls = calls.replace("{ name: db,", "{ name: other-db,");
    both.configure(&format!("{called}{calls}"));
    let mut sidecar = both.start();
    let (web, http) = (sidecar.at("web"), sidecar.at("http"));

    sidecar.process.ask_to_end();
    refuses(web).await;
    // Longer than the delay, and without a connection that would show that somebody is there.
    for _ in 0..30 {
        assert_eq!(ask(http, "GET", "orders", "/").await.status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(app);

    assert_eq!(sidecar.process.end().code(), Some(0));
    sidecar.said("ended; nothing was cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_which_nothing_is_seen_is_there_while_it_keeps_a_connection() {
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    let mut pair = pair_with(&slow, &db, "{ drainDelay: 100ms }").await;
    let http = pair.calling.at("http");
    let mut kept = h1(http).await;

    pair.calling.process.ask_to_end();
    pair.calling.said("draining");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ask(http, "GET", "orders", "/").await.status, 200);
    let answer = kept.send_request(as_h1(get("/"))).await.unwrap();
    assert_eq!(whole(answer).await.unwrap().0, 200);
    drop(kept);

    assert_eq!(pair.calling.process.end().code(), Some(0));
    pair.calling.said("ended; nothing was cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_second_time_does_not_wait() {
    let (slow, db) = (Slow::start().await, EchoApp::start("").await);
    let mut pair = pair_with(&slow, &db, "{}").await;
    let _open = pair.send(Version::HTTP_11, get("/slow")).await;
    let _pen = slow.pen().await;
    let asked = Instant::now();

    pair.called.process.ask_to_end();
    pair.called.said("SIGTERM: ending");
    pair.called.process.ask_to_end();

    assert_eq!(pair.called.process.end().code(), Some(0));
    pair.called
        .said("SIGTERM again: ended at once; cut: 1 request on web");
    assert!(asked.elapsed() < Duration::from_secs(2));
}

/// `orders` with an admin socket, and what the verb says to it.
fn with_socket(limits: &str, app: SocketAddr) -> (Member, Sidecar) {
    let shop = Domain::new("shop.example");
    let orders = shop.member("orders");
    orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    let admin = "admin: { listen: \"127.0.0.1:0\"";
    let common = COMMON.replace(admin, &format!("{admin}, socket: admin.sock"));
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let text = format!("{common}{}", inbound(app, nobody, limits));
    orders.write("sidecar.yaml", &text);
    let sidecar = orders.start();
    (orders, sidecar)
}

fn drain(member: &Member, wait: &[&str]) -> Ran {
    let mut command = countersign();
    command
        .arg("drain")
        .args(wait)
        .env("COUNTERSIGN_ADMIN", member.path("admin.sock"));
    run(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verb_drains_and_the_sidecar_stays_until_it_is_told_to_end() {
    let app = HttpApp::start().await;
    let (orders, mut sidecar) = with_socket("{ drainDelay: 100ms }", app.addr);
    let web = sidecar.at("web");

    let ran = drain(&orders, &["--wait"]);

    assert_eq!(
        (ran.code, &*ran.out, &*ran.err),
        (Some(0), "drained; open: nothing; cut: nothing\n", "")
    );
    refuses(web).await;
    assert_eq!(ready(&sidecar).await.0, 503);
    sidecar.said("drained: nothing is open from the network");
    sidecar.process.ask_to_end();
    assert_eq!(sidecar.process.end().code(), Some(0));

    let ran = drain(&orders, &[]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("no sidecar to be asked"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_nobody_is_drained_and_over_the_socket_a_post_ends() {
    let app = HttpApp::start().await;
    let (orders, mut sidecar) = with_socket("{ drainDelay: 0s }", app.addr);
    for (method, status) in [("POST", 405), ("GET", 404)] {
        for page in ["/drain", "/shutdown"] {
            let answer = ask(sidecar.at("admin"), method, "localhost", page).await;
            assert_eq!(answer.status, status, "{method} {page}");
        }
    }
    let page = ready(&sidecar).await.1;
    assert!(!page.contains("draining"), "{page}");

    let socket = tokio::net::UnixStream::connect(orders.path("admin.sock")).await;
    let mut socket = socket.unwrap();
    let post = b"POST /shutdown HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(post).await.unwrap();

    assert_eq!(sidecar.process.end().code(), Some(0));
    sidecar.said("asked over the admin socket to end");
    sidecar.said("ended; nothing was cut");
}

/// Says these states, one to each who asks over the socket.
fn states(path: &std::path::Path, states: [&'static str; 2]) {
    let socket = tokio::net::UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        for stage in states {
            let (mut asked, _) = socket.accept().await.unwrap();
            assert!(asked.read(&mut [0; 4096]).await.unwrap() > 0);
            let state = format!("{{ \"stage\": \"{stage}\", \"open\": {{}}, \"cut\": {{}} }}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{state}",
                state.len()
            );
            asked.write_all(answer.as_bytes()).await.unwrap();
            // It is read to its end by whoever closes.
            let _ = tokio::io::copy(&mut asked, &mut tokio::io::sink()).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_drain_does_not_wait_for_one_that_nobody_asked_of_a_new_process() {
    let member = Member::empty();
    states(&member.path("admin.sock"), ["draining", "serving"]);

    let ran = tokio::task::spawn_blocking(move || drain(&member, &["--wait"]));
    let ran = within("the verb", ran).await.unwrap();

    let told = "not drained: the sidecar that was asked has ended, and the one that answers in its place serves; ask again\n";
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(1), "", told));
}
