//! From a token to an identity.

use crate::fixture::{Ca, ORDERS, Place, Wire, Workload, domain, eventually, id, sha256};
use config::sidecar::{FirstContact, State};
use countersign_ca::Token;
use identity::pki_types::UnixTime;
use std::time::SystemTime;

#[tokio::test]
async fn a_workload_joins_once_and_peers_believe_it() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);

    let workload = place.workload(ca.address);
    let generation = workload.newer_than(0).await;

    assert_eq!(generation.svid().leaf().id, id(ORDERS));
    assert_eq!(generation.check(UnixTime::now()), Ok(()));
    let bundle = generation.bundles().get(domain().as_str()).unwrap();
    assert_eq!(bundle.roots(), ca.bundle.roots());
    eventually(|| ca.server.watching().len() == 1).await;
    let state = workload.standing.load();
    assert_eq!((&state.why, state.reachable), (&None, Some(true)));
    assert!(!state.skew.unwrap().is_harmful());
    assert_eq!(ca.issued(), 1);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_lost_reply_costs_nothing() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let wire = Wire::losing_the_first_reply(&ca).await;

    let workload = place.workload(wire.address);
    let generation = workload.newer_than(0).await;

    assert!(wire.was_cut());
    assert_eq!(generation.svid().leaf().id, id(ORDERS));
    assert_eq!(ca.issued(), 2);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_lost_reply_costs_nothing_when_the_workload_is_killed_before_it_asks_again() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let wire = Wire::losing_the_first_reply(&ca).await;
    let workload = place.lasting(wire.address);
    eventually(|| wire.was_cut()).await;
    workload.kill().await;

    // One token, one use: only the key that spent it is admitted again.
    let workload = place.lasting(ca.address);
    let generation = workload.newer_than(0).await;

    assert_eq!(generation.svid().leaf().id, id(ORDERS));
    assert_eq!(ca.issued(), 2);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_refused_token_says_why_and_a_better_one_is_read_without_a_restart() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let workload = place.workload(ca.address);
    let missing = workload.says("token_unreadable").await;

    place.write_token(&Token::generate().unwrap().to_text());
    let unknown = workload.says("token_unknown").await;
    place.write_token(&ca.token(ORDERS).await);
    let generation = workload.newer_than(0).await;

    assert!(missing.contains("countersign ca token create"), "{missing}");
    assert!(unknown.starts_with("the CA says: "), "{unknown}");
    assert_eq!(generation.number(), 1);
    eventually(|| workload.standing.load().why.is_none()).await;
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_token_that_another_key_has_spent_admits_nobody() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let first = place.workload(ca.address);
    first.newer_than(0).await;

    let thief = place.workload(ca.address);
    let text = thief.says("token_spent").await;

    assert!(thief.current.load().is_none());
    assert!(!text.contains('\n'), "{text}");
    first.kill().await;
    thief.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_fingerprint_is_enough_to_begin_with_and_a_wrong_one_leads_nowhere() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let mut meets = place.meets(ca.address);

    let mut wrong = sha256(&ca.bundle.roots()[0]);
    wrong[0] ^= 1;
    meets.first_contact = FirstContact::Fingerprint(wrong);
    let astray = Workload::start(&meets, &State::Memory);
    astray.says("statement_without_trusted_roots").await;
    assert!(astray.current.load().is_none());
    astray.kill().await;
    assert_eq!(ca.issued(), 0);

    meets.first_contact = FirstContact::Fingerprint(sha256(&ca.bundle.roots()[0]));
    let workload = Workload::start(&meets, &State::Memory);
    let generation = workload.newer_than(0).await;
    assert_eq!(generation.svid().leaf().id, id(ORDERS));
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_restart_serves_at_once_while_the_ca_is_away_and_needs_no_token() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.lasting(ca.address);
    let before = workload.newer_than(0).await;
    eventually(|| place.path("state/current").exists()).await;
    workload.kill().await;
    let address = ca.address;
    ca.stop().await;
    std::fs::remove_file(place.path("token")).unwrap();

    let workload = place.lasting(address);

    // Without waiting for anything.
    let after = workload.current.load().unwrap();
    assert_eq!(after.svid().chain(), before.svid().chain());
    assert_eq!(after.check(UnixTime::now()), Ok(()));
    assert!(workload.standing.load().why.is_none());
    assert!(after.svid().leaf().not_after > SystemTime::now());
    eventually(|| workload.standing.load().reachable == Some(false)).await;
    workload.kill().await;
}
