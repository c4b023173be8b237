//! Who wants a certificate that is not due to it: each is refused with its own reason.

use crate::fixture::*;
use api::ca_v1::RenewRequest;
use countersign_ca::{AuthorityCertificate, Revoked};
use identity::{Key, Svid};
use mint::{Draft, San};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use tonic::Code;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn key() -> Key {
    Key::generate().unwrap()
}

/// What a stranger's renewal is refused with.
async fn refused(ca: &Ca, request: RenewRequest) -> String {
    let status = ca.client(None).await.renew(request).await.unwrap_err();
    reason(&status).to_owned()
}

/// A CA, and a certificate of it that ended a minute ago.
async fn ended(folder: &std::path::Path) -> (Ca, Svid) {
    let ca = Ca::start(folder).await;
    let svid = ca.member("/orders").await;
    ca.put_ahead(HOUR + 60);
    (ca, svid)
}

#[tokio::test]
async fn an_ended_certificate_is_renewed_by_proof_of_its_key_once_and_for_its_own_identity() {
    let folder = made();
    let (ca, old) = ended(folder.path()).await;
    let (next, other) = (key(), key());
    let mut client = ca.client(None).await;
    let request = proved(&old, &next, ca.now());

    let renewed = client.renew(request.clone()).await.unwrap().into_inner();
    let repeated = client.renew(request).await.unwrap().into_inner();
    let second = client.renew(proved(&old, &other, ca.now())).await;

    let renewed = svid(renewed, next);
    assert_eq!(renewed.leaf().id, id("/orders"));
    assert!(renewed.leaf().not_after > ca.now());
    assert_eq!(repeated.log_index, 1);
    let second = second.unwrap_err();
    assert_eq!(second.code(), Code::PermissionDenied);
    assert_eq!(reason(&second), "second_successor");
    let page = ca.metrics.encode();
    let counted = "countersign_ca_issued_total{attestor=\"key_proof\",result=\"ok\"} 2\n";
    assert!(page.contains(counted), "{page}");
    drop(client);
    ca.stop().await;
}

#[tokio::test]
async fn a_proof_is_good_for_its_request_and_its_time_and_nothing_else() {
    let folder = made();
    let (ca, old) = ended(folder.path()).await;
    let (mine, thiefs) = (key(), key());
    let overheard = proved(&old, &mine, ca.now());
    let thief = ca.member("/ledger").await;

    let with_another_key = RenewRequest {
        csr: csr(&thiefs),
        ..overheard.clone()
    };
    let mut by_another_key = overheard.clone();
    let message = {
        let proof = overheard.proof.as_ref().unwrap();
        api::proof::message(&proof.leaf, &overheard.csr, proof.made_at_unix_ms)
    };
    by_another_key.proof.as_mut().unwrap().signature = thief.key().sign_message(&message).unwrap();
    let mut redated = overheard.clone();
    redated.proof.as_mut().unwrap().made_at_unix_ms += 1;

    assert_eq!(refused(&ca, with_another_key).await, "proof_signature");
    assert_eq!(refused(&ca, by_another_key).await, "proof_signature");
    assert_eq!(refused(&ca, redated).await, "proof_signature");
    for (made_at, wanted) in [
        (ca.now() - Duration::from_secs(302), Err("proof_untimely")),
        (ca.now() + Duration::from_secs(302), Err("proof_untimely")),
        (ca.now() - Duration::from_secs(298), Ok(())),
    ] {
        let mut client = ca.client(None).await;
        let answer = client.renew(proved(&old, &mine, made_at)).await;
        let seen = answer.as_ref().map(|_| ()).map_err(reason);
        assert_eq!(seen, wanted);
        if let Err(status) = answer {
            let told = api::refusal::server_time_unix_ms(&status).unwrap();
            let now = ca.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let off = i64::try_from(now.as_millis()).unwrap() - told;
            assert!((0..5000).contains(&off), "{off}");
        }
    }
    ca.put_ahead(301); // repeated whole when its time is over
    assert_eq!(refused(&ca, overheard).await, "proof_untimely");
    ca.stop().await;
}

