//! Whole TLS handshakes in memory, both ends ours or one of them not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use countersign_identity::{
    Alpn, Current, Generation, LeafError, Refused, handshake_reason, refusal,
};
use mint::{Authority, Key, San};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ProtocolVersion, ServerConfig};
use std::io;
use std::sync::Arc;
use support::{ders, generation, id};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const STOREFRONT: &str = "spiffe://shop.example/storefront";
const ORDERS: &str = "spiffe://shop.example/orders";

type Client = client::TlsStream<DuplexStream>;
type Server = server::TlsStream<DuplexStream>;

/// Both ends of a handshake. A client of TLS 1.3 is done before it hears what the server thinks of it, so it reads once.
async fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (io::Result<Client>, io::Result<Server>) {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from("orders").unwrap();
    let calling = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        Ok(stream)
    };
    let serving = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::join!(calling, serving)
}

fn tls_error(error: &io::Error) -> &rustls::Error {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

struct World {
    issuer: Authority,
    client: Generation,
    server: Generation,
}

fn world() -> World {
    let root = Authority::root("shop.example");
    let issuer = root.issuer();
    World {
        client: generation(&issuer.leaf(STOREFRONT), &[&root]),
        server: generation(&issuer.leaf(ORDERS), &[&root]),
        issuer,
    }
}

#[tokio::test]
async fn both_ends_learn_who_the_other_is_and_speak_tls13_with_hybrid_keys() {
    let world = world();
    let client = world.client.client(&id(ORDERS), Alpn::Http2);
    let (client, server) = shake(client, world.server.server(Alpn::Http)).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let (caller, called) = (server.get_ref().1, client.get_ref().1);
    let caller_is = world
        .server
        .judge_client(caller.peer_certificates())
        .unwrap();
    let called_is = world
        .client
        .judge_server(called.peer_certificates(), &id(ORDERS))
        .unwrap();
    assert_eq!((caller_is.id, called_is.id), (id(STOREFRONT), id(ORDERS)));
    assert_eq!(caller.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(caller.alpn_protocol(), Some(b"h2".as_slice()));
    let group = caller.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    let suite = caller.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn protocols_follow_what_both_offer_and_none_is_no_failure() {
    let world = world();
    let check = async |client, server, expected: Option<&[u8]>| {
        let client = world.client.client(&id(ORDERS), client);
        let (client, server) = shake(client, world.server.server(server)).await;
        assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), expected);
        assert_eq!(server.unwrap().get_ref().1.alpn_protocol(), expected);
    };
    check(Alpn::Http1, Alpn::Http, Some(b"http/1.1")).await;
    check(Alpn::Http, Alpn::Http, Some(b"h2")).await;
    check(Alpn::None, Alpn::Http, None).await;
    check(Alpn::None, Alpn::None, None).await;
    check(Alpn::Http2, Alpn::None, None).await;

    let client = world.client.client(&id(ORDERS), Alpn::Http1);
    let (_, server) = shake(client, world.server.server(Alpn::Http2)).await;
    assert_eq!(handshake_reason(&server.unwrap_err()), "no_common_protocol");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_before_a_byte() {
    let world = world();
    let (client, server) = shake(
        stranger(&[&rustls::version::TLS13], None),
        world.server.server(Alpn::None),
    )
    .await;
    let error = server.unwrap_err();
    assert_eq!(refusal(tls_error(&error)), Some(Refused::NoCertificate));
    assert_eq!(handshake_reason(&error), "no_certificate");
    let told = client.unwrap_err();
    assert_eq!(
        tls_error(&told),
        &rustls::Error::AlertReceived(AlertDescription::CertificateRequired)
    );
    assert_eq!(handshake_reason(&told), "refused_by_peer");
}

#[tokio::test]
async fn a_client_s_certificate_is_refused_with_its_own_reason_and_the_alert_that_fits() {
    let world = world();
    let other = Authority::root("shop.example").issuer();
    let check = async |minted: mint::Svid, reason: &str, alert| {
        let client = stranger(&[&rustls::version::TLS13], Some(&minted));
        let (client, server) = shake(client, world.server.server(Alpn::None)).await;
        let error = server.unwrap_err();
        assert_eq!(handshake_reason(&error), reason);
        assert_eq!(refusal(tls_error(&error)).unwrap().reason(), reason);
        assert_eq!(
            tls_error(&client.unwrap_err()),
            &rustls::Error::AlertReceived(alert),
            "{reason}"
        );
    };
    let late = |draft: &mut mint::Draft| draft.not_after = mint::now_s() - 1;
    let early = |draft: &mut mint::Draft| draft.not_before = mint::now_s() + 100;
    let leaf = |change: fn(&mut mint::Draft)| world.issuer.leaf_with(STOREFRONT, change);
    let unknown = AlertDescription::CertificateUnknown;
    check(leaf(late), "expired", AlertDescription::CertificateExpired).await;
    check(
        leaf(early),
        "not_yet_valid",
        AlertDescription::CertificateExpired,
    )
    .await;
    check(
        other.leaf(STOREFRONT),
        "unknown_issuer",
        AlertDescription::UnknownCA,
    )
    .await;
    check(mint::Svid::self_signed(STOREFRONT), "self_signed", unknown).await;
    check(
        leaf(|draft| draft.basic = None),
        "no_basic_constraints",
        unknown,
    )
    .await;
    check(leaf(|draft| draft.san = None), "no_uri_san", unknown).await;
    check(
        leaf(|draft| draft.spoil_signature = true),
        "bad_signature",
        unknown,
    )
    .await;
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let world = world();
    let stolen = mint::Svid {
        key: Key::p256(),
        ..world.issuer.leaf(STOREFRONT)
    };
    let (_, server) = shake(thief(&stolen), world.server.server(Alpn::None)).await;
    assert_eq!(handshake_reason(&server.unwrap_err()), "bad_signature");
}

#[tokio::test]
async fn a_server_is_refused_for_the_same_reasons_and_for_being_somebody_else() {
    let world = world();
    let check = async |minted: mint::Svid, expected: Refused| {
        let client = world.client.client(&id(ORDERS), Alpn::None);
        let (client, _) = shake(client, strange_server(&minted)).await;
        let error = client.unwrap_err();
        assert_eq!(refusal(tls_error(&error)), Some(expected.clone()));
        assert_eq!(handshake_reason(&error), expected.reason());
    };
    let ledger = id("spiffe://shop.example/ledger");
    let expected = Refused::WrongIdentity {
        expected: id(ORDERS),
        found: ledger.clone(),
    };
    check(world.issuer.leaf(ledger.as_str()), expected).await;
    check(
        Authority::root("shop.example").issuer().leaf(ORDERS),
        Refused::UnknownIssuer,
    )
    .await;
    check(
        mint::Svid::self_signed(ORDERS),
        Refused::SelfSigned { id: id(ORDERS) },
    )
    .await;
    let two = world.issuer.leaf_with(ORDERS, |draft| {
        draft
            .san
            .get_or_insert_default()
            .push(San::uri(ledger.as_str()));
    });
    check(two, Refused::Leaf(LeafError::TwoUriSans { uris: 2 })).await;
}

#[tokio::test]
async fn one_name_with_two_expected_identities_is_two_configurations() {
    let world = world();
    let ledger = id("spiffe://shop.example/ledger");
    let right = world.client.client(&id(ORDERS), Alpn::None);
    let wrong = world.client.client(&ledger, Alpn::None);
    assert!(Arc::ptr_eq(
        &right,
        &world.client.client(&id(ORDERS), Alpn::None)
    ));
    for _ in 0..3 {
        let (client, server) = shake(Arc::clone(&right), world.server.server(Alpn::None)).await;
        assert_eq!(
            server.unwrap().get_ref().1.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
        assert!(client.is_ok());
        let (client, _) = shake(Arc::clone(&wrong), world.server.server(Alpn::None)).await;
        let expected = Refused::WrongIdentity {
            expected: ledger.clone(),
            found: id(ORDERS),
        };
        assert_eq!(refusal(tls_error(&client.unwrap_err())), Some(expected));
    }
}

#[tokio::test]
async fn what_is_not_tls13_has_its_own_reason() {
    let world = world();
    let check = async |bytes: &[u8], reason| {
        let (mut near, far) = duplex(64 * 1024);
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        let server = TlsAcceptor::from(world.server.server(Alpn::Http))
            .accept(far)
            .await;
        assert_eq!(handshake_reason(&server.unwrap_err()), reason);
    };
    check(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n", "not_tls").await;
    check(b"", "closed_in_handshake").await;
    check(&hex(TLS12_HELLO)[..20], "closed_in_handshake").await;
    check(&hex(TLS12_HELLO), "tls_version").await;
    check(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], "tls_malformed").await;
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls13_has_its_own_reason() {
    let world = world();
    let check = async |bytes: &[u8], reason| {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let client = TlsConnector::from(world.client.client(&id(ORDERS), Alpn::Http1));
        let name = ServerName::try_from("orders").unwrap();
        let error = client.connect(name, near).await.unwrap_err();
        assert_eq!(handshake_reason(&error), reason);
    };
    check(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not_tls").await;
    // protocol_version: what a server of TLS 1.2 answers.
    check(&[0x15, 3, 3, 0, 2, 2, 70], "tls_version").await;
    check(&[0x15, 3, 3, 0, 2, 2, 48], "refused_by_peer").await;
    check(b"", "closed_in_handshake").await;
}

/// A ClientHello of TLS 1.2: ECDHE-ECDSA-AES128-GCM-SHA256, X25519 and P-256, ecdsa_secp256r1_sha256, extended master
/// secret. By hand, because no TLS 1.2 is compiled in.
const TLS12_HELLO: &str = "1603030050 0100004c 0303 0000000000000000000000000000000000000000000000000000000000000000 00 \
    0002 c02b 0100 0021 000a0006 0004 001d0017 000b0002 0100 000d0004 0002 0403 00170000 ff01000100";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

#[tokio::test]
async fn a_new_generation_is_seen_by_who_waits_and_by_who_asks() {
    let world = world();
    let current = Current::new(world.client);
    let waiting = tokio::spawn({
        let current = current.clone();
        async move { current.newer_than(1).await.number() }
    });
    let next = |number| {
        let minted = world.issuer.leaf(STOREFRONT);
        Generation::new(
            number,
            support::svid(&minted),
            current.load().unwrap().bundles().clone(),
        )
        .unwrap()
    };
    current.publish(next(2));
    assert_eq!(waiting.await.unwrap(), 2);
    assert_eq!(current.newer_than(0).await.number(), 2);
    current.publish(next(2));
    current.publish(next(1));
    assert_eq!(current.load().unwrap().number(), 2, "never backward");
}

#[test]
fn a_generation_shows_what_it_is_made_of_and_nothing_secret() {
    let world = world();
    let described = world.server.describe();
    assert_eq!(described.id, id(ORDERS));
    assert_eq!(described.chain[0].uris, [ORDERS]);
    assert_eq!(
        described.chain[0].usages,
        ["digitalSignature", "serverAuth", "clientAuth"]
    );
    assert_eq!(described.chain[0].key_algorithm, "P-256");
    assert_eq!((described.chain.len(), described.bundles.len()), (2, 1));
    assert!(described.chain[1].ca && !described.chain[0].ca);
    let expiry = world.server.expiry();
    assert!(expiry.leaf < expiry.issuer.unwrap());
    assert!(expiry.root.is_some());
    let shown = format!("{:?} {:?}", world.server, world.server.svid());
    assert!(
        shown.contains("Key(P-256)") && !shown.contains("pkcs8"),
        "{shown}"
    );
}

/// A client that trusts anybody, with or without a certificate: what a stranger brings.
fn stranger(
    versions: &[&'static rustls::SupportedProtocolVersion],
    minted: Option<&mint::Svid>,
) -> Arc<ClientConfig> {
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting));
    Arc::new(match minted {
        None => client.with_no_client_auth(),
        Some(minted) => client
            .with_client_auth_cert(ders(&minted.chain), private(minted))
            .unwrap(),
    })
}

/// A client whose key is not its certificate's, which rustls would not build by itself.
fn thief(minted: &mint::Svid) -> Arc<ClientConfig> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private(minted)).unwrap();
    let pair = rustls::sign::CertifiedKey::new(ders(&minted.chain), key);
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    Arc::new(client)
}

fn strange_server(minted: &mint::Svid) -> Arc<ServerConfig> {
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(ders(&minted.chain), private(minted))
        .unwrap();
    Arc::new(server)
}

fn private(minted: &mint::Svid) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(minted.key.pkcs8().into())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Believes every server.
#[derive(Debug)]
struct Trusting;

mod trusting {
    use super::Trusting;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for Trusting {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        }
    }
}

#[tokio::test]
async fn a_holder_may_be_empty_until_somebody_waits_for_its_first_generation() {
    let current = Current::empty();
    assert!(current.load().is_none());
    let waiting = tokio::spawn({
        let current = current.clone();
        async move { current.newer_than(0).await.number() }
    });
    current.publish(world().client);
    assert_eq!(waiting.await.unwrap(), 1);
    assert_eq!(current.load().unwrap().number(), 1);
}
