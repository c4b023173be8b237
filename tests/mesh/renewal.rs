//! New certificates, keys and roots while calls are under way: taken without one failed request, or refused whole.

use crate::support::app::{EchoApp, HttpApp};
use crate::support::client::Client;
use crate::support::load::{Load, hash, is_told, shown};
use crate::support::mesh::{Domain, Member};
use crate::support::pair::Pair;
use crate::support::{tls, until};
use mint::Svid;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;

async fn shows(at: SocketAddr, svid: &Svid) {
    until("the new certificate on the wire", async || {
        (shown(at).await == svid.chain[0]).then_some(())
    })
    .await;
}

async fn apps() -> (HttpApp, EchoApp) {
    (HttpApp::start().await, EchoApp::start("").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_are_taken_under_load_without_one_failed_request() {
    let (web, db) = apps().await;
    let pair = Pair::around(web.addr, db.addr);
    let load = Load::start(&pair.calling).await;
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
    let load = Load::start(&pair.calling).await;
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
    // What is open under the old root would end with it.
    let renewed = Load::start(&pair.calling).await;
    load.end().await;
    for (member, sidecar) in members {
        member.write("bundle.pem", &new_root);
        until("the new root alone", async || {
            (roots(sidecar).await == 1).then_some(())
        })
        .await;
    }
    renewed.more(50).await;
    renewed.end().await;

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
    let load = Load::start(&pair.calling).await;

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
    let load = Load::start(&pair.calling).await;
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
