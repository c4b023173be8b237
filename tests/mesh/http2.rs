//! Sequences of HTTP/2 frames, right and wrong, through the pair of sidecars: how each ends stands beside it in `tests/corpus`.

use crate::support::app::{HttpApp, nobody};
use crate::support::http2::judge::{self, Expected};
use crate::support::http2::wire::{Seen, Wire};
use crate::support::http2::{Case, cases, notation};
use crate::support::pair::{Otherwise, Pair};
use crate::support::tls;
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

/// Plays all cases of a listener; says what went wrong, and how many there were.
async fn play<S, C>(app: &HttpApp, is_for: impl Fn(&Case) -> bool, connect: impl Fn() -> C) -> usize
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Future<Output = S>,
{
    let (cases, mut wrong) = (cases(CORPUS), Vec::new());
    let cases: Vec<_> = cases.iter().filter(|case| is_for(case)).collect();
    for case in &cases {
        let before = (app.begun(), app.seen().len());
        let seen = played(connect().await, case).await;
        if let Err(why) = judged(case, seen, app, before) {
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
    let played = play(&app, |case| case.outbound, || connected(at)).await;
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
    let played = play(&app, |case| case.inbound, connect).await;
    assert!(played >= 120, "{played}");
}
