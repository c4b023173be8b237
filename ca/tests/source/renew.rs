//! For ever after.

use crate::fixture::{Ca, HOUR, ORDERS, Place, Workload, eventually, id, is_kept, newest};
use config::sidecar::State;
use identity::pki_types::UnixTime;
use identity::source::ca::Clock;
use std::collections::BTreeSet;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn short_leaves_follow_each_other_and_so_do_their_streams() {
    let place = Place::new();
    let ca = Ca::start_at(&place, "127.0.0.1:0", SHORT).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.lasting(ca.address);

    let mut serials = BTreeSet::new();
    for seen in 0..3 {
        let generation = workload.newer_than(seen).await;
        assert_eq!(generation.svid().leaf().id, id(ORDERS));
        assert_eq!(generation.check(UnixTime::now()), Ok(()));
        assert!(serials.insert(generation.svid().leaf().serial.clone()));
        eventually(|| ca.server.watching().len() == 1).await;
    }

    assert!(workload.standing.load().why.is_none());
    // One for the statements, one to join, and for each certificate one to watch, on which the next one is asked for.
    eventually(|| ca.connected() == 5).await;
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_ca_that_comes_back_is_found_again() {
    let place = Place::new();
    let ca = Ca::start_at(&place, "127.0.0.1:0", SHORT).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;
    let address = ca.address.to_string();
    ca.stop().await;
    let away = workload.says("ca_unreachable").await;
    assert_eq!(workload.standing.load().reachable, Some(false));
    assert_eq!(workload.current.load().unwrap().number(), 1);

    let ca = Ca::start_at(&place, &address, HOUR).await;
    let generation = workload.newer_than(1).await;

    assert!(away.contains("countersign ca serve"), "{away}");
    assert_eq!(generation.check(UnixTime::now()), Ok(()));
    eventually(|| workload.standing.load().why.is_none()).await;
    assert_eq!(workload.standing.load().reachable, Some(true));
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn only_what_is_in_force_is_acknowledged() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    let generation = workload.newer_than(0).await;
    let says = || {
        ca.server
            .watching()
            .first()
            .map(|one| one.statement_sequence)
    };
    eventually(|| says() == Some(0)).await;

    // What was received is not what is enforced, nor is what this source never gave.
    workload.standing.enforces(77, None);
    workload
        .standing
        .enforces(generation.number(), Some([7; 32]));

    eventually(|| says().is_some_and(|sequence| sequence > 0)).await;
    workload.kill().await;
    eventually(|| ca.server.watching().is_empty()).await;
    ca.stop().await;
}

#[tokio::test]
async fn after_a_suspend_what_is_due_is_renewed_within_seconds() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;

    // Boot time went on for longer than half of an hour; timers did not, and the wall was set right again.
    workload.clock.sleep(Duration::from_secs(40 * 60));
    workload.clock.set_wall(0);
    let generation = workload.newer_than(1).await;

    assert_eq!((generation.number(), ca.issued()), (2, 2));
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let clock = Clock::system();
    clock.set_wall(10 * 60 * 1000);

    let workload = Workload::start_with(&place.meets(ca.address), &State::Memory, &[], clock);
    workload.newer_than(0).await;
    let skew = workload.standing.load().skew.unwrap();

    assert!(skew.is_harmful());
    assert!((skew.ahead_ms() - 600_000).abs() < 5_000, "{skew:?}");
    workload.kill().await;

    // Further ahead than the CA's own certificate lives: nothing can be asked, and the reason is one of time.
    let clock = Clock::system();
    clock.set_wall(3 * 60 * 60 * 1000);
    let workload = Workload::start_with(&place.meets(ca.address), &State::Memory, &[], clock);
    let text = workload.says("expired").await;
    assert!(text.contains("clocks"), "{text}");
    workload.kill().await;
    ca.stop().await;
}

#[tokio::test]
async fn what_the_disk_does_not_take_is_used_told_and_kept_later() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    let state = place.path("state");
    let workload = place.lasting(ca.address);
    // A file in the way, which is no folder to clear away.
    std::fs::write(state.join("g-1"), "").unwrap();
    place.write_token(&ca.token(ORDERS).await);
    workload.newer_than(0).await;
    let text = workload.says("state_disk").await;
    assert!(
        text.starts_with("what is new is used but not kept: "),
        "{text}"
    );
    std::fs::remove_file(state.join("g-1")).unwrap();
    eventually(|| workload.standing.load().why.is_none()).await;
    is_kept(&state, newest(&ca).await).await;
    workload.kill().await;

    ca.stop().await;
}
