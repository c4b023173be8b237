//! Nothing is left behind: neither by two thousand connections, nor by a sidecar that is asked to end.

use crate::support::app::{EchoApp, HttpApp, app_of_pens};
use crate::support::client::{Client, ask};
use crate::support::http::{frame, get, whole};
use crate::support::pair::Pair;
use crate::support::sidecar::Sidecar;
use crate::support::{until, within};
use hyper::Version;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Sockets and files that the process has open.
fn descriptors(sidecar: &Sidecar) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", sidecar.process.id()));
    open.expect("it runs").count()
}

fn ask_to_end(sidecar: &Sidecar) {
    let pid = Pid::from_raw(i32::try_from(sidecar.process.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_connections_leave_nothing_behind() {
    let (web, db) = (HttpApp::start().await, EchoApp::start("").await);
    let pair = Pair::around(web.addr, db.addr);
    let (http, tcp) = (pair.calling.at("http"), pair.calling.at("db"));
    // What is opened once and kept (logs, the pools' connections) is open before the count begins.
    ask(http, "GET", "orders", "/").await;
    let sides = [&pair.calling, &pair.called];
    let before = sides.map(descriptors);

    for n in 0..2000 {
        match n % 8 {
            0 => {
                let mut client = Client::connect(tcp).await;
                client.send(b"ping").await.unwrap();
                client.bytes(4).await.unwrap();
            }
            // Who only knocks.
            1 => drop(TcpStream::connect(pair.called.at("web")).await.unwrap()),
            2 => drop(TcpStream::connect(http).await.unwrap()),
            _ => assert_eq!(ask(http, "GET", "orders", "/").await.status, 200),
        }
    }

    for (side, before) in sides.into_iter().zip(before) {
        until("the end of all connections but the pool's", async || {
            let series = side.metrics().await;
            let open = series
                .iter()
                .filter(|(name, _)| name.starts_with("countersign_connections{"));
            let open: u64 = open.map(|(_, value)| value).sum();
            // The pair keeps one connection for the next request; the page that is read now is one more descriptor.
            (open <= 1 && descriptors(side) <= before + 4).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_asked_to_end_finishes_what_is_in_flight_first() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (app, mut calls) = app_of_pens().await;
        let mut pair = Pair::before(app.addr);
        let web = pair.called.at("web");
        let mut answer = pair.send(version, get("/slow")).await;
        let pen = within("a call", calls.recv()).await.unwrap();
        pen.data("one ").await;
        frame(answer.body_mut()).await.unwrap().unwrap();

        ask_to_end(&pair.called);
        ask_to_end(&pair.calling);
        until("the end of accepting", async || {
            TcpStream::connect(web).await.is_err().then_some(())
        })
        .await;
        pen.data("two").await;
        drop(pen);

        assert_eq!(&whole(answer).await.unwrap().1[..], b"two", "{version:?}");
        let began = Instant::now();
        for side in [&mut pair.called, &mut pair.calling] {
            assert_eq!(side.process.end().code(), Some(0), "{version:?}");
            side.said("ended; nothing was cut");
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        let line = pair
            .called
            .logged("the request", |line| line["path"] == "/slow");
        assert_eq!(
            (line["status"].as_u64(), line["response_bytes"].as_u64()),
            (Some(200), Some(7)),
            "{line}"
        );
    }
}
