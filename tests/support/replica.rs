//! Replicas of a service: an app and its sidecar, each a process, which end and start again in one order or another.

use super::client::ask;
use super::mesh::{Domain, Member, allow_all};
use super::process::{Lines, Process, countersign};
use super::sidecar::Sidecar;
use super::until;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering as Atomic};
use std::time::Duration;

/// In which order a sidecar and its app end and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The sidecar ends before the app is told, and starts after it.
    SidecarFirst,
    /// Both are told at the same moment, and started at the same moment.
    AtOnce,
    /// `countersign run -- app`.
    Run,
}

/// How an app that listens at an address is started.
pub type App = fn(SocketAddr) -> Command;

/// One replica of `orders`.
pub struct Replica {
    order: Order,
    command: App,
    member: Member,
    /// Where its sidecar is called.
    pub web: SocketAddr,
    at: SocketAddr,
    /// `None`: under `run`.
    app: Option<Process>,
    sidecar: Sidecar,
    /// What all apps printed that ran here.
    pub printed: Vec<Lines>,
}

/// A place that stays the same from one start to the next, and that nobody is given who asks for any.
fn place() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id().to_be_bytes();
    let nth = NEXT.fetch_add(1, Atomic::Relaxed);
    let ip = Ipv4Addr::new(127, 1 + pid[2] % 250, 1 + pid[3] % 250, nth);
    let socket = TcpListener::bind((ip, 0)).expect("a free port");
    socket.local_addr().expect("it is bound")
}

impl Replica {
    /// Starts one, and waits until it is ready.
    pub async fn start(shop: &Domain, order: Order, command: App) -> Self {
        let (member, web, at) = (shop.member("orders"), place(), place());
        member.policy(&allow_all(&["spiffe://shop.example/storefront"]));
        member.configure(&format!(
            "inbound: [{{ name: web, listen: \"{web}\", app: \"{at}\", protocol: http }}]\npolicy: {{ file: policy.yaml }}\n\
             limits: {{ drainDelay: 200ms, drainDeadline: 3s }}\ntelemetry: {{ accessLog: {{ to: access.jsonl }} }}\n"
        ));
        let (app, sidecar) = started(order, &member, command(at)).await;
        let mut replica = Replica {
            order,
            command,
            member,
            web,
            at,
            app,
            sidecar,
            printed: Vec::new(),
        };
        replica.keeps();
        replica
    }

    /// What the sidecars that have ended here say of requests that the app had and did not answer: those are its own. Either it
    /// closed their connection, or it sat on them until the drain was over.
    pub fn left_by_app(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.member.path("access.jsonl")).unwrap_or_default();
        let of_app = |line: &&str| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let had = line["endpoint"].is_string() && line["request_bytes"] != 0;
            match line["reason"].as_str() {
                Some("closed_before_response") => true,
                Some("cut_by_drain") => had && line["status"].is_null(),
                _ => false,
            }
        };
        log.lines().filter(of_app).map(str::to_owned).collect()
    }

    /// What its sidecars' log says of this path.
    pub fn told_of(&self, path: &str) -> Vec<String> {
        told_of(&self.member, path)
    }

    /// What its sidecars' log says of requests that came to no good end.
    pub fn told_of_ends(&self) -> Vec<String> {
        told_of_ends(&self.member)
    }

    fn keeps(&mut self) {
        let out = &self.sidecar.process.out;
        let printed = self.app.as_ref().map_or(out, |app| &app.out);
        self.printed.push(printed.clone());
    }

    /// Ends both and starts both again, as the order has it.
    pub async fn restart(&mut self) {
        if let (Some(app), Order::AtOnce) = (&self.app, self.order) {
            app.ask_to_end();
        }
        self.sidecar.process.ask_to_end();
        ended(&mut self.sidecar.process).await;
        if let Some(app) = &mut self.app {
            if self.order == Order::SidecarFirst {
                app.ask_to_end();
            }
            ended(app).await;
        }
        let command = (self.command)(self.at);
        (self.app, self.sidecar) = started(self.order, &self.member, command).await;
        self.keeps();
    }
}

/// Waits for an end without holding up who else runs on this thread.
async fn ended(process: &mut Process) {
    until("the end of a process", async || {
        process.err.ended_within(Duration::ZERO).then_some(())
    })
    .await;
    assert_eq!(process.end().code(), Some(0));
}

/// Starts both, and waits as an orchestrator does, until the sidecar says that it is ready.
async fn started(order: Order, member: &Member, mut app: Command) -> (Option<Process>, Sidecar) {
    let (app, sidecar) = match order {
        Order::SidecarFirst => {
            let app = Process::start(&mut app);
            app.out
                .wait_for("the app", |line| line.contains("listen").then_some(()));
            (Some(app), member.start())
        }
        Order::AtOnce => {
            let sidecar = member.start();
            (Some(Process::start(&mut app)), sidecar)
        }
        Order::Run => {
            let mut run = countersign();
            run.args(["--log-format", "json", "run", "--config"]);
            run.arg(member.path("sidecar.yaml")).arg("--");
            run.arg(app.get_program()).args(app.get_args());
            for (name, value) in app.get_envs() {
                run.env(name, value.expect("nothing is unset"));
            }
            let process = Process::start(&mut run);
            (None, Sidecar { process })
        }
    };
    let health = sidecar.opened("health");
    until("a replica that is ready", async || {
        let page = ask(health, "GET", "localhost", "/ready").await;
        (page.status == 200).then_some(())
    })
    .await;
    (app, sidecar)
}

/// What the log of this member's sidecars says of a path.
pub fn told_of(member: &Member, path: &str) -> Vec<String> {
    let log = std::fs::read_to_string(member.path("access.jsonl")).unwrap_or_default();
    let of_path = format!("\"path\":\"{path}\"");
    let lines = log.lines().filter(|line| line.contains(&of_path));
    lines.map(str::to_owned).collect()
}

/// What the log of this member's sidecars says of requests that came to no good end.
pub fn told_of_ends(member: &Member) -> Vec<String> {
    let log = std::fs::read_to_string(member.path("access.jsonl")).unwrap_or_default();
    let lines = log.lines().filter(|line| line.contains("\"reason\":"));
    lines.map(str::to_owned).collect()
}

/// The sidecar of `storefront`, who calls these as one service, `orders`.
pub fn before(shop: &Domain, replicas: &[Replica]) -> (Member, Sidecar) {
    let storefront = shop.member("storefront");
    let endpoints: Vec<_> = replicas.iter().map(|it| it.web.to_string()).collect();
    storefront.configure(&format!(
        "outbound: [{{ name: http, listen: \"127.0.0.1:0\", protocol: http }}]\nservices: [{{ name: orders, hosts: [orders], \
         identity: \"spiffe://shop.example/orders\", endpoints: {endpoints:?} }}]\n\
         telemetry: {{ accessLog: {{ to: access.jsonl }} }}\n"
    ));
    let calling = storefront.start();
    (storefront, calling)
}
