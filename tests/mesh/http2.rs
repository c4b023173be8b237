//! Sequences of HTTP/2 frames, right and wrong, through the pair of sidecars: how each ends stands beside it in `tests/corpus`.

use crate::support::app::{HttpApp, nobody};
use crate::support::http2::judge::{self, Expected};
use crate::support::http2::wire::{Seen, Wire};
use crate::support::http2::{Case, cases, notation};
use crate::support::pair::{Otherwise, Pair};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, until};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Above all that a case waits for, below what makes a failure tedious.
const PATIENCE: Duration = Duration::from_secs(8);
/// Of the request that shows that a connection goes on: above all that a case uses.
const LAST: u32 = 999_999_999;
const CORPUS: &str = "http2.txt";
/// What is half said is not waited for long.
const LIMITS: &str = "{ head: 1s, firstByte: 1s }";

fn pair(app: &HttpApp) -> Pair {
    let limits = Otherwise {
        limits: LIMITS,
        ..Otherwise::default()
    };
    Pair::around_with(app.addr, nobody(), limits)
}

/// Plays a case at a connection.
async fn played<S: AsyncRead + AsyncWrite + Unpin>(stream: S, case: &Case) -> Seen {
    let mut wire = Wire::new(stream);
    let all = async {
        if !case.bare {
            wire.begin().await;
        }
        wire.play(&case.acts, 1).await;
        while !judge::is_settled(&case.expected, &wire.seen) && wire.next().await {}
        if case.expected.contains(&Expected::Alive) {
            let last = notation::acts(&format!("HEADERS {LAST} ES EH @GET/alive"));
            wire.play(&last.expect("it is well written"), 1).await;
            let is_over = |seen: &Seen| seen.streams.get(&LAST).is_some_and(|it| it.is_over());
            while !is_over(&wire.seen) && wire.next().await {}
        }
    };
    // What did not come in time shows in what was expected.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    wire.seen
}

/// What is wrong with how a case ended.
fn judged(case: &Case, mut seen: Seen, app: &HttpApp, before: (u64, usize)) -> Result<(), String> {
    let mut begun = app.begun() - before.0;
    let mut whole = app.seen().split_off(before.1);
    if case.expected.contains(&Expected::Alive) {
        let last = seen.streams.remove(&LAST);
        let head = last.as_ref().and_then(|it| it.head());
        if head.is_none_or(|head| head[0].1 != b"200") {
            return Err(format!(
                "the connection does not go on: {last:?} of {seen:?}"
            ));
        }
        begun -= 1;
        whole.retain(|request| request.target != "/alive");
    }
    judge::client(&case.expected, &seen)?;
    judge::app(&case.expected, begun, &whole)
}

/// How much was refused so far, whatever the reason.
async fn refusals(side: &Sidecar) -> u64 {
    let families = [
        "countersign_refused_heads_total{",
        "countersign_limited_total{",
    ];
    let all = side.metrics().await;
    let of_them = all
        .iter()
        .filter(|(name, _)| families.iter().any(|it| name.starts_with(it)));
    of_them.map(|(_, count)| count).sum()
}

/// Whether the metrics say what a case ended with: more was refused, or nothing was.
async fn told(case: &Case, seen: &Seen, side: &Sidecar, before: u64) -> Result<(), String> {
    if seen.is_refused() || case.expected.iter().any(judge::is_refusal) {
        let is_more = async || (refusals(side).await > before).then_some(());
        let came = tokio::time::timeout(Duration::from_secs(2), until(&case.name, is_more)).await;
        return came.map_err(|_| "no metric says so".into());
    }
    let is_right = |it: &Expected| {
        matches!(it, Expected::Answer(_, answer) if answer.reason.is_empty())
            || matches!(it, Expected::Alive | Expected::App(_))
    };
    match refusals(side).await {
        after if case.expected.iter().all(is_right) && after > before => {
            Err("a metric says that it was refused".into())
        }
        _ => Ok(()),
    }
}

