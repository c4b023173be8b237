//! After the end of a certificate: hours pass for the CA and for the workload, and nobody waits for them.

use crate::fixture::{Ca, HOUR, ORDERS, Place, Workload, eventually, id};
use countersign_ca::{Revoked, Serial};
use identity::Generation;
use identity::source::ca::Clock;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// A place where a workload has joined and was killed, and its token is gone.
async fn joined_and_gone(ca: &Ca, place: &Place) -> Arc<Generation> {
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.lasting(ca.address);
    let before = workload.newer_than(0).await;
    eventually(|| place.path("state/current").exists()).await;
    workload.kill().await;
    fs::remove_file(place.path("token")).unwrap();
    before
}

/// The workload again, so much later.
fn later(ca: &Ca, place: &Place, time: Duration) -> Workload {
    let clock = Clock::system();
    clock.sleep(time);
    Workload::start_with(&place.meets(ca.address), &place.state(), &[], clock)
}

fn serial(generation: &Generation) -> Serial {
    let hex = &generation.svid().leaf().serial;
    let octets: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    Serial::from_octets(&octets).unwrap()
}

#[tokio::test]
async fn an_ended_certificate_is_not_served_and_renews_by_proof_of_its_key() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let before = joined_and_gone(&ca, &place).await;
    ca.passes(2 * HOUR);

    let workload = later(&ca, &place, 2 * HOUR);
    assert!(workload.current.load().is_none());
    assert_eq!(
        workload.standing.load().why.as_ref().unwrap().reason,
        "expired"
    );
    let after = workload.newer_than(0).await;

    assert_eq!(after.svid().leaf().id, id(ORDERS));
    assert_ne!(after.svid().leaf().serial, before.svid().leaf().serial);
    eventually(|| workload.standing.load().why.is_none()).await;
    assert_eq!(ca.issued(), 2);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_right_lets_a_kept_certificate_serve_without_the_ca() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let before = joined_and_gone(&ca, &place).await;
    let address = ca.address;
    ca.stop().await;
    let clock = Clock::system();
    clock.set_wall(-48 * 60 * 60 * 1000);

    let workload = Workload::start_with(&place.meets(address), &place.state(), &[], clock.clone());
    assert!(workload.current.load().is_none());
    workload.says("not_yet_valid").await;
    clock.set_wall(0);
    let after = workload.newer_than(0).await;

    assert_eq!(after.svid().chain(), before.svid().chain());
    assert_eq!(after.number(), 1);
    workload.kill().await;
}

#[tokio::test]
async fn a_workload_that_ran_past_its_certificates_end_comes_back_alone() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;

    // SIGSTOP, or a suspend: everything goes on but this process.
    ca.passes(2 * HOUR);
    workload.clock.sleep(2 * HOUR);

    let after = workload.newer_than(1).await;
    assert_eq!(
        (after.svid().leaf().id.clone(), ca.issued()),
        (id(ORDERS), 2)
    );
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_does_not_keep_a_workload_out() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    joined_and_gone(&ca, &place).await;
    ca.passes(2 * HOUR);

    // The proof is made 8 min from the CA's time at first, and then at the time that the CA named.
    let workload = later(&ca, &place, 2 * HOUR + Duration::from_secs(8 * 60));
    let after = workload.newer_than(0).await;

    assert_eq!(after.svid().leaf().id, id(ORDERS));
    assert_eq!((ca.answered("proof_untimely"), ca.issued()), (1, 2));
    assert!(workload.standing.load().skew.unwrap().is_harmful());
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn who_sees_an_end_that_the_ca_does_not_shows_the_certificate_itself() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;

    workload.clock.sleep(2 * HOUR);
    workload.clock.set_wall(0);
    workload.newer_than(1).await;

    assert_eq!(ca.answered("proof_leaf_not_ended"), 1);
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn outside_grace_a_token_begins_anew_and_until_then_it_is_told_that_one_is_wanted() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let before = joined_and_gone(&ca, &place).await;
    ca.passes(30 * HOUR);

    let workload = later(&ca, &place, 30 * HOUR);
    let text = workload.says("grace_over").await;
    assert!(text.contains("join with a token"), "{text}");
    assert!(
        text.contains("joining anew fails too: the join token"),
        "{text}"
    );
    place.write_token(&ca.token_at(ORDERS, 30 * HOUR).await);
    let after = workload.newer_than(0).await;

    assert_eq!(after.svid().leaf().id, id(ORDERS));
    assert_ne!(after.svid().key().spki(), before.svid().key().spki());
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn who_was_revoked_does_not_join_anew_by_itself() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let before = joined_and_gone(&ca, &place).await;
    ca.server
        .revoke(Revoked::Serial(serial(&before)))
        .await
        .unwrap();
    // A good token lies there: it would admit a new key.
    place.write_token(&ca.token(ORDERS).await);
    ca.passes(2 * HOUR);

    let workload = later(&ca, &place, 2 * HOUR);
    let text = workload.says("revoked").await;
    eventually(|| ca.answered("revoked") >= 2).await;

    assert!(text.contains("is revoked"), "{text}");
    assert!(workload.current.load().is_none());
    assert_eq!(ca.issued(), 1);
    workload.kill().await;
    ca.stop().await;
}
