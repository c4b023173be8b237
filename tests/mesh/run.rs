//! `countersign run`: the sidecar first, then the app, and both end in the right order.

use crate::support::app::{HttpApp, nobody};
use crate::support::client::{Client, ask};
use crate::support::http::{Flow, Pen};
use crate::support::mesh::{COMMON, Domain, Member, allow_all};
use crate::support::process::{Process, countersign, run};
use crate::support::sidecar::{listening, text};
use crate::support::{tls, until, within};
use hyper::Response;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// `orders` with both directions around one app, which a test plays; the process that is started is another.
struct Beside {
    shop: Domain,
    member: Member,
}

impl Beside {
    fn around(app: SocketAddr, limits: &str) -> Self {
        let shop = Domain::new("shop.example");
        let member = shop.member("orders");
        member.policy(&allow_all(&[
            "spiffe://shop.example/storefront",
            "spiffe://shop.example/orders",
        ]));
        member.configure(&format!(
            "inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http }}]\n\
             outbound: [{{ name: http, listen: \"127.0.0.1:0\", protocol: http }}]\n\
             policy: {{ file: policy.yaml }}\nlimits: {limits}\ntelemetry: {{ accessLog: {{ format: none }} }}\n"
        ));
        Beside { shop, member }
    }

    fn run(&self, script: &str) -> Started {
        let mut command = countersign();
        command
            .args(["--log-format", "json", "run", "--config"])
            .arg(self.member.path("sidecar.yaml"))
            .args(["--", "sh", "-c", script]);
        Started(Process::start(&mut command))
    }
}

struct Started(Process);

impl Started {
    fn at(&self, listener: &str) -> SocketAddr {
        self.0.err.wait_for(listener, |line| {
            listening(line).and_then(|(name, at)| (name == listener).then_some(at))
        })
    }

    /// Its own log, past or future.
    fn said(&self, part: &str) -> String {
        self.0.err.wait_for(part, |line| {
            text(line, "message").filter(|message| message.contains(part))
        })
    }

    /// The app's standard output, past or future.
    fn prints(&self, line: &str) {
        self.0
            .out
            .wait_for(line, |printed| (printed == line).then_some(()));
    }

    fn has_printed(&self, line: &str) -> bool {
        self.0.out.so_far().iter().any(|printed| printed == line)
    }

    fn app(&self) -> Pid {
        let pid = self.0.err.wait_for("the app's process", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "the app has started").then_some(line["pid"].as_i64()?)
        });
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        self.0.end()
    }
}

/// Says what it is told, and goes on.
const LISTENING: &str = "trap 'echo term; exit 3' TERM; trap 'echo int; exit 4' INT; trap 'echo hup' HUP; trap 'echo usr1' USR1; \
                         trap 'echo usr2' USR2; trap 'echo winch' WINCH; echo up; while :; do sleep 0.05; done";

#[test]
fn the_app_starts_once_the_sidecar_has_and_its_exit_code_is_the_commands() {
    let beside = Beside::around(nobody(), "{}");
    let mut started = beside.run("echo files $(ulimit -Sn); cat; exit 7");
    assert_eq!(started.end().code(), Some(7));

    let usual = getrlimit(Resource::Nofile).current.unwrap();
    started.prints(&format!("files {usual}"));
    let lines = started.0.err.so_far();
    let line = |wanted: &str| {
        let of = |line: &String| text(line, "message").is_some_and(|it| it == wanted);
        lines.iter().position(of).unwrap()
    };
    assert!(line("started") < line("the app has started"), "{lines:#?}");
    started.said("ended; nothing was cut");
}

#[test]
fn signals_reach_the_app_and_one_that_ends_it_is_told_by_the_exit_code() {
    let beside = Beside::around(nobody(), "{ drainDelay: 0s }");
    let mut started = beside.run(LISTENING);
    started.prints("up");
    for (signal, heard) in [
        (Signal::HUP, "hup"),
        (Signal::USR1, "usr1"),
        (Signal::USR2, "usr2"),
        (Signal::WINCH, "winch"),
    ] {
        started.send(signal);
        started.prints(heard);
    }

    kill_process(started.app(), Signal::KILL).unwrap();

    assert_eq!(started.end().code(), Some(128 + 9));
}

