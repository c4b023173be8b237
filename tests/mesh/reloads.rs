//! Reloads without a pause under load by every way: policies, routes, certificates and broken files between them. Nothing that
//! is allowed fails or is cut, and what is forbidden is closed within a second of the new generation.

use crate::support::client::Client;
use crate::support::http::{Flow, frame, h2, request};
use crate::support::pair::{Otherwise, Pair, inbound, outbound};
use crate::support::traffic::{Apps, Traffic};
use crate::support::{until, within};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What is promised, from the moment at which the new generation is in force.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const GENERATION: &str = "countersign_config_generation";

/// Everything but `/forbidden` is allowed whatever the number; where `forbids`, `/forbidden` is not.
fn policy(number: usize, forbids: bool) -> String {
    let deny = match forbids {
        true => {
            "\n  - { name: closes, from: [\"spiffe://shop.example/**\"], deny: [{ listeners: [web], paths: [\"/forbidden\"] }] }"
        }
        false => "",
    };
    format!(
        "rules:\n  - {{ name: round {number}, from: [\"spiffe://shop.example/storefront\"], allow: [{{}}] }}{deny}\n"
    )
}

struct World {
    apps: Apps,
    pair: Pair,
    traffic: Traffic,
}

impl World {
    async fn start() -> Self {
        let apps = Apps::start().await;
        let first = policy(0, false);
        let otherwise = Otherwise {
            policy: &first,
            ..Otherwise::default()
        };
        let pair = Pair::around_with(apps.web.addr, apps.db.addr, otherwise);
        let traffic = Traffic::start(pair.calling.at("http"), pair.calling.at("db")).await;
        Self {
            apps,
            pair,
            traffic,
        }
    }

    /// What happens in a round: one kind after the other.
    async fn reload(&self, number: usize) {
        let Pair {
            orders, storefront, ..
        } = &self.pair;
        let service = format!(", timeout: {}s", 60 + number);
        let (web, db) = (self.pair.called.at("web"), self.pair.called.at("db"));
        match number % 5 {
            0 => self.allows(number).await,
            1 => self.forbids(number).await,
            2 => storefront.configure(&outbound(web, db, "{}", &service)),
            3 => {
                orders.policy("rules: [{ nonsense: 1 }]\n");
                self.pair.called.said("the configuration in force stays");
                let limits = format!("{{ idle: {}s }}", 60 + number);
                orders.policy(&policy(number, false));
                orders.configure(&inbound(self.apps.web.addr, self.apps.db.addr, &limits));
            }
            _ => {
                for (who, member) in [("orders", orders), ("storefront", storefront)] {
                    let svid = self.pair.shop.svid(who);
                    svid.write_files(member.folder(), &self.pair.shop.root.bundle_pem());
                }
            }
        }
    }

    /// Takes a policy at once, as SIGHUP asks for it; when it is in force.
    async fn in_force(&self, policy: &str) -> Instant {
        let called = &self.pair.called;
        let before = called.count(GENERATION).await;
        self.pair.orders.policy(policy);
        called.process.signal(Signal::HUP);
        until("a new generation", async || {
            (called.count(GENERATION).await > before).then_some(())
        })
        .await;
        Instant::now()
    }

    /// A WebSocket that is open.
    async fn websocket(&self, path: &str) -> Client<TcpStream> {
        let mut client = Client::connect(self.pair.calling.at("http")).await;
        let ask = format!(
            "GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        );
        client.send(ask.as_bytes()).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, 101);
        is_open(&mut client).await;
        client
    }

    async fn allows(&self, number: usize) {
        self.in_force(&policy(number, false)).await;
    }

    /// Opens a stream and a WebSocket, forbids them, and waits for their end.
    async fn forbids(&self, number: usize) {
        self.in_force(&policy(number, false)).await;
        let (pen, flow) = Flow::open();
        let mut sender = h2(self.pair.calling.at("http")).await;
        let sent = sender.send_request(request("POST", "/forbidden", flow));
        let mut answer = within("an answer", sent).await.unwrap().into_body();
        pen.data("on").await;
        assert!(frame(&mut answer).await.unwrap().is_ok());
        let mut websocket = self.websocket("/forbidden").await;

        let since = self.in_force(&policy(number, true)).await;

        while frame(&mut answer).await.is_some_and(|frame| frame.is_ok()) {}
        // With or without a reset.
        let _whichever = websocket.rest().await;
        let took = since.elapsed();
        assert!(took < ENDS_WITHIN, "they ended after {took:?}");
    }
}

async fn is_open(client: &mut Client<TcpStream>) {
    client.send(b"on").await.unwrap();
    assert_eq!(client.bytes(2).await.unwrap(), b"on");
}

/// So many reloads, spread over so long.
async fn reloads(count: usize, over: Duration) {
    let world = World::start().await;
    let mut websocket = world.websocket("/kept").await;
    let mut turn = tokio::time::interval(over / u32::try_from(count).unwrap());
    for number in 1..=count {
        turn.tick().await;
        world.reload(number).await;
        is_open(&mut websocket).await;
    }
    world.traffic.more(50).await;

    assert_eq!(
        (world.traffic.failed(), world.traffic.cut()),
        (vec![], vec![])
    );
    let done = world.traffic.end().await;
    assert!(done > u64::try_from(count).unwrap(), "{done} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_reloads_under_load_fail_nothing_and_cut_only_what_they_forbid() {
    reloads(20, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 1 min"]
async fn two_hundred_reloads_in_a_minute_fail_nothing_and_cut_only_what_they_forbid() {
    let began = Instant::now();
    reloads(200, Duration::from_secs(60)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(70), "{took:?}");
}
