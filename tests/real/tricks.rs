//! The tricks of `tests/corpus` before real servers: nginx, node and Python, each of which has a handler for what is denied
//! and reads paths its own way. Without a sidecar many of them lead there; through one, none.

use crate::support::client::Client;
use crate::support::example::free_port;
use crate::support::mesh::{Domain, Member};
use crate::support::process::Process;
use crate::support::sidecar::Sidecar;
use crate::support::tricks::{About, CHOICES, POLICY, Trick, all, listener, send, send1};
use crate::support::{tls, until};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// What reached a handler that nothing may reach: by handler, the lines of the corpus.
type Reached = BTreeMap<String, BTreeSet<usize>>;

/// A server.
struct Backend {
    name: &'static str,
    /// Where it listens, by the version that it speaks there.
    ports: Vec<(u8, u16)>,
    process: Process,
    /// Where nginx says what came.
    place: Option<TempDir>,
}

impl Backend {
    fn script(name: &'static str, program: &str, file: &str, versions: &[u8]) -> Self {
        let file = format!("{}/tests/real/{file}", env!("CARGO_MANIFEST_DIR"));
        let process = Process::start(Command::new(program).arg(file));
        let port = |version: &u8| {
            let says = format!("http{version} ");
            let port = process.out.wait_for("a port", |line| {
                line.strip_prefix(&says).map(|port| port.parse().unwrap())
            });
            (*version, port)
        };
        let ports = versions.iter().map(port).collect();
        Backend {
            name,
            ports,
            process,
            place: None,
        }
    }

    fn nginx() -> Self {
        let (place, h1, h2) = (TempDir::new().unwrap(), free_port(), free_port());
        let config = nginx_conf(&[h1.to_string(), format!("{h2} http2")]);
        std::fs::write(place.path().join("nginx.conf"), config).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("nginx");
        command.arg("-p").arg(place.path()).arg("-c");
        command.arg(place.path().join("nginx.conf"));
        Backend {
            name: "nginx",
            ports: vec![(1, h1), (2, h2)],
            process: Process::start(command.env("PATH", path)),
            place: Some(place),
        }
    }

    fn lines(&self) -> Vec<String> {
        match &self.place {
            None => self.process.out.so_far(),
            Some(place) => {
                let log = std::fs::read_to_string(place.path().join("log"));
                log.unwrap_or_default().lines().map(str::to_owned).collect()
            }
        }
    }

    /// What reached its handlers since it had said `before` lines, and how many it has said now. One more call, straight to it,
    /// is the last of them.
    async fn reached(&self, before: usize) -> (Reached, usize) {
        let (last, (_, port)) = (LAST + before, self.ports[0]);
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        until("it accepts", async || {
            tokio::net::TcpStream::connect(at).await.ok()
        })
        .await;
        let head = format!(
            "GET /admin/ HTTP/1.1\r\nhost: x\r\nx-case: {last}\r\nconnection: close\r\n\r\n"
        );
        send1(&mut Client::connect(at).await, head.as_bytes()).await;
        let said = format!(" {last}");
        let lines = until("the last call", async || {
            let lines = self.lines();
            let there = lines.iter().skip(before).any(|line| line.ends_with(&said));
            there.then_some(lines)
        })
        .await;
        let mut reached = Reached::new();
        for line in &lines[before..] {
            let (handler, case) = line.split_once(' ').unwrap_or((line, ""));
            match case.parse() {
                Ok(LAST..) => {}
                _ if handler.starts_with("http") => {}
                // Line 0 is none: whatever it was, it should not be there.
                case => {
                    let cases = reached.entry(handler.to_owned()).or_default();
                    cases.insert(case.unwrap_or(0));
                }
            }
        }
        // Python's other handler may say the same call once more, after this.
        let count = until("all of it", async || {
            let lines = self.lines();
            let of_last = lines.iter().filter(|line| line.ends_with(&said)).count();
            (self.name != "python" || of_last == 2).then_some(lines.len())
        })
        .await;
        (reached, count)
    }
}

/// Above every line of a corpus.
const LAST: usize = 100_000;

/// Two servers at each place: one with a handler for the path, one for the host.
fn nginx_conf(places: &[String]) -> String {
    let server = |listen: &String| {
        format!(
            "server {{ listen 127.0.0.1:{listen}; server_name _;\n\
               location / {{ return 200; }}\n\
               location = /admin {{ access_log log path; return 200; }}\n\
               location /admin/ {{ access_log log path; return 200; }} }}\n\
             server {{ listen 127.0.0.1:{listen}; server_name admin.shop;\n\
               access_log log host; location / {{ return 200; }} }}\n"
        )
    };
    let servers: String = places.iter().map(server).collect();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\n\
         events {{}}\n\
         http {{ access_log off;\n\
           log_format path \"path $http_x_case\"; log_format host \"host $http_x_case\";\n\
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
           {servers} }}\n"
    )
}