#[test]
fn the_app_is_told_by_the_signal_that_we_were_asked_with() {
    for (signal, heard, code) in [(Signal::TERM, "term", 3), (Signal::INT, "int", 4)] {
        let beside = Beside::around(nobody(), "{ drainDelay: 0s }");
        let mut started = beside.run(LISTENING);
        started.prints("up");

        started.send(signal);

        assert_eq!(started.end().code(), Some(code), "{heard}");
        started.prints(heard);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_is_told_after_what_was_in_flight_and_may_call_until_it_has_exited() {
    let (calling, mut pens) = mpsc::channel::<Pen>(1);
    let app = HttpApp::serving(move |_| {
        let calling = calling.clone();
        async move {
            let (pen, flow) = Flow::open();
            pen.data("first ").await;
            calling.send(pen).await.expect("the test still runs");
            Response::new(flow)
        }
    })
    .await;
    let beside = Beside::around(app.addr, "{ drainDelay: 100ms }");
    let slow = "trap 'echo term' TERM; echo up; until test -e done; do sleep 0.05; done; exit 3";
    let slow = format!("cd {}; {slow}", beside.member.folder().display());
    let mut started = beside.run(&slow);
    started.prints("up");
    let (web, http) = (started.at("web"), started.at("http"));
    let svid = beside.shop.svid("storefront");
    let config = tls::client(Some(&svid), &["http/1.1"]);
    let mut caller = Client::connect_tls(web, config, "orders").await.unwrap();
    let get = b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    caller.send(get).await.unwrap();
    let pen = within("a call", pens.recv()).await.unwrap();

    started.send(Signal::TERM);
    until("the end of accepting", async || {
        TcpStream::connect(web).await.is_err().then_some(())
    })
    .await;
    assert!(!started.has_printed("term"), "a request is in flight");
    pen.data("last").await;
    drop(pen);
    assert_eq!(caller.answer().await.unwrap().text(), "first last");

    started.prints("term");
    // No such service: an answer of ours all the same.
    assert_eq!(ask(http, "GET", "nobody", "/").await.status, 502);
    beside.member.write("done", "");
    assert_eq!(started.end().code(), Some(3));
    started.said("ended; nothing was cut");
}

#[test]
fn an_app_that_does_not_end_is_killed_at_the_deadline() {
    let beside = Beside::around(nobody(), "{ drainDelay: 0s, drainDeadline: 500ms }");
    let mut started = beside.run("trap 'echo term' TERM; echo up; while :; do sleep 0.05; done");
    started.prints("up");

    started.send(Signal::TERM);

    assert_eq!(started.end().code(), Some(128 + 9));
    assert!(started.has_printed("term"));
}

#[test]
fn who_asks_a_second_time_does_not_wait_for_the_app() {
    let beside = Beside::around(nobody(), "{ drainDelay: 1m, drainDeadline: 2m }");
    let mut started = beside.run("trap '' TERM; echo up; while :; do sleep 0.05; done");
    started.prints("up");
    let asked = Instant::now();

    started.send(Signal::TERM);
    started.said("SIGTERM: ending");
    started.send(Signal::TERM);

    assert_eq!(started.end().code(), Some(128 + 9));
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_app_that_cannot_be_started_is_told_before_anything_starts() {
    let beside = Beside::around(nobody(), "{}");
    let mut command = countersign();
    command
        .args(["run", "--config"])
        .arg(beside.member.path("sidecar.yaml"))
        .args(["--", "./no-such-app", "--port", "1"]);

    let ran = run(&mut command);

    assert_eq!(
        (ran.code, &*ran.err),
        (
            Some(2),
            "./no-such-app: cannot be started: there is no such program, or it may not be run; name a program after `--`\n"
        )
    );
}

#[test]
fn an_end_before_there_is_an_identity_is_no_success_of_an_app_that_never_ran() {
    let beside = Beside::around(nobody(), "{}");
    let config = std::fs::read_to_string(beside.member.path("sidecar.yaml")).unwrap();
    let files = "files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }";
    assert!(COMMON.contains(files));
    let agent = "workloadApi: { socket: \"unix:///no/such/agent.sock\" }";
    beside
        .member
        .write("sidecar.yaml", &config.replace(files, agent));
    let mut started = beside.run("echo up");
    started.at("health");

    started.send(Signal::TERM);

    assert_eq!(started.end().code(), Some(128 + 15));
    started.said("ended before the app was started");
    assert!(!started.has_printed("up"));
}
