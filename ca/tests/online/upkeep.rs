//! How a CA renews itself.

use crate::fixture::*;
use api::ca_v1::StatementsRequest;
use countersign_ca::store::{Ledger, Store};
use countersign_ca::{Algorithm, Authority, AuthorityServer, Dir, Renewal, ServerError, Upkeep};
use identity::{Bundles, FirstContact, Key, Role, Verifier};
use rustls::pki_types::UnixTime;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;

#[tokio::test]
async fn the_next_issuer_takes_over_by_itself_at_half_life_and_not_before() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (now, first) = (SystemTime::now(), ca.server.tls());
    assert_eq!(ca.server.renew_itself(now).unwrap(), Upkeep::default());
    assert!(Arc::ptr_eq(&first, &ca.server.tls()));

    let done = ca.server.renew_itself(now + 4 * DAY).unwrap();

    let (own, issuer) = (true, Renewal::Renewed);
    assert_eq!(done, Upkeep { own, issuer });
    assert!(!Arc::ptr_eq(&first, &ca.server.tls()));
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_whose_root_is_away_renews_its_own_certificate_and_nothing_every_time() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let later = SystemTime::now() + 4 * DAY;
    std::fs::remove_file(folder.path().join("ca/root/key.pem")).unwrap();

    let done = ca.server.renew_itself(later).unwrap();
    let tls = ca.server.tls();
    let again = ca.server.renew_itself(later).unwrap();

    let issuer = Renewal::RootAway;
    assert_eq!(done, Upkeep { own: true, issuer });
    assert_eq!(again, Upkeep { own: false, issuer });
    assert!(Arc::ptr_eq(&tls, &ca.server.tls()));
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_whose_folder_is_gone_goes_on_with_the_issuer_that_it_has() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (later, ends) = (
        SystemTime::now() + 4 * Duration::from_secs(86_400),
        ca.server.ends(),
    );
    std::fs::rename(folder.path().join("ca"), folder.path().join("away")).unwrap();

    let failed = ca.server.renew_itself(later).unwrap_err().to_string();

    assert!(failed.contains("ca/root/cert.pem is not read"), "{failed}");
    let now = ca.server.ends();
    assert_eq!(now.issuer, ends.issuer);
    assert!(now.own > later, "it can still shake hands");
    ca.stop().await;
}

#[tokio::test]
async fn the_keys_of_both_roots_can_be_away_before_the_first_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let now = SystemTime::now();
    let authority = Authority::create(&domain(), Algorithm::P256, now).unwrap();
    let authority = authority.with_new_standby(Algorithm::P384, now).unwrap();
    let dir = Dir::create(&folder.path().join("ca"), &authority).unwrap();
    std::fs::remove_dir_all(dir.standby_path()).unwrap();
    std::fs::remove_file(dir.path().join("root/key.pem")).unwrap();

    let ca = Ca::start(folder.path()).await;
    let all = StatementsRequest { after_sequence: 0 };
    let chain = ca.client(None).await.statements(all).await.unwrap();
    let member = ca.member("/orders").await;

    let chain: Vec<_> = chain.into_inner().statements.iter().map(signed).collect();
    for one in authority.bundle().fingerprints() {
        let contact = FirstContact::Fingerprint(domain(), one);
        let newest = contact.walk(&chain).unwrap();
        assert_eq!(newest.statement().bundle().roots().len(), 2);
    }
    assert_eq!(member.leaf().id, id("/orders"));
    ca.stop().await;
}

#[tokio::test]
async fn a_first_statement_of_another_authority_is_not_published() {
    let (folder, other) = (made(), made());
    let theirs = other.path().join("ca/statement");
    std::fs::copy(theirs, folder.path().join("ca/statement")).unwrap();
    let dir = Dir::open(&folder.path().join("ca")).unwrap();
    let store = Store::open(dir.path(), &domain()).unwrap();

    let server = AuthorityServer::open(dir, store, Ca::GRANTS, CaMetrics::new(), SystemTime::now());

    let refused = server.await.unwrap_err();
    assert!(matches!(refused, ServerError::NotStated(_)), "{refused}");
}

#[tokio::test]
async fn what_the_old_issuer_signed_still_holds_when_the_next_one_took_over() {
    // Half of an issuer's life is over in two minutes.
    const HALF: Duration = Duration::from_secs(7 * 86_400 / 2);
    let folder = made_at(SystemTime::now() - HALF + Duration::from_secs(120));
    let ca = Ca::start(folder.path()).await;
    let old = ca.member("/orders").await;
    let mut client = ca.client(Some(old)).await;
    let before = ca.server.ledger().statements(0, 9).await.unwrap();
    let old = ca.member("/ledger").await;

    ca.put_ahead(200);
    let done = ca.server.renew_itself(ca.now()).unwrap();
    let next = Key::generate().unwrap();
    let renewed = client.renew(renew_request(&next)).await.unwrap();
    let new = svid(renewed.into_inner(), next);

    assert_eq!(done.issuer, Renewal::Renewed);
    assert_ne!(old.chain()[1], new.chain()[1]);
    let peers = Verifier::new(Bundles::of(ca.bundle.clone()));
    let since = ca.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    for svid in [&old, &new] {
        let now = UnixTime::since_unix_epoch(since);
        let peer = peers.verify(svid.chain(), Role::Client, now).unwrap();
        assert_eq!(peer.id, svid.leaf().id);
    }
    let after = ca.server.ledger().statements(0, 9).await.unwrap();
    assert_eq!(before, after);
    drop(client);
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_with_the_record_of_another_does_not_start() {
    let (ours, others) = (made(), made());
    Ca::start(others.path()).await.stop().await;
    let store = |of: &tempfile::TempDir| of.path().join("ca/store");
    std::fs::rename(store(&others), store(&ours)).unwrap();

    let dir = Dir::open(&ours.path().join("ca")).unwrap();
    let ledger = Store::open(dir.path(), &domain()).unwrap();
    let opened =
        AuthorityServer::open(dir, ledger, Ca::GRANTS, CaMetrics::new(), SystemTime::now());

    let refused = opened.await.unwrap_err();
    assert!(matches!(refused, ServerError::OtherRoots), "{refused}");
}