/// Plays all cases at a sidecar; says what went wrong, and how many there were.
async fn play<S, C>(
    app: &HttpApp,
    side: &Sidecar,
    is_for: impl Fn(&Case) -> bool,
    connect: impl Fn() -> C,
) -> usize
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Future<Output = S>,
{
    let (cases, mut wrong) = (cases(CORPUS), Vec::new());
    let cases: Vec<_> = cases.iter().filter(|case| is_for(case)).collect();
    for case in &cases {
        let before = (app.begun(), app.seen().len());
        let refused = refusals(side).await;
        let seen = played(connect().await, case).await;
        let told = told(case, &seen, side, refused).await;
        if let Err(why) = judged(case, seen, app, before).and(told) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    let (all, failed) = (cases.len(), wrong.len());
    assert!(
        wrong.is_empty(),
        "{failed} of {all} cases:\n{}",
        wrong.join("\n")
    );
    println!("{all} sequences, none wrong");
    all
}

async fn connected(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sequence_of_frames_of_an_app_ends_as_it_is_written() {
    let app = HttpApp::start().await;
    let pair = pair(&app);
    let at = pair.calling.at("http");
    let played = play(&app, &pair.calling, |case| case.outbound, || connected(at)).await;
    assert!(played >= 120, "{played}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sequence_of_frames_of_a_peer_ends_as_it_is_written() {
    let app = HttpApp::start().await;
    let pair = pair(&app);
    let at = pair.called.at("web");
    let svid = pair.shop.svid("storefront");
    let connect = || async {
        let connector = TlsConnector::from(tls::client(Some(&svid), &["h2"]));
        let name = ServerName::try_from("orders").unwrap();
        connector.connect(name, connected(at).await).await.unwrap()
    };
    let played = play(&app, &pair.called, |case| case.inbound, connect).await;
    assert!(played >= 120, "{played}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_h2_refuses_by_itself_is_told_with_its_reason_and_its_log_is_bounded() {
    let app = HttpApp::start().await;
    let pair = pair(&app);
    let at = pair.calling.at("http");
    let count = async |reason: &str| {
        let series = format!("countersign_refused_heads_total{{reason=\"{reason}\"}}");
        pair.calling.count(&series).await
    };
    let play = async |acts: &str| {
        let mut wire = Wire::new(connected(at).await);
        wire.begin().await;
        wire.play(&notation::acts(acts).unwrap(), 1).await;
        wire
    };

    // More than are logged of one connection in a second: every one is counted.
    let bad = |n: u32| format!("HEADERS {} ES EH @GET/ te=gzip; ", 2 * n + 1);
    let many: String = (0..50).map(bad).collect();
    let mut wire = play(&(many + "WAIT 99 RST")).await;
    until("all are counted", async || {
        (count("http2_protocol_error").await == 50).then_some(())
    })
    .await;
    let line = pair
        .calling
        .logged("a reset", |line| line["reason"] == "http2_protocol_error");
    assert_eq!(line["error"], "HTTP/2 ended its stream: PROTOCOL_ERROR");
    let last = notation::acts("HEADERS 101 ES EH @GET/last; WAIT 101").unwrap();
    wire.play(&last, 1).await;
    pair.calling
        .logged("the last", |line| line["path"] == "/last");
    let lines = pair.calling.process.out.so_far();
    let told = lines
        .iter()
        .filter(|line| line.contains("http2_protocol_error"))
        .count();
    assert!((1..=20).contains(&told), "{told}");

    // And the end of a connection.
    let before = app.begun();
    let mut wire = play("HEADERS 1 EH @POST/held; DATA 1 a").await;
    until("it is under way", async || {
        (app.begun() > before).then_some(())
    })
    .await;
    wire.play(&notation::acts("WINDOW 0 0").unwrap(), 1).await;
    pair.calling.logged("the end", |line| {
        line["reason"] == "http2_protocol_error"
            && line["error"] == "HTTP/2 ended its connection: PROTOCOL_ERROR"
    });
    // Who hears first, the request or the connection, is chance: it gives the one's reason or the other's.
    pair.calling.logged("what was under way", |line| {
        let reason = &line["reason"];
        line["path"] == "/held" && (reason == "http2_protocol_error" || reason == "caller_left")
    });
    assert_eq!(count("http2_protocol_error").await, 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_beyond_the_limit_is_counted_and_told_as_that() {
    let app = HttpApp::start().await;
    let limits = Otherwise {
        limits: "{ streams: 2 }",
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, nobody(), limits);
    let mut wire = Wire::new(connected(pair.calling.at("http")).await);
    wire.begin().await;
    let acts = "HEADERS 1 EH @POST/; HEADERS 3 EH @POST/; HEADERS 5 EH @POST/; WAIT 5 RST";
    wire.play(&notation::acts(acts).unwrap(), 1).await;

    assert_eq!(wire.seen.streams[&5].reset, Some(7));
    let series = "countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"too_many_streams\"}";
    pair.calling.counts(series, 1).await;
    pair.calling.logged("it", |line| {
        line["reason"] == "too_many_streams"
            && line["error"] == "HTTP/2 ended its stream: REFUSED_STREAM"
    });
}
