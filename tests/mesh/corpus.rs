//! The corpora of HTTP/1 in `tests/corpus`, through sidecars: what arrives at the app is one request for each that was sent, byte
//! for byte, or nothing; and what a client gets is the answer to what it asked, or none.
//!
//! Every case runs on sidecars that are kept, several at a time, each on a lane of its own. The control is a proxy that is
//! wrong on purpose: were it to pass, the corpora would hold nothing.

use crate::support::corpus::{Line, Step, all, bytes, lines, steps};
use crate::support::lane::{Case, Entry, Expected, How, Lane, caller, messages, passed_on};
use crate::support::mesh::{Domain, Member, allow_all};
use crate::support::sidecar::Sidecar;
use crate::support::strict::Message;
use crate::support::tls;
use crate::support::witness::Witness;
use crate::support::wrong_proxy::WrongProxy;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Cases that run at once.
const LANES: usize = 4;

/// `http1-malformed.txt`.
fn malformed() -> Vec<Case> {
    let case = |line: Line| {
        let asks = steps(&line, 2);
        let mut words = line.columns[1].split(' ').peekable();
        let number = words.next_if(|word| word.parse::<usize>().is_ok());
        let number = number.and_then(|word| word.parse().ok()).unwrap_or(0);
        let how = match words.next() {
            Some("refused") => How::Whole,
            Some("cut") => How::Cut,
            Some("open") => How::Open,
            other => panic!("{}: {other:?}", line.at),
        };
        let status = words.next().map(|status| status.parse().unwrap());
        let reason = words.next().map(str::to_owned);
        let after = messages(&all(&asks), &[], false).0;
        let mut after: Vec<_> = after.into_iter().map(passed_on).collect();
        assert!(after.len() >= number, "{}: not {number} requests", line.at);
        after.truncate(number);
        let expected = Expected::Refused {
            after,
            how,
            status,
            reason,
        };
        made(&line, asks, None, expected, 1)
    };
    lines("http1-malformed.txt", 3)
        .into_iter()
        .map(case)
        .collect()
}

/// `http1-legal.txt`.
fn legal() -> Vec<Case> {
    let case = |line: Line| {
        let asks = steps(&line, 2);
        let arrives = match line.columns[1].as_str() {
            "=" => all(&asks),
            _ => bytes(&line, 1),
        };
        let (expected, rest) = messages(&arrives, &[], false);
        let legal = !expected.is_empty() && rest.is_empty();
        assert!(legal, "{}: {} and {rest:?}", line.at, expected.len());
        made(&line, asks, None, Expected::Arrive(expected), 1)
    };
    lines("http1-legal.txt", 3).into_iter().map(case).collect()
}

/// What a client asks for in the files of answers.
fn asked(line: &Line) -> (Vec<Step>, String) {
    let word = line.columns[1].as_str();
    let head = match word {
        "1.0" => "GET /asked HTTP/1.0\r\nhost: orders\r\n\r\n".to_owned(),
        "websocket" => "GET /asked HTTP/1.1\r\nhost: orders\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_owned(),
        "trailers" => "GET /asked HTTP/1.1\r\nhost: orders\r\nte: trailers\r\n\r\n".to_owned(),
        "two" => "GET /asked HTTP/1.1\r\nhost: orders\r\n\r\n".repeat(2),
        method => format!("{method} /asked HTTP/1.1\r\nhost: orders\r\n\r\n"),
    };
    let method = head.split(' ').next().unwrap().to_owned();
    (vec![Step::Send(head.into_bytes())], method)
}

/// The messages that these steps of an app are.
fn said(steps: &[Step], method: &str) -> Vec<Message> {
    messages(&all(steps), &[method], steps.contains(&Step::Close)).0
}

/// `http1-lying.txt`.
fn lying() -> Vec<Case> {
    let case = |line: Line| {
        let ((asks, method), says) = (asked(&line), steps(&line, 3));
        let expected = match line.columns[2].split(' ').collect::<Vec<_>>()[..] {
            ["502", reason] => Expected::BadGateway(reason.to_owned()),
            ["cut"] => Expected::Cut,
            // The first answer is one; what follows is nobody's.
            ["alone"] => {
                let mut said = said(&says, &method);
                assert!(!said.is_empty(), "{}: no answer", line.at);
                said.truncate(1);
                Expected::Answers(said)
            }
            _ => panic!("{}: {}", line.at, line.columns[2]),
        };
        made(&line, asks, Some(says), expected, 2)
    };
    lines("http1-lying.txt", 4).into_iter().map(case).collect()
}

