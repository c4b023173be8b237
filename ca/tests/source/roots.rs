//! Roots that change, while a workload watches and while it sleeps.

use crate::fixture::{
    Ca, HOUR, ORDERS, Place, Workload, another, domain, eventually, is_kept, newest, stated,
    stolen, stored,
};
use config::TrustDomain;
use config::sidecar::{Federated, State};
use countersign_ca::store::{Ledger, Store};
use countersign_ca::{Algorithm, Authority, Dir};
use identity::source::ca::Clock;
use identity::{Bundle, Generation, SignedStatement};
use std::fs;
use std::time::SystemTime;

/// How many own roots a generation believes.
fn roots(generation: &Generation) -> usize {
    let own = generation.bundles().get(domain().as_str()).unwrap();
    own.roots().len()
}

/// Before the CA starts: what it has stated already.
async fn states(place: &Place, chain: &[SignedStatement]) {
    let store = Store::open(&place.ca(), &domain()).unwrap();
    for statement in chain {
        store.append_statement(stored(statement)).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_root_is_believed_at_once_and_acknowledged_when_it_is_in_force() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.lasting(ca.address);
    let first = workload.newer_than(0).await;
    workload.standing.enforces(first.number(), None);
    let says = || {
        ca.server
            .watching()
            .first()
            .map(|one| one.statement_sequence)
    };
    let held = newest(&ca).await;
    eventually(|| says() == Some(held)).await;

    let (old, new) = (stolen(&place), another());
    let next = stated(held + 1, &[&old, &new], &[&old, &new]);
    ca.server.append_statement(&next).await.unwrap();
    let second = workload.newer_than(first.number()).await;

    assert_eq!((roots(&first), roots(&second)), (1, 2));
    assert_eq!(second.svid().chain(), first.svid().chain());
    assert_eq!(says(), Some(held));
    workload.standing.enforces(second.number(), None);
    eventually(|| says() == Some(held + 1)).await;
    is_kept(&place.path("state"), held + 1).await;
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_workload_two_statements_behind_recovers_alone() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.lasting(ca.address);
    let before = workload.newer_than(0).await;
    eventually(|| place.path("state/current").exists()).await;
    workload.kill().await;
    fs::remove_file(place.path("token")).unwrap();
    let held = newest(&ca).await;
    ca.stop().await;

    // It sleeps while the root is replaced twice; the CA keeps its record, and signs by the last root.
    let (first, second, third) = (stolen(&place), another(), another());
    let was = place.path("was");
    fs::rename(place.ca(), &was).unwrap();
    Dir::create(&place.ca(), &third).unwrap();
    fs::rename(was.join("store"), place.ca().join("store")).unwrap();
    let chain = [
        stated(held + 1, &[&first, &second], &[&first, &second]),
        stated(held + 2, &[&second, &third], &[&second, &third]),
    ];
    states(&place, &chain).await;
    let ca = Ca::start(&place).await;
    ca.passes(2 * HOUR);
    let clock = Clock::system();
    clock.sleep(2 * HOUR);
    let workload = Workload::start_with(&place.meets(ca.address), &place.state(), &[], clock);
    let after = workload.newer_than(0).await;

    let own = after.bundles().get(domain().as_str()).unwrap();
    assert_eq!(
        own.fingerprints(),
        chain[1].statement().bundle().fingerprints()
    );
    assert_eq!(after.svid().leaf().id, before.svid().leaf().id);
    eventually(|| workload.standing.load().why.is_none()).await;
    is_kept(&place.path("state"), held + 2).await;
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn first_contact_walks_on_from_an_old_root_over_more_than_a_page() {
    let place = Place::new();
    let (old, new) = (another(), stolen(&place));
    place.trust(old.bundle());
    let mut chain = vec![
        stated(1, &[&old], &[&old]),
        stated(2, &[&old, &new], &[&old, &new]),
    ];
    chain.extend((3..140).map(|sequence| stated(sequence, &[&new], &[&new])));
    states(&place, &chain).await;
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);

    let workload = place.workload(ca.address);
    let generation = workload.newer_than(0).await;

    let own = generation.bundles().get(domain().as_str()).unwrap();
    assert_eq!(own.fingerprints(), new.bundle().fingerprints());
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_wish_of_the_ca_to_renew_is_granted() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    let first = workload.newer_than(0).await;
    workload.standing.enforces(first.number(), None);
    eventually(|| {
        ca.server
            .watching()
            .first()
            .is_some_and(|one| one.statement_sequence > 0)
    })
    .await;

    ca.server.ask_renewals();
    let second = workload.newer_than(first.number()).await;

    assert_ne!(second.svid().leaf().serial, first.svid().leaf().serial);
    assert_eq!(ca.issued(), 2);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn bundles_of_other_trust_domains_are_taken_when_their_files_change() {
    let partner = TrustDomain::parse("partner.example").unwrap();
    let root = || Authority::create(&partner, Algorithm::P256, SystemTime::now()).unwrap();
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let path = place.path("partner.pem");
    let (old, new) = (root(), root());
    fs::write(&path, old.bundle().to_pem()).unwrap();
    let federated = [Federated {
        trust_domain: partner.clone(),
        bundle: path.clone(),
    }];
    let meets = place.meets(ca.address);
    let workload = Workload::start_with(&meets, &State::Memory, &federated, Clock::system());
    let first = workload.newer_than(0).await;
    let of = |generation: &Generation| {
        let bundle = generation.bundles().get(partner.as_str());
        bundle.map(Bundle::fingerprints)
    };
    assert_eq!(of(&first), Some(old.bundle().fingerprints()));

    fs::write(&path, "half").unwrap();
    workload.says("pem_without_certificate").await;
    fs::write(&path, new.bundle().to_pem()).unwrap();
    let second = workload.newer_than(first.number()).await;

    assert_eq!(of(&second), Some(new.bundle().fingerprints()));
    assert_eq!(second.svid().chain(), first.svid().chain());
    workload.kill().await;
    ca.stop().await;
}
