//! What quiet connections cost and give back; and `limits.memory`: who goes without before the ceiling, and who never does.

use crate::support::app::HttpApp;
use crate::support::client::{Client, ask};
use crate::support::mesh::allow_all;
use crate::support::pair::{Otherwise, Pair, inbound, outbound};
use crate::support::sidecar::Sidecar;
use crate::support::{tls, until, within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

const GENERATION: &str = "countersign_config_generation";
/// How often is tried whether one reload was enough; memory is looked at ten times a second.
const LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Nothing listens there.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// One call on a connection that is kept: its status, and why by `Proxy-Status`. `None`: the connection has ended.
async fn call<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> Option<(u16, String)> {
    let request = b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n";
    client.send(request).await.ok()?;
    let answer = client.answer().await.ok()?;
    let why = answer.header("proxy-status").unwrap_or_default();
    Some((answer.status, why.to_owned()))
}

fn told(reason: &str) -> Option<(u16, String)> {
    let why =
        format!("countersign; error=proxy_internal_response; details=\"{reason}\"; reached=?0");
    Some((503, why))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_ceiling_of_memory_nothing_new_is_taken_and_pages_are_answered() {
    let app = HttpApp::start().await;
    let pair = Pair::around(app.addr, nobody());
    let at = pair.calling.at("http");
    // Kept ones are asked back one after the other, the oldest first.
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(at).await;
        assert_eq!(call(&mut client).await, Some((200, String::new())));
        kept.push(client);
    }

    // Less than any process of ours takes.
    let (web, db) = (pair.called.at("web"), pair.called.at("db"));
    let limits = "{ memory: 16MiB }";
    pair.storefront.configure(&outbound(web, db, limits, ""));
    pair.calling.said("nothing new is taken");

    assert_eq!(call(&mut kept[7]).await, told("memory_full"));
    assert_eq!(call(&mut Client::connect(at).await).await, None, "closed");
    let counted = "countersign_limited_total{direction=\"outbound\",listener=\"http\",reason=\"memory_full\"}";
    pair.calling.counts(counted, 2).await;
    let oldest = within("the oldest is asked back", kept[0].rest()).await;
    assert_eq!(oldest.unwrap(), b"");
    for (page, path) in [
        ("health", "/live"),
        ("health", "/ready"),
        ("metrics", "/metrics"),
        ("admin", "/config"),
    ] {
        let answer = ask(pair.calling.at(page), "GET", "localhost", path).await;
        assert_eq!(answer.status, 200, "{path}");
    }

    pair.storefront.configure(&outbound(web, db, "{}", ""));
    until("room again", async || {
        (call(&mut Client::connect(at).await).await?.0 == 200).then_some(())
    })
    .await;
}

async fn connect(pair: &Pair, who: &str) -> Client<TlsStream<TcpStream>> {
    let config = tls::client(Some(&pair.shop.svid(who)), &["http/1.1"]);
    let client = Client::connect_tls(pair.called.at("web"), config, "orders").await;
    client.expect("it is let in")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_ceiling_of_memory_who_holds_most_is_shed_and_others_are_served() {
    let app = HttpApp::start().await;
    let everybody = allow_all(&["spiffe://shop.example/**"]);
    let otherwise = Otherwise {
        policy: &everybody,
        ..Otherwise::default()
    };
    let pair = Pair::around_with(app.addr, nobody(), otherwise);
    let mut many = Vec::new();
    for _ in 0..64 {
        many.push(connect(&pair, "storefront").await);
    }
    let mut one = connect(&pair, "basket").await;
    assert_eq!(call(&mut one).await, Some((200, String::new())));

    // What is resident now is to be nine tenths of what may be. It moves with a reload, so this may take more than one; each
    // begins with another of the connections, of which the oldest are asked back.
    let mut others = None;
    while others.is_none() {
        let mut newest = many.pop().expect("one of the reloads is enough");
        let resident = pair.called.count("process_resident_memory_bytes").await;
        let limits = format!("{{ memory: {} }}", resident / 10 * 11);
        let generation = pair.called.count(GENERATION).await;
        pair.orders.configure(&inbound(app.addr, nobody(), &limits));
        until("the next snapshot", async || {
            (pair.called.count(GENERATION).await > generation).then_some(())
        })
        .await;
        for _ in 0..LOOKS {
            if call(&mut newest).await == told("memory_shed") {
                others = call(&mut one).await;
                break;
            }
            sleep(LOOK_EVERY).await;
        }
    }
    assert_eq!(others, Some((200, String::new())));
    let counted =
        "countersign_limited_total{direction=\"inbound\",listener=\"web\",reason=\"memory_shed\"}";
    assert!(pair.called.count(counted).await >= 1);
    let mut oldest = many.remove(0);
    let oldest = within("the oldest is asked back", oldest.rest()).await;
    assert_eq!(oldest.unwrap_or_default(), b"");
}

/// Quiet connections: so many that what they cost stands out from what a sidecar costs.
const QUIET: usize = 1500;
const RESIDENT: &str = "process_resident_memory_bytes";
/// What one of them may cost: the figures are in `bench/README.md`, and this only sees that hyper lets go of them. It costs twice as
/// much where it does not.
const CLEAR_BYTES_MAX: u64 = 9 * 1024;
const TLS_BYTES_MAX: u64 = 16 * 1024;

fn open_files_max() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).expect("what is allowed may be had");
}

/// Sees that so many connections cost no more than this each, and that what they took is given back when they have gone.
async fn come_and_go<S>(sidecar: &Sidecar, bytes_max: u64, connect: impl AsyncFn() -> Client<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    open_files_max();
    let served = async || {
        let mut client = connect().await;
        assert_eq!(call(&mut client).await, Some((200, String::new())));
        client
    };
    // Once before, so that nothing is counted that is made once.
    drop(served().await);
    let before = sidecar.count(RESIDENT).await;
    let mut quiet = Vec::new();
    while quiet.len() < QUIET {
        quiet.push(served().await);
    }
    let may_take = bytes_max * QUIET as u64;
    let falls_below = async |bytes: u64| {
        while sidecar.count(RESIDENT).await > before + bytes {
            sleep(Duration::from_millis(250)).await;
        }
    };
    let in_time = Duration::from_secs(60);
    let rested = timeout(in_time, falls_below(may_take)).await;
    let resident = sidecar.count(RESIDENT).await;
    rested.unwrap_or_else(|_| panic!("{} KiB taken", (resident - before) / 1024));
    drop(quiet);
    let gone = timeout(in_time, falls_below(may_take / 2)).await;
    let resident = sidecar.count(RESIDENT).await;
    gone.unwrap_or_else(|_| panic!("{} KiB kept", (resident - before) / 1024));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_connections_in_clear_text_cost_little_and_give_back_what_they_took() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    let at = pair.calling.at("http");
    come_and_go(&pair.calling, CLEAR_BYTES_MAX, async || {
        Client::connect(at).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_connections_with_mutual_tls_cost_little_and_give_back_what_they_took() {
    let app = HttpApp::start().await;
    let pair = Pair::before(app.addr);
    come_and_go(&pair.called, TLS_BYTES_MAX, async || {
        connect(&pair, "storefront").await
    })
    .await;
}
