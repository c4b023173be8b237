//! What `limits` bound, met by real clients and apps: what is refused or ended, what it is answered, and where it is counted.

use crate::support::app::{HttpApp, app_of_pens, nobody};
use crate::support::client::Client;
use crate::support::http::{Flow, as_h1, frame, get, h1, h2, whole};
use crate::support::pair::{Otherwise, Pair};
use crate::support::{tls, until, within};
use hyper::Response;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A pair whose sidecars have these limits.
fn limited(app: &HttpApp, limits: &str) -> Pair {
    let otherwise = Otherwise {
        limits,
        ..Otherwise::default()
    };
    Pair::around_with(app.addr, nobody(), otherwise)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_in_flight_until_the_last_byte_of_its_answer() {
    let (app, mut calls) = app_of_pens().await;
    let pair = limited(&app, "{ inFlight: 1 }");
    let at = pair.calling.at("http");

    let held = h2(at).await.send_request(get("/held")).await.unwrap();
    let pen = within("a call", calls.recv()).await.unwrap();
    let refused = h1(at)
        .await
        .send_request(as_h1(get("/more")))
        .await
        .unwrap();

    let told = "countersign; error=proxy_internal_response; details=\"requests_full\"; reached=?0";
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["proxy-status"], told);
    pair.calling
        .counts("countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"requests_full\"}", 1)
        .await;
    pair.calling
        .logged("/more", |line| line["reason"] == "requests_full");

    drop(pen);
    whole(held).await.unwrap();
    // The last byte is read here before the sidecar knows that it is gone.
    let open = "countersign_requests_in_flight{direction=\"outbound\",listener=\"http\"}";
    pair.calling.counts(open, 0).await;
    let mut next = h1(at).await;
    let answer = tokio::spawn(async move { next.send_request(as_h1(get("/next"))).await });
    within("the next call", calls.recv()).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_has_as_many_requests_and_connections_as_it_may_and_the_app_is_none() {
    let (app, mut calls) = app_of_pens().await;
    let pair = limited(&app, "{ perIdentity: { inFlight: 1, connections: 1 } }");
    let at = pair.calling.at("http");

    let mut held = h2(at).await.send_request(get("/held")).await.unwrap();
    let pen = within("a call", calls.recv()).await.unwrap();
    let mut client = h2(at).await;
    let refused = client.send_request(get("/more")).await.unwrap();

    let told = "countersign; error=proxy_internal_response; details=\"requests_of_identity_full\"; reached=?0";
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["proxy-status"], told);
    // A second connection of the same identity, since one that speaks HTTP/1 cannot share the first.
    let refused = h1(at)
        .await
        .send_request(as_h1(get("/other")))
        .await
        .unwrap();
    assert_eq!(refused.status(), 502);
    // Once for each connection that was tried: one that is closed before a byte went is tried anew.
    let series = "countersign_limited_total{direction=\"inbound\",listener=\"web\",reason=\"connections_of_identity_full\"}";
    until("the limit's count", async || {
        (pair.called.count(series).await > 0).then_some(())
    })
    .await;
    assert!(pen.data("still here").await);
    frame(held.body_mut()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_beyond_the_last_is_closed_at_once_and_counted() {
    let app = HttpApp::start().await;
    let pair = limited(&app, "{ connections: 10 }");
    let at = pair.calling.at("http");
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(at).await;
        client
            .send(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(client.answer().await.unwrap().status, 200);
        held.push(client);
    }

    let mut beyond = Client::connect(at).await;
    // It may be closed before this arrives.
    let _ = beyond.send(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    assert!(beyond.answer().await.is_err(), "nothing is said");

    pair.calling
        .counts("countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"connections_full\"}", 1)
        .await;
    held.pop();
    until("room for the next", async || {
        let mut next = Client::connect(at).await;
        let _ = next.send(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
        next.answer().await.ok()
    })
    .await;
}

/// The frame of HTTP/2 with this kind, these flags and this payload, on a stream.
fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What an HTTP/2 client begins with: preface and empty settings.
fn http2_beginning() -> Vec<u8> {
    let settings = http2_frame(4, 0, 0, b"");
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()
}

/// HPACK (RFC 7541) from the static table and literals: GET http://orders/.
const GET: &[u8] = b"\x82\x84\x86\x41\x06orders";

/// Frames of one kind in as large a number as is taken, until the other side ends it. Says the error code of its GOAWAY.
async fn flooded(at: SocketAddr, flood: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut socket = TcpStream::connect(at).await.unwrap();
    socket.write_all(&http2_beginning()).await.unwrap();
    let (mut reading, mut writing) = socket.split();
    let sending = async {
        for n in 0..200_000 {
            if writing.write_all(&flood(n)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut seen = Vec::new();
    let reading = async {
        // It ends with a reset where bytes of ours were still on their way.
        let _ = reading.read_to_end(&mut seen).await;
    };
    let ended = async {
        tokio::select! {
            () = sending => {}
            () = reading => {}
        }
    };
    within("the end of a flood", ended).await;
    let mut rest = &seen[..];
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == 7 {
            return Some(u32::from_be_bytes(after[4..8].try_into().unwrap()));
        }
        rest = after.get(length..)?;
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flood_of_frames_ends_its_connection_and_is_counted_under_its_reason() {
    const CALM: u32 = 0xb;
    let app = HttpApp::start().await;
    let pair = limited(&app, "{}");
    let at = pair.calling.at("http");
    type Flood = fn(u32) -> Vec<u8>;
    let floods: [(&str, Flood); 7] = [
        ("reset_flood", |n| {
            let stream = 2 * n + 1;
            [
                http2_frame(1, 0x5, stream, GET),
                http2_frame(3, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        }),
        ("ping_flood", |_| http2_frame(6, 0, 0, &[0; 8])),
        ("settings_flood", |_| {
            http2_frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
        }),
        ("priority_flood", |_| {
            http2_frame(2, 0, 1, &[0, 0, 0, 0, 16])
        }),
        ("window_update_flood", |_| {
            http2_frame(8, 0, 0, &[0, 0, 0, 1])
        }),
        ("unknown_frame_flood", |_| http2_frame(0xee, 0, 0, b"")),
        ("continuation_flood", |n| match n {
            0 => http2_frame(1, 0, 1, GET),
            _ => http2_frame(9, 0, 1, b"\x00\x01x\x01y"),
        }),
    ];
    for (reason, flood) in floods {
        let code = flooded(at, flood).await;
        pair.calling
            .counts(
                &format!("countersign_limited_total{{direction=\"outbound\",listener=\"http\",reason=\"{reason}\"}}"),
                1,
            )
            .await;
        // Where a reset overtakes it in the client's socket it is not seen.
        assert!(code.is_none_or(|code| code == CALM), "{reason}: {code:?}");
    }
    let answer = h2(at).await.send_request(get("/still-here")).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_data_without_end_ends_its_connection() {
    let app = HttpApp::start().await;
    let pair = limited(&app, "{ pings: 50/s }");
    flooded(pair.calling.at("http"), |n| match n {
        0 => http2_frame(1, 0x4, 1, b"\x83\x84\x86\x41\x06orders"),
        _ => http2_frame(0, 0, 1, b""),
    })
    .await;
    pair.calling
        .counts("countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"empty_data_flood\"}", 1)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_which_nothing_moves_ends_and_the_others_of_its_connection_go_on() {
    let (app, mut calls) = app_of_pens().await;
    let pair = limited(&app, "{ streamIdle: 4s }");
    let at = pair.calling.at("http");
    let mut client = h2(at).await;
    let quiet = client.send_request(get("/quiet")).await.unwrap();
    let _quiet_pen = within("a call", calls.recv()).await.unwrap();
    let busy = client.send_request(get("/busy")).await.unwrap();
    let busy_pen = within("a call", calls.recv()).await.unwrap();
    let writing = tokio::spawn(async move {
        for _ in 0..80 {
            if !busy_pen.data("more").await {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        true
    });
    let reading = tokio::spawn(whole(busy));

    let ended = within("the end of the quiet one", whole(quiet)).await;

    assert!(ended.is_err(), "{ended:?}");
    assert!(writing.await.unwrap(), "the busy one is read to its end");
    assert_eq!(reading.await.unwrap().unwrap().0, 200);
    // Whichever sidecar looks first.
    let called = pair.called.metrics_text().await;
    let calling = pair.calling.metrics_text().await;
    assert!((called + &calling).contains("reason=\"stream_idle\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_its_answer_is_ended_in_both_versions() {
    let app = HttpApp::serving(|_| async {
        let (pen, flow) = Flow::open();
        tokio::spawn(async move { while pen.data(vec![b'x'; 64 * 1024]).await {} });
        Response::new(flow)
    })
    .await;
    let pair = limited(&app, "{ streamIdle: 1s }");
    let at = pair.calling.at("http");
    let mut slow = TcpStream::connect(at).await.unwrap();
    slow.write_all(b"GET /h1 HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await
        .unwrap();
    pair.calling
        .logged("/h1", |line| line["reason"] == "stream_idle");
    let slow = h2(at).await.send_request(get("/h2")).await.unwrap();
    pair.calling
        .logged("/h2", |line| line["reason"] == "stream_idle");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_and_says_nothing_is_closed_and_an_old_connection_is_asked_to_end() {
    let app = HttpApp::start().await;
    let pair = limited(&app, "{ firstByte: 200ms, connectionAge: 1s }");
    let at = pair.called.at("web");
    let config = tls::client(Some(&pair.shop.svid("storefront")), &[]);
    let socket = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("orders").unwrap();
    let mut silent = TlsConnector::from(config)
        .connect(name, socket)
        .await
        .unwrap();
    let mut byte = [0];
    let read = within("the end of a silent connection", silent.read(&mut byte)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    pair.called
        .counts(
            "countersign_limited_total{direction=\"inbound\",listener=\"web\",reason=\"silent\"}",
            1,
        )
        .await;

    let mut old = Client::connect(pair.calling.at("http")).await;
    old.send(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(old.answer().await.unwrap().status, 200);
    assert_eq!(old.rest().await.unwrap(), b"");
    pair.calling
        .counts("countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"connection_age\"}", 1)
        .await;
}

/// The processor time that a process has used.
fn worked(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    // In hundredths of a second: in user mode, and in the kernel.
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|text| text.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_says_a_part_of_a_preface_and_no_more_keeps_nobody_busy() {
    let app = HttpApp::start().await;
    let pair = limited(&app, "{}");
    let mut crowd = Vec::new();
    for _ in 0..400 {
        let mut one = TcpStream::connect(pair.calling.at("http")).await.unwrap();
        one.write_all(b"P").await.unwrap();
        crowd.push(one);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (process, measured) = (pair.calling.process.id(), Duration::from_secs(3));
    let before = worked(process);

    tokio::time::sleep(measured).await;

    let took = worked(process) - before;
    assert!(took < measured / 12, "{took:?} of {measured:?}");
    // And it is heard all the same.
    crowd[0]
        .write_all(b"UT / HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0; 12];
    within("an answer", crowd[0].read_exact(&mut start))
        .await
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
}
