//! Streams: what is pushed on them, what is kept of them, and how they end.

use crate::fixture::*;
use api::ca_v1::{WatchReply, WatchRequest};
use countersign_ca::Revoked;
use identity::{Key, SignedStatement, Statement};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

/// The next message, within our patience.
async fn next(stream: &mut Streaming<WatchReply>) -> WatchReply {
    let message = timeout(PATIENCE, stream.message()).await;
    message.unwrap().unwrap().unwrap()
}

/// Why the stream ended.
async fn end(stream: &mut Streaming<WatchReply>) -> String {
    let ended = timeout(PATIENCE, stream.message()).await.unwrap();
    reason(&ended.unwrap_err()).to_owned()
}

#[tokio::test]
async fn who_watches_hears_the_state_at_once_and_what_it_enforces_is_known_while_it_is_there() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let mut stranger = ca.client(None).await;

    let (mut stream, saying) = watch(&mut client, 7).await;
    let state = stream.message().await.unwrap().unwrap();
    let refused = stranger.watch(Said(mpsc::channel(1).1)).await.unwrap_err();

    assert!(state.statement.is_some() && state.server_time_unix_ms > 0);
    assert_eq!(reason(&refused), "no_certificate");
    let seen = |wanted: usize, sequence: Option<u64>| {
        let watching = ca.server.watching();
        watching.len() == wanted && watching.first().map(|one| one.statement_sequence) == sequence
    };
    eventually(|| seen(1, Some(7))).await;
    assert_eq!(ca.server.watching()[0].id, id("/orders"));
    drop((stream, saying));
    eventually(|| seen(0, None)).await;
    ca.stop().await;
}

#[tokio::test]
async fn what_a_client_says_is_kept_while_it_is_there() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let mut client = ca.client(Some(svid)).await;
    let (mut stream, saying) = watch(&mut client, 7).await;
    next(&mut stream).await;

    let said = WatchRequest {
        leaf_serial: vec![0x40; 20],
        capabilities: vec!["statements".into()],
        policy_hash: vec![3; 32],
        ..WatchRequest::default()
    };
    saying.send(said).await.unwrap();

    let policy = || ca.server.watching().first().and_then(|one| one.policy_hash);
    eventually(|| policy() == Some([3; 32])).await;
    let watching = ca.server.watching();
    assert_eq!(watching[0].statement_sequence, 7); // what is not said again is not forgotten
    assert_eq!(watching[0].leaf_serial, [0x40; 20]);
    assert_eq!(watching[0].capabilities, ["statements"]);
    drop((stream, saying));
    ca.stop().await;
}

#[tokio::test]
async fn a_statement_a_mark_and_a_wish_for_renewal_are_pushed_when_they_happen() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let serial = svid.leaf().serial.clone();
    let mut client = ca.client(Some(svid)).await;
    let (mut stream, _saying) = watch(&mut client, 1).await;
    let first = next(&mut stream).await;
    assert_eq!((first.revocation_epoch, &first.renewal), (0, &None));

    let held = signed(&first.statement.unwrap());
    let newer = next_statement(folder.path(), &held);
    ca.server.append_statement(&newer).await.unwrap();
    let stated = next(&mut stream).await;
    let other = Revoked::Id(id("/ledger"));
    assert_eq!(ca.server.revoke(other).await, Ok(1));
    let marked = next(&mut stream).await;
    ca.put_ahead(1); // what was issued in this very second is not meant by the wish
    ca.server.ask_renewals();
    let wished = next(&mut stream).await;

    assert_eq!(signed(&stated.statement.unwrap()), newer);
    assert_eq!((marked.revocation_epoch, &marked.renewal), (1, &None));
    let window = wished.renewal.unwrap();
    assert_eq!(hex(&window.leaf_serial), serial);
    let (after, before) = (window.after_ms, window.before_ms);
    assert!(after == 0 && (1000..=2000).contains(&before), "{before}");
    drop(stream);
    ca.stop().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same roots, stated anew by their root.
