//! WebSocket by the frame, in the groups of Autobahn's test suite (`frames_cases.py`), at the server of Python's `websockets`: what
//! a client without a library (`frames.py`) and the server see through the sidecars is what they see without them.

use crate::support::app::HttpApp;
use crate::support::client::listen;
use crate::support::http::{Flow, h2};
use crate::support::pair::Pair;
use crate::support::process::{Process, part, run};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::TcpStream;

const EXTENSIONS: &str = "sec-websocket-extensions";
const FRAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/frames.py");

/// A server that says back what it hears.
struct Echo {
    process: Process,
    at: SocketAddr,
}

impl Echo {
    fn start() -> Self {
        let process = Process::start(part("python").args(["-B", FRAMES, "serve"]));
        let port = process.out.wait_for("the server", |line| {
            line.strip_prefix("listening ")?.parse().ok()
        });
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        Echo { process, at }
    }

    /// What came of every case of these groups, played there, and how it ended for this server: once for each server.
    fn played(&self, groups: &str, at: SocketAddr) -> Map<String, Value> {
        let ran = run(part("python").args(["-B", FRAMES, "play", &at.to_string(), groups]));
        let mut cases: Map<String, Value> =
            serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
        // One that was not let in has no number, and did not end for the server.
        let let_in = cases.values_mut().filter(|came| came["number"].is_u64());
        for came in let_in {
            let begins = format!("ended /frames/{} ", came["number"]);
            let ended = |line: &str| line.strip_prefix(&begins).map(Value::from);
            came["server"] = self.process.out.wait_for(&begins, ended);
        }
        cases
    }
}

/// What comes of the cases without sidecars.
fn direct(groups: &str) -> Map<String, Value> {
    let echo = Echo::start();
    echo.played(groups, echo.at)
}

/// Each case that comes out otherwise than without sidecars, or otherwise than it should.
fn worse(direct: &Map<String, Value>, through: &Map<String, Value>) -> String {
    let mut told = String::new();
    for (name, direct) in direct {
        let through = through.get(name).unwrap_or(&Value::Null);
        let clip = |value: &Value| value.to_string().chars().take(600).collect::<String>();
        if direct != through {
            told.push_str(&format!(
                "\n{name}: {}\n    and without sidecars {}",
                clip(through),
                clip(direct)
            ));
        } else if direct["wrong"] != Value::Array(Vec::new()) {
            told.push_str(&format!(
                "\n{name}: even without sidecars {}",
                direct["wrong"]
            ));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn no_case_of_frames_comes_out_worse_than_without_sidecars() {
    let echo = Echo::start();
    let pair = Pair::before(echo.at);

    let direct = direct("");
    let through = echo.played("", pair.calling.at("http"));

    let worse = worse(&direct, &through);
    assert!(worse.is_empty(), "{worse}");
    assert!(direct.len() >= 500, "{} cases", direct.len());
}

/// A relay that is wrong: it passes on what is said, and breaks off where one half ends.
async fn hasty(to: SocketAddr) -> SocketAddr {
    let (listener, here) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await?;
                let (mut from_client, mut to_client) = socket.split();
                let (mut from_server, mut to_server) = there.split();
                tokio::select! {
                    _ = copy(&mut from_client, &mut to_server) => {}
                    _ = copy(&mut from_server, &mut to_client) => {}
                }
                socket.set_zero_linger()?;
                there.set_zero_linger()
            });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn a_relay_that_breaks_off_where_one_half_ends_is_found_out() {
    let echo = Echo::start();

    let direct = direct("closes");
    let through = echo.played("closes", hasty(echo.at).await);

    let differ = direct
        .iter()
        .filter(|(name, came)| through.get(*name) != Some(came));
    let differ = differ.count();
    println!("{differ} of {} cases differ", direct.len());
    assert!(differ > 70, "{differ}");
}

/// Reads a head to its empty line, and nothing of what stands behind it.
async fn head(socket: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The path that is asked for.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("/")
}

/// The line of the extensions in a head, if any.
fn extensions(head: &str) -> Option<&str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut named = lines.filter(|(name, _)| name.eq_ignore_ascii_case(EXTENSIONS));
    named.next().map(|(_, value)| value)
}

/// Before a sidecar: every WebSocket that comes becomes a stream of one connection of HTTP/2 (RFC 8441).
async fn as_streams(at: SocketAddr) -> SocketAddr {
    let (listener, here) = listen().await;
    let sender = h2(at).await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(as_stream(socket, sender.clone()));
        }
    });
    here
}

async fn as_stream(
    mut socket: TcpStream,
    mut sender: SendRequest<Flow>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let asked = head(&mut socket).await?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://orders{}", path(&asked)))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));
    if let Some(offered) = extensions(&asked) {
        request = request.header(EXTENSIONS, offered);
    }
    let mut answer = sender.send_request(request.body(Flow::none())?).await?;
    let status = match answer.status() {
        StatusCode::OK => 101,
        other => other.as_u16(),
    };
    let agreed = match answer.headers().get(EXTENSIONS) {
        Some(agreed) => format!("{EXTENSIONS}: {}\r\n", agreed.to_str()?),
        None => String::new(),
    };
    let told = format!("HTTP/1.1 {status} -\r\n{agreed}\r\n");
    socket.write_all(told.as_bytes()).await?;
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await?);
    copy_bidirectional(&mut socket, &mut stream).await?;
    Ok(())
}

/// Behind a sidecar: every stream that comes becomes a WebSocket over HTTP/1.
async fn as_upgrades(at: SocketAddr) -> HttpApp {
    HttpApp::serving(move |request| async move {
        as_upgrade(request, at).await.expect("the server upgrades")
    })
    .await
}

async fn as_upgrade(mut request: Request<Incoming>, at: SocketAddr) -> io::Result<Response<Flow>> {
    let protocol = request.extensions().get::<Protocol>();
    assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
    let mut socket = TcpStream::connect(at).await?;
    let offered = match request.headers().get(EXTENSIONS) {
        Some(offered) => format!(
            "{EXTENSIONS}: {}\r\n",
            String::from_utf8_lossy(offered.as_bytes())
        ),
        None => String::new(),
    };
    let ask = format!(
        "GET {} HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: websocket\r\n{offered}\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
        request.uri().path()
    );
    socket.write_all(ask.as_bytes()).await?;
    let told = head(&mut socket).await?;
    assert!(told.starts_with("HTTP/1.1 101 "), "{told}");
    let mut answer = Response::builder();
    if let Some(agreed) = extensions(&told) {
        answer = answer.header(EXTENSIONS, agreed);
    }
    let opened = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // How it ends is what the client tells.
        if let Ok(stream) = opened.await {
            let _ = copy_bidirectional(&mut TokioIo::new(stream), &mut socket).await;
        }
    });
    Ok(answer.body(Flow::none()).expect("a value of a head"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs pip websockets: .ci/parts"]
async fn nor_does_any_as_a_stream_of_http_2() {
    let echo = Echo::start();
    let app = as_upgrades(echo.at).await;
    let pair = Pair::before(app.addr);

    let direct = direct("");
    let through = echo.played("", as_streams(pair.calling.at("http")).await);

    let worse = worse(&direct, &through);
    assert!(worse.is_empty(), "{worse}");
}
