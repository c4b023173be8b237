//! Who is not the CA, or is and lies: each is refused with its own reason, and changes nothing.

use crate::fixture::{Ca, DAY, ORDERS, Place, another, id, stated, stolen};
use crate::impostor::{Impostor, Lies};
use api::ca_v1::WatchReply;
use countersign_ca::Authority;
use identity::source::ca::statement_to_wire;
use identity::{Key, Svid};
use std::time::{Duration, SystemTime};

fn ca_svid(authority: &Authority) -> Svid {
    authority.own_svid(DAY, SystemTime::now()).unwrap()
}

#[tokio::test]
async fn a_workload_with_a_good_certificate_is_not_the_ca() {
    let place = Place::new();
    let authority = stolen(&place);
    let issued = authority
        .issue(
            &id("/payments"),
            Duration::from_secs(3600),
            SystemTime::now(),
        )
        .unwrap();
    let key = Key::from_pem(issued.key_pem.as_bytes()).unwrap();
    let svid = Svid::from_pem(issued.chain_pem.as_bytes(), key).unwrap();
    let lies = Lies {
        chain: vec![stated(7, &[&authority], &[&authority])],
        ..Lies::default()
    };
    let impostor = Impostor::start("127.0.0.1:0", svid, authority.bundle(), lies).await;
    place.write_token("never-to-be-shown");

    let workload = place.workload(impostor.address);
    let text = workload.says("wrong_identity").await;

    assert!(text.contains("/payments"), "{text}");
    assert!(impostor.was_asked("statements") && !impostor.was_asked("join"));
    workload.kill().await;
}

#[tokio::test]
async fn a_ca_of_the_same_name_with_other_roots_is_refused_at_first_contact_and_later() {
    let place = Place::new();
    let (ca, stranger) = (Ca::start(&place).await, another());
    place.write_token(&ca.token(ORDERS).await);
    let own = Lies {
        chain: vec![stated(9, &[&stranger], &[&stranger])],
        ..Lies::default()
    };
    let first = Impostor::start(
        "127.0.0.1:0",
        ca_svid(&stranger),
        stranger.bundle(),
        own.clone(),
    )
    .await;
    let workload = place.workload(first.address);
    workload.says("statement_without_trusted_roots").await;
    workload.kill().await;

    let workload = place.workload(ca.address);
    workload.newer_than(0).await;
    let address = ca.address.to_string();
    ca.stop().await;
    let later = Impostor::start(&address, ca_svid(&stranger), stranger.bundle(), own).await;
    workload.says("unknown_issuer").await;

    assert!(!first.was_asked("join"));
    assert!(later.was_asked("statements") && !later.was_asked("watch"));
    assert_eq!(workload.current.load().unwrap().number(), 1);
    workload.kill().await;
}

#[tokio::test]
async fn who_holds_an_issuers_key_changes_nobodys_roots() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    let before = workload.newer_than(0).await;
    let address = ca.address.to_string();
    let sequence = u64::MAX / 2;
    ca.stop().await;

    // It can be the CA; its bundle names a root of its own beside the true one, and that alone signed.
    let (authority, evil) = (stolen(&place), another());
    let false_bundle = stated(sequence, &[&authority, &evil], &[&evil]);
    let lies = Lies {
        watch: Some(WatchReply {
            statement: Some(statement_to_wire(&false_bundle)),
            ..WatchReply::default()
        }),
        chain: vec![false_bundle],
    };
    let thief = Impostor::start(&address, ca_svid(&authority), authority.bundle(), lies).await;
    workload.says("statement_not_by_held_root").await;

    assert!(thief.was_asked("watch"));
    let after = workload.current.load().unwrap();
    assert_eq!(after.number(), before.number());
    workload.kill().await;
}

#[tokio::test]
async fn an_old_statement_that_is_replayed_changes_nothing_and_is_told() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;
    let address = ca.address.to_string();
    ca.stop().await;

    let authority = stolen(&place);
    let old = stated(1, &[&authority], &[&authority]);
    let lies = Lies {
        watch: Some(WatchReply {
            statement: Some(statement_to_wire(&old)),
            ..WatchReply::default()
        }),
        chain: vec![old],
    };
    let replaying = Impostor::start(&address, ca_svid(&authority), authority.bundle(), lies).await;
    workload.says("statement_backward").await;

    assert!(replaying.was_asked("watch"));
    assert_eq!(workload.current.load().unwrap().number(), 1);
    workload.kill().await;
}

#[tokio::test]
async fn what_cannot_be_enforced_is_answered_as_unsupported() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;
    let address = ca.address.to_string();
    ca.stop().await;

    let authority = stolen(&place);
    let lies = Lies {
        watch: Some(WatchReply {
            revocation_epoch: 3,
            ..WatchReply::default()
        }),
        ..Lies::default()
    };
    let asking = Impostor::start(&address, ca_svid(&authority), authority.bundle(), lies).await;
    crate::fixture::eventually(|| asking.heard.lock().unwrap().len() >= 2).await;

    let heard = asking.heard.lock().unwrap().clone();
    let enforced = heard[1].enforced.clone().unwrap();
    assert_eq!(enforced.revocation_epoch, 0);
    let [unsupported] = &enforced.unsupported[..] else {
        panic!("{enforced:?}");
    };
    assert_eq!(
        (unsupported.what.as_str(), unsupported.wanted),
        ("revocation_epoch", 3)
    );
    workload.kill().await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_ever_comes_is_left_and_opened_again() {
    let place = Place::new();
    let ca = Ca::start(&place).await;
    place.write_token(&ca.token(ORDERS).await);
    let workload = place.workload(ca.address);
    workload.newer_than(0).await;
    let address = ca.address.to_string();
    ca.stop().await;

    let authority = stolen(&place);
    let silent = Lies::default();
    let stuck = Impostor::start(&address, ca_svid(&authority), authority.bundle(), silent).await;
    let opened = || {
        let calls = stuck.calls.lock().unwrap();
        calls.iter().filter(|call| **call == "watch").count()
    };
    crate::fixture::eventually(|| opened() >= 2).await;
    workload.kill().await;
}