fn next_statement(folder: &std::path::Path, held: &SignedStatement) -> SignedStatement {
    let root = std::fs::read(folder.join("ca/root/key.pem")).unwrap();
    let root = Key::from_pem(&root).unwrap();
    let before = held.statement();
    let sequence = before.sequence() + 1;
    let next = Statement::new(before.bundle(), sequence, sequence).unwrap();
    SignedStatement::sign(next, &[&root]).unwrap()
}

#[tokio::test]
async fn a_statement_that_holders_of_the_present_one_would_refuse_is_not_taken() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (mut stream, _saying) = watch(&mut client, 1).await;
    let held = signed(&next(&mut stream).await.statement.unwrap());
    let good = next_statement(folder.path(), &held);
    let forged = Statement::new(&ca.bundle, held.statement().sequence() + 1, 1).unwrap();
    let forged = SignedStatement::sign(forged, &[&Key::generate().unwrap()]).unwrap();

    let refused = ca.server.append_statement(&forged).await.unwrap_err();
    let same = ca.server.append_statement(&held).await;

    assert!(refused.to_string().contains("signed"), "{refused}");
    assert!(same.is_ok());
    ca.server.append_statement(&good).await.unwrap();
    let told = signed(&next(&mut stream).await.statement.unwrap());
    assert_eq!(told, good); // nothing was told of the other two
    drop(stream);
    ca.stop().await;
}

#[tokio::test]
async fn when_the_issuer_is_replaced_its_leaves_get_a_window_until_they_serve_with_another() {
    // Half of an issuer's life is over in two minutes.
    const HALF: Duration = Duration::from_secs(7 * 86_400 / 2);
    let now = SystemTime::now();
    let folder = made_at(now - HALF + Duration::from_secs(120));
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let mut client = ca.client(Some(svid)).await;
    let (mut stream, saying) = watch(&mut client, 1).await;
    assert_eq!(next(&mut stream).await.renewal, None);
    let before = SignedStatement::to_bytes(&signed(&next_of(&ca).await));

    ca.put_ahead(200);
    ca.server.renew_itself(ca.now()).unwrap();
    let told = next(&mut stream).await;
    let window = told.renewal.expect("its issuer was replaced");
    let key = Key::generate().unwrap();
    let renewed = client.renew(renew_request(&key)).await.unwrap();
    let renewed = self::svid(renewed.into_inner(), key);
    let now_serves = WatchRequest {
        leaf_serial: serial(&renewed),
        ..WatchRequest::default()
    };
    saying.send(now_serves).await.unwrap();
    let after = next(&mut stream).await;

    assert!(window.before_ms > 0);
    assert_eq!(after.renewal, None);
    assert_eq!(
        SignedStatement::to_bytes(&signed(&next_of(&ca).await)),
        before
    );
    drop((stream, saying));
    ca.stop().await;
}

/// The newest statement, as a stranger gets it.
async fn next_of(ca: &Ca) -> api::ca_v1::Statement {
    let kept = countersign_ca::store::Ledger::statements(ca.server.ledger(), 0, 9).await;
    let kept = kept.unwrap().pop().unwrap();
    api::ca_v1::Statement {
        body: kept.body,
        signatures: kept
            .signatures
            .into_iter()
            .map(|kept| api::ca_v1::Signature {
                root_key_id: kept.root_key_id,
                signature: kept.signature,
            })
            .collect(),
    }
}

#[tokio::test]
async fn a_stream_of_a_revoked_certificate_ends_at_once_with_its_reason() {
    for what in 0..3 {
        let folder = made();
        let ca = Ca::start(folder.path()).await;
        let svid = ca.member("/orders").await;
        let what = [serial_of(&svid), key_of(&svid), Revoked::Id(id("/orders"))][what].clone();
        let mut client = ca.client(Some(svid)).await;
        let mut other = ca.client(Some(ca.member("/ledger").await)).await;
        let (mut stream, _saying) = watch(&mut client, 1).await;
        let (mut untouched, _saying_too) = watch(&mut other, 1).await;
        next(&mut stream).await;
        next(&mut untouched).await;

        ca.server.revoke(what.clone()).await.unwrap();

        assert_eq!(end(&mut stream).await, "revoked", "{what:?}");
        assert_eq!(next(&mut untouched).await.revocation_epoch, 1);
        let again = client.watch(Said(mpsc::channel(1).1)).await.unwrap_err();
        assert_eq!(reason(&again), "revoked");
        drop(untouched);
        ca.stop().await;
    }
}