#[tokio::test]
async fn what_is_not_the_recorded_certificate_proves_nothing() {
    let folder = made();
    let (ca, old) = ended(folder.path()).await;
    let elsewhere = made();
    let (other_ca, foreign) = ended(elsewhere.path()).await;
    let offline = countersign_ca::Dir::open(&folder.path().join("ca")).unwrap();
    let unrecorded = offline.authority().unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(20);
    let unrecorded = unrecorded.issue(&id("/orders"), Duration::from_secs(10), long_ago);
    let unrecorded = unrecorded.unwrap();
    let own_key = Key::from_pem(unrecorded.key_pem.as_bytes()).unwrap();
    let unrecorded = Svid::from_pem(unrecorded.chain_pem.as_bytes(), own_key).unwrap();
    let renamed = forged(&old, |leaf| {
        leaf.san = Some(vec![San::uri(id("/ledger").as_str())]);
    });
    let longer = forged(&old, |leaf| leaf.not_after += 1);
    let theirs = forged(&foreign, |leaf| leaf.serial = serial(&old));

    for (shown, wanted) in [
        (&foreign, "proof_leaf_unknown"),
        (&unrecorded, "proof_leaf_unknown"),
        (&renamed, "proof_leaf_unlike"),
        (&longer, "proof_leaf_unlike"),
        (&theirs, "proof_leaf_unlike"),
    ] {
        let request = proved(shown, &key(), ca.now());
        assert_eq!(refused(&ca, request).await, wanted);
    }
    for leaf in [Vec::new(), vec![0x30; 500], {
        let mut trailing = old.chain()[0].to_vec();
        trailing.push(0);
        trailing
    }] {
        let mut request = proved(&old, &key(), ca.now());
        request.proof.as_mut().unwrap().leaf = leaf;
        assert_eq!(refused(&ca, request).await, "proof_leaf_malformed");
    }
    other_ca.stop().await;
    ca.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_by_proof_only_between_its_end_and_the_end_of_the_grace() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;

    let early = refused(&ca, proved(&svid, &key(), ca.now())).await;
    ca.put_ahead(HOUR + DAY + 2);
    let late = refused(&ca, proved(&svid, &key(), ca.now())).await;
    ca.stop().await;
    let without = Ca::start_with(folder.path(), |grants| grants.grace = Duration::ZERO).await;
    without.put_ahead(HOUR + 60);
    let off = refused(&without, proved(&svid, &key(), without.now())).await;

    assert_eq!(early, "proof_leaf_not_ended");
    assert_eq!(late, "grace_over");
    assert_eq!(off, "grace_off");
    without.stop().await;
}

#[tokio::test]
async fn the_last_second_of_the_grace_is_one_of_grace() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let over = svid.leaf().not_after + Duration::from_secs(DAY);
    let left = over.duration_since(ca.now()).unwrap().as_secs();

    ca.put_ahead(left);
    let renewed = ca.client(None).await;
    let renewed = { renewed }.renew(proved(&svid, &key(), ca.now())).await;

    assert!(renewed.is_ok(), "{renewed:?}");
    ca.stop().await;
}

#[tokio::test]
async fn a_proof_beside_a_certificate_must_be_about_the_same_one() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (orders, ledger) = (ca.member("/orders").await, ca.member("/ledger").await);
    let about_orders = proved(&orders, &key(), ca.now());
    let mut as_ledger = ca.client(Some(ledger)).await;
    let mut as_orders = ca.client(Some(orders)).await;

    let other = as_ledger.renew(about_orders.clone()).await.unwrap_err();
    let same = as_orders.renew(about_orders).await;

    assert_eq!(reason(&other), "proof_other_leaf");
    assert!(same.is_ok(), "{same:?}");
    drop((as_ledger, as_orders));
    ca.stop().await;
}

#[tokio::test]
async fn a_kept_connection_is_refused_once_its_certificate_has_ended() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (mut stream, _saying) = watch(&mut client.clone(), 1).await;
    assert!(stream.message().await.unwrap().is_some());

    ca.put_ahead(HOUR + 1);
    let refused = client.renew(renew_request(&key())).await.unwrap_err();
    let cut = timeout(PATIENCE, stream.message()).await.unwrap();

    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(reason(&refused), "expired");
    assert_eq!(reason(&cut.unwrap_err()), "expired");
    ca.stop().await;
}