/// `http1-answers.txt`.
fn answers() -> Vec<Case> {
    let case = |line: Line| {
        let ((asks, method), says) = (asked(&line), steps(&line, 3));
        let got = match line.columns[2].as_str() {
            "=" => said(&says, &method),
            _ => said(&steps(&line, 2), &method),
        };
        assert!(!got.is_empty(), "{}: no answer", line.at);
        made(&line, asks, Some(says), Expected::Answers(got), 2)
    };
    lines("http1-answers.txt", 4)
        .into_iter()
        .map(case)
        .collect()
}

fn made(
    line: &Line,
    asks: Vec<Step>,
    answers: Option<Vec<Step>>,
    expected: Expected,
    column: usize,
) -> Case {
    Case {
        at: line.at.clone(),
        name: line.columns[0].clone(),
        asks,
        answers,
        expected,
        written: line.columns[column].clone(),
    }
}

/// What has to live as long as its lanes.
struct Mesh {
    _members: Vec<Member>,
    _sidecars: Vec<Sidecar>,
    lanes: Vec<Lane>,
}

const PATIENCE: Duration = Duration::from_secs(8);

/// The called side: a listener for each witness.
fn called(shop: &Domain, witnesses: &[Witness]) -> (Member, Sidecar) {
    let orders = shop.member("orders");
    orders.policy(&allow_all(&["spiffe://shop.example/storefront"]));
    let listener = |(n, witness): (usize, &Witness)| {
        format!(
            "  - {{ name: web{n}, listen: \"127.0.0.1:0\", app: \"{}\", protocol: http, clientHalfClose: allow }}\n",
            witness.at
        )
    };
    let listeners: String = witnesses.iter().enumerate().map(listener).collect();
    orders.configure(&format!(
        "inbound:\n{listeners}policy: {{ file: policy.yaml }}\n"
    ));
    let sidecar = orders.start();
    (orders, sidecar)
}

/// The calling side: a listener for each of these.
fn calling(shop: &Domain, servers: &[std::net::SocketAddr]) -> (Member, Sidecar) {
    let storefront = shop.member("storefront");
    let (mut listeners, mut services) = (String::new(), String::new());
    for (n, server) in servers.iter().enumerate() {
        listeners += &format!(
            "  - {{ name: out{n}, listen: \"127.0.0.1:0\", protocol: http, service: orders{n}, clientHalfClose: allow }}\n"
        );
        services += &format!(
            "  - {{ name: orders{n}, hosts: [orders{n}], identity: \"spiffe://shop.example/orders\", endpoints: [\"{server}\"] }}\n"
        );
    }
    storefront.configure(&format!("outbound:\n{listeners}services:\n{services}"));
    let sidecar = storefront.start();
    (storefront, sidecar)
}

async fn witnesses() -> Vec<Witness> {
    let mut witnesses = Vec::new();
    for _ in 0..LANES {
        witnesses.push(Witness::start().await);
    }
    witnesses
}

/// Client, sidecar, sidecar, app.
async fn pair() -> Mesh {
    let (shop, witnesses) = (Domain::new("shop.example"), witnesses().await);
    let (orders, called) = called(&shop, &witnesses);
    let servers: Vec<_> = (0..LANES).map(|n| called.at(&format!("web{n}"))).collect();
    let (storefront, calling) = calling(&shop, &servers);
    let entry = |n| Entry::Plain(calling.at(&format!("out{n}")));
    let lanes = witnesses.into_iter().enumerate();
    let lanes = lanes
        .map(|(n, witness)| Lane::new(entry(n), witness, PATIENCE))
        .collect();
    Mesh {
        lanes,
        _members: vec![orders, storefront],
        _sidecars: vec![called, calling],
    }
}