#[tokio::test]
async fn a_stream_ends_when_what_its_client_came_to_serve_with_is_revoked() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (mut stream, saying) = watch(&mut client, 1).await;
    next(&mut stream).await;
    let key = Key::generate().unwrap();
    let renewed = client.renew(renew_request(&key)).await.unwrap();
    let renewed = svid(renewed.into_inner(), key);
    let now_serves = WatchRequest {
        leaf_serial: serial(&renewed),
        ..WatchRequest::default()
    };
    saying.send(now_serves).await.unwrap();
    next(&mut stream).await;

    ca.server.revoke(serial_of(&renewed)).await.unwrap();

    assert_eq!(end(&mut stream).await, "revoked");
    ca.stop().await;
}

#[tokio::test]
async fn what_a_client_says_of_a_certificate_that_is_not_its_own_changes_nothing() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (orders, ledger) = (ca.member("/orders").await, ca.member("/ledger").await);
    let mut client = ca.client(Some(orders)).await;
    let (mut stream, saying) = watch(&mut client, 1).await;
    next(&mut stream).await;
    for leaf_serial in [serial(&ledger), vec![0x41; 20], vec![1], Vec::new()] {
        let said = WatchRequest {
            leaf_serial,
            policy_hash: vec![7; 32],
            ..WatchRequest::default()
        };
        saying.send(said).await.unwrap();
    }
    let policy = || ca.server.watching().first().and_then(|one| one.policy_hash);
    eventually(|| policy() == Some([7; 32])).await;

    ca.server.revoke(serial_of(&ledger)).await.unwrap();

    assert_eq!(next(&mut stream).await.revocation_epoch, 1);
    drop((stream, saying));
    ca.stop().await;
}

#[tokio::test]
async fn a_mark_whose_asker_goes_away_holds_all_the_same() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let what = serial_of(&svid);
    let mut client = ca.client(Some(svid)).await;
    let (mut stream, _saying) = watch(&mut client, 1).await;
    next(&mut stream).await;

    let mut revoking = Box::pin(ca.server.revoke(what));
    let begun = poll_fn(|cx| Poll::Ready(revoking.as_mut().poll(cx))).await;
    drop(revoking);

    assert!(begun.is_pending(), "it went away before the disk had it");
    assert_eq!(end(&mut stream).await, "revoked");
    ca.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_hears_the_newest_state_and_the_reason_of_the_end() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (mut stream, _saying) = watch(&mut client, 1).await;
    next(&mut stream).await;

    for number in 0..100 {
        let other = Revoked::Id(id(&format!("/other-{number}")));
        ca.server.revoke(other).await.unwrap();
    }
    ca.server.revoke(Revoked::Id(id("/orders"))).await.unwrap();
    let mut seen = Vec::new();
    let why = loop {
        match timeout(PATIENCE, stream.message()).await.unwrap() {
            Ok(Some(reply)) => seen.push(reply.revocation_epoch),
            Ok(None) => panic!("ended without a reason"),
            Err(why) => break why,
        }
    };

    assert_eq!(reason(&why), "revoked");
    assert!(seen.is_sorted(), "{seen:?}");
    ca.stop().await;
}

#[tokio::test]
async fn a_restarted_ca_remembers_what_is_revoked() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let svid = ca.member("/orders").await;
    let epoch = ca.server.revoke(serial_of(&svid)).await.unwrap();
    ca.stop().await;

    let ca = Ca::start(folder.path()).await;
    let mut other = ca.client(Some(ca.member("/ledger").await)).await;
    let (mut stream, _saying) = watch(&mut other, 1).await;
    let told = next(&mut stream).await;
    let mut client = ca.client(Some(svid)).await;
    let refused = client.renew(renew_request(&Key::generate().unwrap())).await;

    assert_eq!(told.revocation_epoch, epoch);
    assert_eq!(reason(&refused.unwrap_err()), "revoked");
    drop((stream, client));
    ca.stop().await;
}
