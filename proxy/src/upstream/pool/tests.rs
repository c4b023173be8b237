#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::upstream::{How, Means};
use crate::version::Version;
use config::sidecar::Dns;
use config::{Address, SpiffeId, TrustDomain};
use identity::pki_types::CertificateDer;
use identity::{Bundle, Bundles, Generation, Key, Svid};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use telemetry::SidecarMetrics;
use tokio::net::TcpListener;

fn upstream(endpoint: SocketAddr, how: How, idle: Duration) -> Arc<Upstream> {
    upstream_at(&endpoint.to_string(), how, idle)
}

pub(super) fn upstream_at(endpoint: &str, how: How, idle: Duration) -> Arc<Upstream> {
    let config = UpstreamConfig {
        service: "orders".into(),
        endpoints: vec![Written::At(Address::parse(endpoint).unwrap())],
        header_bytes: 65536,
        headers: 200,
        connect: Duration::from_secs(10),
        handshake: Duration::from_millis(500),
        idle,
        after_expiry: Duration::from_secs(86_400),
    };
    let means = Means::new(SidecarMetrics::new(), Arc::default(), &Dns::default());
    Upstream::new(config, how, means)
}

fn mutual() -> How {
    let root = mint::Authority::root("shop.example");
    let minted = root.issuer().leaf("spiffe://shop.example/storefront");
    let chain = minted.chain.iter().cloned().map(CertificateDer::from);
    let key = Key::from_pkcs8(&minted.key.pkcs8()).unwrap();
    let domain = TrustDomain::parse("shop.example").unwrap();
    let roots = vec![CertificateDer::from(root.root)];
    let bundles = Bundles::of(Bundle::from_roots(domain, roots).unwrap());
    let svid = Svid::new(chain.collect(), key).unwrap();
    How::Mutual {
        generation: Arc::new(Generation::new(1, svid, bundles).unwrap()),
        expected: SpiffeId::parse("spiffe://shop.example/orders").unwrap(),
        name: ServerName::try_from("orders").unwrap(),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn who_waits_for_a_dial_shares_its_failure_instead_of_dialling_after_it() {
    // It connects, and then says nothing.
    let (_listener, address) = listener().await;
    let upstream = upstream(address, mutual(), Duration::from_secs(60));
    let began = Instant::now();

    let asking = (0..10).map(|_| {
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let leased = upstream.lease(Version::Http2, &Tried::default()).await;
            leased.map(drop).map_err(|refusal| refusal.reason)
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), Err("handshake_timeout"));
    }

    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(2),
        "{took:?} for one timeout of 0.5 s"
    );
}

#[test]
fn a_connection_is_left_before_a_leaf_on_it_ends() {
    let now = SystemTime::now();
    let check = |left_ms, ending| {
        let ends = Some(now + Duration::from_millis(left_ms));
        assert_eq!(is_ending(ends, now), ending, "{left_ms} ms before the end");
    };
    check(0, true);
    check(2_000, true);
    check(2_001, false);
    assert!(!is_ending(None, now), "an app has no leaf");
}

#[tokio::test]
async fn an_http2_connection_without_streams_is_closed_after_its_time() {
    let (listener, address) = listener().await;
    let upstream = upstream(address, How::App, Duration::from_millis(200));

    let lease = upstream
        .lease(Version::Http2, &Tried::default())
        .await
        .unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut seen).await
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!reading.is_finished(), "it is in use");
    drop(lease);

    let ended = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(ended.is_ok(), "it is kept for ever");
}