/// `orders`, with a listener for each server and each choice of `paths`.
fn before(backends: &[Backend], shop: &Domain) -> (Member, Sidecar) {
    let member = shop.member("orders");
    member.policy(POLICY);
    let mut listeners = String::new();
    for backend in backends {
        for (version, port) in &backend.ports {
            for paths in CHOICES {
                let name = format!("{}-{version}-{paths}", backend.name);
                listeners += &listener(&name, *port, paths);
            }
        }
    }
    member.configure(&format!(
        "inbound:\n{listeners}policy: {{ file: policy.yaml }}\n"
    ));
    let sidecar = member.start();
    (member, sidecar)
}

/// Where a corpus is sent.
#[derive(Clone, Copy)]
enum To<'a> {
    Sidecar(&'a Domain, SocketAddr),
    Straight(u16),
}

async fn send_one(to: To<'_>, trick: &Trick, version: u8) {
    match to {
        To::Straight(port) => {
            let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
            send(&mut client, trick, version).await;
        }
        To::Sidecar(shop, at) => {
            let protocol = ["http/1.1", "h2"][usize::from(version - 1)];
            let config = tls::client(Some(&shop.svid("storefront")), &[protocol]);
            let client = Client::connect_tls(at, config, "orders").await;
            send(&mut client.unwrap(), trick, version).await;
        }
    }
}

async fn send_all(to: To<'_>, tricks: &[Trick], version: u8) {
    let lane = async |lane| {
        let possible = tricks.iter().filter(|trick| trick.is_in(version));
        for trick in possible.skip(lane).step_by(4) {
            send_one(to, trick, version).await;
        }
    };
    tokio::join!(lane(0), lane(1), lane(2), lane(3));
}

/// Sends a corpus through the sidecar, where nothing may come of it, then without, where at least `floors` come to each handler.
async fn run(about: About, floors: &[(&str, u8, &str, usize)]) {
    let tricks = all(about);
    let denied = tricks.iter().filter(|trick| !trick.passes);
    let denied: BTreeSet<usize> = denied.map(|trick| trick.line).collect();
    let backends = [
        Backend::nginx(),
        Backend::script("node", "node", "tricks.mjs", &[1, 2]),
        Backend::script("python", "python3", "tricks.py", &[1]),
    ];
    let shop = Domain::new("shop.example");
    let (_member, sidecar) = before(&backends, &shop);
    let mut found = BTreeMap::new();
    for backend in &backends {
        let (_, mut said) = backend.reached(0).await;
        for &(version, port) in &backend.ports {
            for paths in CHOICES {
                let at = sidecar.at(&format!("{}-{version}-{paths}", backend.name));
                send_all(To::Sidecar(&shop, at), &tricks, version).await;
                let (reached, lines) = backend.reached(said).await;
                said = lines;
                let told = format!("{}, HTTP/{version}, paths: {paths}", backend.name);
                assert_eq!(reached, Reached::new(), "{told}");
            }
            send_all(To::Straight(port), &tricks, version).await;
            let (reached, lines) = backend.reached(said).await;
            said = lines;
            for (handler, lines) in reached {
                let count = lines.intersection(&denied).count();
                found.insert((backend.name, version, handler), count);
            }
        }
    }
    for ((name, version, handler), count) in &found {
        let of = denied.len();
        println!(
            "{name}, HTTP/{version}, no sidecar: {count} of {of} reach its handler ({handler})"
        );
    }
    for (name, version, handler, floor) in floors {
        let count = found.get(&(*name, *version, (*handler).to_owned()));
        assert!(
            count >= Some(floor),
            "{name}, HTTP/{version}, {handler}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, nodejs and python3: .ci/parts"]
async fn no_trick_with_a_path_reaches_the_handler_of_a_real_server() {
    let floors = [
        ("nginx", 1, "path", 150),
        ("nginx", 2, "path", 100),
        ("node", 1, "path", 150),
        ("node", 2, "path", 100),
        ("python", 1, "normalising", 150),
        ("python", 1, "decoding", 100),
    ];
    run(About::Paths, &floors).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, nodejs and python3: .ci/parts"]
async fn no_trick_with_a_host_reaches_the_handler_of_a_real_server() {
    let floors = [
        ("nginx", 1, "host", 30),
        ("node", 1, "host", 30),
        ("python", 1, "host", 30),
    ];
    run(About::Hosts, &floors).await;
}