/// A client that speaks TLS itself, sidecar, app.
async fn inbound() -> Mesh {
    let (shop, witnesses) = (Domain::new("shop.example"), witnesses().await);
    let (orders, called) = called(&shop, &witnesses);
    let client = caller(&shop.svid("storefront"));
    let entry = |n| Entry::Tls(called.at(&format!("web{n}")), client.clone());
    let lanes = witnesses.into_iter().enumerate();
    let lanes = lanes
        .map(|(n, witness)| Lane::new(entry(n), witness, PATIENCE))
        .collect();
    Mesh {
        lanes,
        _members: vec![orders],
        _sidecars: vec![called],
    }
}

/// Client, sidecar, an app that speaks TLS itself.
async fn outbound() -> Mesh {
    let shop = Domain::new("shop.example");
    let acceptor = TlsAcceptor::from(tls::server(&shop.svid("orders"), &["http/1.1"]));
    let mut witnesses = Vec::new();
    for _ in 0..LANES {
        witnesses.push(Witness::start_tls(acceptor.clone()).await);
    }
    let servers: Vec<_> = witnesses.iter().map(|witness| witness.at).collect();
    let (storefront, calling) = calling(&shop, &servers);
    let entry = |n| Entry::Plain(calling.at(&format!("out{n}")));
    let lanes = witnesses.into_iter().enumerate();
    let lanes = lanes
        .map(|(n, witness)| Lane::new(entry(n), witness, PATIENCE))
        .collect();
    Mesh {
        lanes,
        _members: vec![storefront],
        _sidecars: vec![calling],
    }
}

/// Client, the control, app.
async fn control() -> Lane {
    let witness = Witness::start().await;
    let proxy = WrongProxy::before(witness.at).await;
    let mut lane = Lane::new(Entry::Plain(proxy.at), witness, Duration::from_millis(300));
    lane.control = Some(proxy);
    lane
}

/// The reports of the cases that are not as they should be.
async fn failures(lanes: Vec<Lane>, cases: Vec<Case>) -> Vec<String> {
    let cases = Arc::new(Mutex::new(VecDeque::from(cases)));
    let mut running = JoinSet::new();
    for lane in lanes {
        let cases = cases.clone();
        running.spawn(async move {
            let mut failures = Vec::new();
            loop {
                let next = cases.lock().unwrap().pop_front();
                let Some(case) = next else {
                    return failures;
                };
                failures.extend(lane.run(&case).await.err());
            }
        });
    }
    let mut failures = running.join_all().await.concat();
    failures.sort();
    failures
}

async fn all_hold(mesh: Mesh, cases: Vec<Case>, least: usize) {
    let count = cases.len();
    assert!(count >= least, "{count} cases");
    let failures = failures(mesh.lanes, cases).await;
    let failed = failures.len();
    assert!(
        failures.is_empty(),
        "{failed} of {count}:\n{}",
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_malformed_requests_nothing_arrives_through_the_pair() {
    all_hold(pair().await, malformed(), 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_malformed_requests_nothing_arrives_through_the_called_side_alone() {
    all_hold(inbound().await, malformed(), 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legal_requests_arrive_as_they_were_sent_through_the_pair() {
    all_hold(pair().await, legal(), 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legal_requests_arrive_as_they_were_sent_through_the_called_side_alone() {
    all_hold(inbound().await, legal(), 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legal_answers_arrive_as_they_were_sent() {
    all_hold(pair().await, answers(), 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_takes_a_lying_answer_for_a_whole_one_through_the_pair() {
    all_hold(pair().await, lying(), 40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_takes_a_lying_answer_for_a_whole_one_through_the_calling_side_alone() {
    all_hold(outbound().await, lying(), 40).await;
}

/// The control is made anew for each case, so that each fails for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_wrong_on_purpose_fails_in_more_than_a_hundred_places() {
    let cases = Arc::new(Mutex::new([malformed(), legal(), lying()].concat()));
    let count = cases.lock().unwrap().len();
    let mut running = JoinSet::new();
    for _ in 0..16 {
        let cases = cases.clone();
        running.spawn(async move {
            let mut failed = 0;
            loop {
                let next = cases.lock().unwrap().pop();
                let Some(case) = next else {
                    return failed;
                };
                failed += usize::from(control().await.run(&case).await.is_err());
            }
        });
    }
    let failed: usize = running.join_all().await.into_iter().sum();
    println!("the control fails {failed} of {count} cases");
    assert!(failed >= 100, "{failed} of {count}");
}