#[tokio::test]
async fn what_is_revoked_is_not_renewed_on_a_kept_connection_nor_in_grace_nor_joined() {
    for number in 0..3 {
        let folder = made();
        let ca = Ca::start(folder.path()).await;
        let (token, own) = (ca.token("/orders", 9).await, key());
        let joined = ca.join(&token, &own).await.unwrap();
        let pem = own.to_pem();
        let svid = svid(joined, own);
        let marks = [serial_of(&svid), key_of(&svid), Revoked::Id(id("/orders"))];
        let (same_key, other_key) = [(true, true), (false, true), (false, false)][number];
        let twin = Svid::new(
            svid.chain().to_vec(),
            Key::from_pem(pem.as_bytes()).unwrap(),
        );
        let mut client = ca.client(twin.ok()).await;

        ca.server.revoke(marks[number].clone()).await.unwrap();
        let kept = client.renew(renew_request(&key())).await.unwrap_err();
        let again = ca.join(&token, svid.key()).await;
        let anew = ca.join(&token, &key()).await;
        ca.put_ahead(HOUR + 60);
        let in_grace = refused(&ca, proved(&svid, &key(), ca.now())).await;

        let what = &marks[number];
        assert_eq!(kept.code(), Code::PermissionDenied);
        assert_eq!((reason(&kept), &*in_grace), ("revoked", "revoked"));
        for (answer, is_taken) in [(again, same_key), (anew, other_key)] {
            let seen = answer
                .map(|_| ())
                .map_err(|status| reason(&status).to_owned());
            let wanted = if is_taken {
                Ok(())
            } else {
                Err("revoked".into())
            };
            assert_eq!(seen, wanted, "{what:?}");
        }
        drop(client);
        ca.stop().await;
    }
}

#[tokio::test]
async fn who_fails_to_prove_a_key_too_often_is_not_heard_for_a_while_and_joins_are() {
    let folder = made();
    let (ca, old) = ended(folder.path()).await;
    let token = ca.token("/ledger", 1).await;
    let mut bad = proved(&old, &key(), ca.now());
    bad.proof.as_mut().unwrap().signature = vec![0; 70];
    for _ in 0..20 {
        assert_eq!(refused(&ca, bad.clone()).await, "proof_signature");
    }

    let mut client = ca.client(None).await;
    let good = client.renew(proved(&old, &key(), ca.now())).await;
    let joined = ca.join(&token, &key()).await;

    let turned_away = good.unwrap_err();
    assert_eq!(reason(&turned_away), "source_limit");
    assert!(api::refusal::wait(&turned_away).is_some());
    assert!(joined.is_ok(), "{joined:?}");
    drop(client);
    ca.stop().await;
}

#[tokio::test]
async fn bad_joins_from_an_address_do_not_keep_out_who_proves_a_key_there() {
    let folder = made();
    let (ca, old) = ended(folder.path()).await;
    let unknown = countersign_ca::Token::generate().unwrap();
    let unknown = join_request(&unknown.to_text(), &key());
    let mut client = ca.client(None).await;
    let mut last = String::new();
    for _ in 0..21 {
        let refused = client.join(unknown.clone()).await.unwrap_err();
        last = reason(&refused).to_owned();
    }

    let renewed = client.renew(proved(&old, &key(), ca.now())).await;

    assert_eq!(last, "source_limit");
    assert!(renewed.is_ok(), "{renewed:?}");
    drop(client);
    ca.stop().await;
}

#[tokio::test]
async fn who_repeats_a_renewal_without_end_is_slowed_down_and_others_are_not() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let mut other = ca.client(Some(ca.member("/ledger").await)).await;
    let request = renew_request(&key());

    let mut slowed = None;
    for _ in 0..1000 {
        if let Err(status) = client.renew(request.clone()).await {
            slowed = Some(status);
            break;
        }
    }
    let elsewhere = other.renew(renew_request(&key())).await;

    let slowed = slowed.expect("a thousand renewals of one certificate at once");
    assert_eq!(slowed.code(), Code::ResourceExhausted);
    assert_eq!(reason(&slowed), "certificate_limit");
    assert!(api::refusal::wait(&slowed) <= Some(Duration::from_secs(1)));
    assert!(elsewhere.is_ok(), "{elsewhere:?}");
    drop((client, other));
    ca.stop().await;
}

/// A leaf that says the same as another but for what is changed, signed by nobody whom anybody knows.
fn forged(of: &Svid, change: impl FnOnce(&mut Draft)) -> Svid {
    let own_key = Key::from_pem(of.key().to_pem().as_bytes()).unwrap();
    let issuer = AuthorityCertificate::read(of.chain()[1].clone()).unwrap();
    let seconds = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap()
    };
    let mut draft = Draft {
        serial: serial(of),
        not_before: seconds(of.leaf().not_before),
        not_after: seconds(of.leaf().not_after),
        spki: of.key().spki(),
        authority_key_id: Some(issuer.key().id().to_vec()),
        ..Draft::leaf(of.leaf().id.as_str(), &mint::Key::p256())
    };
    change(&mut draft);
    let leaf = draft.sign(&mint::Key::p256());
    Svid::new(vec![leaf.into()], own_key).unwrap()
}
