//! What whole-system tests are made of: the real binary, apps that remember what reached them, and a client that sends
//! exactly the bytes it is given.
//!
//! Everything listens on port 0, every wait is for an event and ends with a report after [`PATIENCE`], and whatever was
//! started ends when it is dropped.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test target uses its own part of it"
)]

pub mod agent;
pub mod app;
pub mod http2;
pub mod client;
pub mod http;
pub mod load;
pub mod mesh;
pub mod pair;
pub mod recorder;
pub mod page;
pub mod process;
pub mod curl;
pub mod envoy;
pub mod example;
pub mod graceful;
pub mod callers;
pub mod replica;
pub mod sidecar;
pub mod ca;
pub mod joined;
pub mod traffic;
pub mod tricks;
pub mod workload;
pub mod tls;
pub mod strict;
pub mod corpus;
pub mod witness;
pub mod wrong_proxy;
pub mod lane;
pub mod verdict;

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

/// How long a test waits for what must come. Far above what it takes on a busy machine, far below what a person waits.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits what must come; panics with `what` when it does not.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, event).await;
    came.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The address at which this machine is reached from elsewhere: a name may lead there. Nothing is sent.
pub fn here() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("any port will do");
    let routed = socket.connect("198.51.100.1:9");
    routed.expect("this machine has a network");
    let ip = socket.local_addr().expect("it is bound").ip();
    assert!(!ip.is_loopback(), "this machine has no network");
    ip
}

/// Asks again, every few milliseconds, until there is an answer: for effects that nothing announces.
pub async fn until<T>(what: &str, asked: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = asked().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, asking).await
}
