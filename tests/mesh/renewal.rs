//! New certificates, keys and roots while calls are under way: taken without one failed request, or refused whole.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::Client;
use crate::support::http::{as_h1, get, h1, h2, whole};
use crate::support::mesh::{Domain, Member};
use crate::support::pair::Pair;
use crate::support::{tls, until};
use mint::Svid;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Calls without a pause, by every way, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Load {
    /// Sixteen HTTP/1.1 connections, sixteen streams on one of HTTP/2, four long TCP connections and one after another.
    async fn start(pair: &Pair) -> Self {
        let mut load = Load {
            stop: Arc::default(),
            done: Arc::default(),
            callers: JoinSet::new(),
        };
        let (http, db) = (pair.calling.at("http"), pair.calling.at("db"));
        for n in 0..16 {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let mut sender = h1(http).await;
            load.callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = sender
                        .send_request(as_h1(get(&format!("/h1/{n}"))))
                        .await
                        .unwrap();
                    assert_eq!(whole(answer).await.unwrap().0, 200);
                    sender.ready().await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let sender = h2(http).await;
        for n in 0..16 {
            let (stop, done, mut sender) = (
                Arc::clone(&load.stop),
                Arc::clone(&load.done),
                sender.clone(),
            );
            load.callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = sender.send_request(get(&format!("/h2/{n}"))).await.unwrap();
                    assert_eq!(whole(answer).await.unwrap().0, 200);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for long in [true, true, true, true, false] {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            load.callers.spawn(async move {
                let mut client = Client::connect(db).await;
                while !stop.load(Ordering::Relaxed) {
                    client.send(b"ping").await.unwrap();
                    assert_eq!(client.bytes(4).await.unwrap(), b"ping");
                    done.fetch_add(1, Ordering::Relaxed);
                    if !long {
                        client = Client::connect(db).await;
                    }
                }
            });
        }
        load
    }

    /// Waits until so many more calls were answered.
    async fn more(&self, calls: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + calls;
        until("more calls", async || {
            (self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Every call was answered rightly: a caller that saw anything else has panicked.
    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

/// The leaf that a listener shows now.
async fn shown(at: SocketAddr) -> Vec<u8> {
    let name = ServerName::try_from("orders").unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls::client(None, &[]));
    let stream = connector
        .connect(name, TcpStream::connect(at).await.unwrap())
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn shows(at: SocketAddr, svid: &Svid) {
    until("the new certificate on the wire", async || {
        (shown(at).await == svid.chain[0]).then_some(())
    })
    .await;
}

/// The app is told of the caller's new certificate.
async fn is_told(app: &HttpApp, before: &str) -> String {
    until("the caller's new certificate at the app", async || {
        let hash = hash(app.seen().last()?.header("x-forwarded-client-cert")?);
        (hash != before).then_some(hash)
    })
    .await
}

fn hash(xfcc: &str) -> String {
    let hash = xfcc.split(';').find(|part| part.starts_with("Hash="));
    hash.unwrap_or_default().to_owned()
}

async fn apps() -> (HttpApp, EchoApp) {
    (HttpApp::start().await, EchoApp::start("").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_taken_under_load_without_one_failed_request() {
    let (web, db) = apps().await;
    let pair = Pair::around(web.addr, db.addr);
    let load = Load::start(&pair).await;
    let mut told = is_told(&web, "").await;

    for _ in 0..3 {
        let (server, client) = (pair.shop.svid("orders"), pair.shop.svid("storefront"));
        load.more(100).await;
        server.write_files(pair.orders.folder(), &pair.shop.root.bundle_pem());
        client.write_files(pair.storefront.folder(), &pair.shop.root.bundle_pem());
        shows(pair.called.at("web"), &server).await;
        shows(pair.called.at("db"), &server).await;
        told = is_told(&web, &told).await;
        load.more(100).await;
    }

    let calls = load.end().await;
    assert!(calls >= 600, "{calls}");
    let failed = pair.calling.metrics().await;
    let failed: Vec<_> = failed
        .iter()
        .filter(|(name, _)| name.contains("method=\"GET\"") && !name.contains("code=\"200\""))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_is_changed_under_load_without_one_failed_request() {
    let (web, db) = apps().await;
    let pair = Pair::around(web.addr, db.addr);
    let load = Load::start(&pair).await;
    let next = Domain::new("shop.example");
    let (old_root, new_root) = (pair.shop.root.bundle_pem(), next.root.bundle_pem());
    let both = format!("{old_root}{new_root}");
    let members = [
        (&pair.orders, &pair.called),
        (&pair.storefront, &pair.calling),
    ];

    load.more(50).await;
    for (member, sidecar) in members {
        member.write("bundle.pem", &both);
        until("both roots", async || {
            (roots(sidecar).await == 2).then_some(())
        })
        .await;
    }
    let (server, client) = (next.svid("orders"), next.svid("storefront"));
    server.write_files(pair.orders.folder(), &both);
    client.write_files(pair.storefront.folder(), &both);
    shows(pair.called.at("web"), &server).await;
    is_told(
        &web,
        &hash(web.seen()[0].header("x-forwarded-client-cert").unwrap()),
    )
    .await;
    for (member, sidecar) in members {
        member.write("bundle.pem", &new_root);
        until("the new root alone", async || {
            (roots(sidecar).await == 1).then_some(())
        })
        .await;
    }
    load.more(50).await;
    load.end().await;

    let old = tls::client(Some(&pair.shop.svid("storefront")), &[]);
    let mut client = Client::connect_tls(pair.called.at("web"), old, "orders")
        .await
        .unwrap();
    assert!(client.rest().await.is_err());
    pair.called
        .counts(
            "countersign_handshakes_total{side=\"server\",result=\"unknown_issuer\",group=\"\"}",
            1,
        )
        .await;
}

async fn roots(sidecar: &crate::support::sidecar::Sidecar) -> usize {
    let page = crate::support::client::ask(sidecar.at("admin"), "GET", "localhost", "/certs").await;
    let page: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
    page["bundles"]["shop.example"].as_array().unwrap().len()
}

/// Lays files out as Kubernetes mounts a secret: `svid.pem` → `..data/svid.pem`, `..data` → a folder of this generation.
fn mount(member: &Member, generation: &str, svid: &Svid, bundle_pem: &str) {
    let folder = member.folder();
    std::fs::create_dir(folder.join(generation)).unwrap();
    svid.write_files(&folder.join(generation), bundle_pem);
    symlink(generation, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for name in ["svid.pem", "key.pem", "bundle.pem"] {
        let link = folder.join(name);
        if !link.is_symlink() {
            std::fs::remove_file(&link).unwrap();
            symlink(format!("..data/{name}"), link).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swap_of_a_kubernetes_volume_is_one_generation() {
    let (web, db) = apps().await;
    let pair = Pair::around(web.addr, db.addr);
    let load = Load::start(&pair).await;

    for generation in ["..2026_01", "..2026_02", "..2026_03"] {
        let svid = pair.shop.svid("orders");
        mount(
            &pair.orders,
            generation,
            &svid,
            &pair.shop.root.bundle_pem(),
        );
        shows(pair.called.at("web"), &svid).await;
    }
    load.more(50).await;
    load.end().await;
    let refused = pair
        .called
        .process
        .err
        .so_far()
        .into_iter()
        .filter(|line| line.contains("refused"));
    assert_eq!(refused.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfit_set_is_refused_with_its_reason_and_the_old_one_keeps_serving() {
    let (web, db) = apps().await;
    let pair = Pair::around(web.addr, db.addr);
    let at = pair.called.at("web");
    let old = shown(at).await;
    let load = Load::start(&pair).await;
    let next = pair.shop.svid("orders");
    let half = next.chain_pem()[..400].to_owned();
    let expired = pair.shop.issuer.leaf_with(&pair.shop.id("orders"), |it| {
        it.not_after = mint::now_s() - 1;
    });

    let path = pair.orders.path("svid.pem");
    let path = path.display();
    for (certificate, expected) in [
        (half, format!("{path}: ")),
        (next.chain_pem(), format!("{path}: the private key in ")),
        (String::new(), format!("{path}: ")),
    ] {
        let told = pair.called.process.err.so_far().len();
        pair.orders.write("svid.pem", &certificate);
        let start = format!("new identity files refused, the old ones stay: {expected}");
        until(&start, async || {
            let lines = pair.called.process.err.so_far();
            lines[told..]
                .iter()
                .any(|line| line.contains(&start))
                .then_some(())
        })
        .await;
        assert_eq!(shown(at).await, old);
    }
    expired.write_files(pair.orders.folder(), &pair.shop.root.bundle_pem());
    pair.called
        .said("would refuse it: the certificate has expired");
    assert_eq!(shown(at).await, old);

    next.write_files(pair.orders.folder(), &pair.shop.root.bundle_pem());
    shows(at, &next).await;
    load.end().await;
}
