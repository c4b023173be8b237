//! Redis and its own client through the pair of sidecars: short commands, pipelines, and connections that wait.

use crate::support::example::free_port;
use crate::support::mesh::allow_all;
use crate::support::pair::{Otherwise, Pair};
use crate::support::process::{Process, Ran, run};
use std::net::SocketAddr;
use std::process::Command;
use tempfile::TempDir;

/// The server, and the sidecars between it and its clients.
struct Redis {
    pair: Pair,
    _server: Process,
    place: TempDir,
}

impl Redis {
    fn new(policy: &str) -> Self {
        let (place, port) = (TempDir::new().unwrap(), free_port());
        let server = Process::start(
            Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args(["--save", "", "--dir"])
                .arg(place.path()),
        );
        server.out.wait_for("Redis", |line| {
            line.contains("Ready to accept connections").then_some(())
        });
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let otherwise = Otherwise {
            policy,
            // For HTTP; who waits for a list is not idle.
            limits: "{ idle: 1s }",
            ..Otherwise::default()
        };
        let pair = Pair::around_with(loopback(1), loopback(port), otherwise);
        Redis {
            pair,
            _server: server,
            place,
        }
    }

    fn port(&self) -> String {
        self.pair.calling.at("db").port().to_string()
    }

    /// A command of the shell, with `cli` for the client through the sidecars.
    fn shell(&self, script: &str) -> Ran {
        let script = format!("cli() {{ redis-cli -p {} \"$@\"; }}\n{script}", self.port());
        run(Command::new("timeout")
            .args(["20", "bash", "-c", &script])
            .current_dir(&self.place))
    }
}

#[test]
#[ignore = "needs redis-server: .ci/parts"]
fn values_pipelines_and_waiting_work_as_without_sidecars() {
    let redis = Redis::new("");

    let ran = redis.shell(
        "head -c 3000000 /dev/urandom | base64 -w0 >value\n\
         cli -x SET big <value; cli GET big | head -c -1 | cmp - value && echo same\n\
         for n in $(seq 20000); do echo \"INCR counter\"; done | cli --pipe | tail -n 1\n\
         cli GET counter",
    );
    let waiting =
        redis.shell("(sleep 1.5; cli RPUSH fruits pears >/dev/null) & cli --csv BLPOP fruits 15");

    assert_eq!(
        ran.out, "OK\nsame\nerrors: 0, replies: 20000\n20000\n",
        "{}",
        ran.err
    );
    assert_eq!(waiting.out, "\"fruits\",\"pears\"\n", "{}", waiting.err);
    redis.pair.called.logged("a connection", |line| {
        line["listener"] == "db"
            && line["peer_id"] == "spiffe://shop.example/storefront"
            && line["verdict"] == "allowed"
    });
}

#[test]
#[ignore = "needs redis-server: .ci/parts"]
fn what_is_published_comes_to_who_subscribed() {
    let redis = Redis::new("");
    let mut listener = Command::new("redis-cli");
    let listener =
        Process::start(listener.args(["-p", &redis.port(), "--csv", "SUBSCRIBE", "news"]));
    let heard = |said: &str| {
        listener
            .out
            .wait_for(said, |line| (line == said).then_some(()));
    };
    heard("\"subscribe\",\"news\",1");

    let told = redis.shell("cli PUBLISH news 'pears are ripe'");

    assert_eq!(told.out, "1\n");
    heard("\"message\",\"news\",\"pears are ripe\"");
}

#[test]
#[ignore = "needs redis-server: .ci/parts"]
fn a_denied_caller_is_closed_before_redis_sees_a_connection() {
    let redis = Redis::new(&allow_all(&["spiffe://shop.example/reports"]));

    let denied = redis.shell("cli PING");

    assert_eq!(
        (denied.code, denied.err.as_str()),
        (Some(1), "Error: Server closed the connection\n")
    );
    redis.pair.called.logged("the denial", |line| {
        line["listener"] == "db"
            && line["verdict"] == "denied"
            && line["reason"] == "no_rule_for_caller"
    });
}
