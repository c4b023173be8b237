//! How a CA renews itself.

use crate::fixture::*;
use countersign_ca::{Renewal, Upkeep};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
