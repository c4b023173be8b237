//! Joins, renewals, statements and streams, and what is refused of them.

use crate::fixture::*;
use api::ca_v1::{JoinRequest, StatementsRequest};
use countersign_ca::Token;
use identity::{FirstContact, Key, SignedStatement};
use std::time::{Duration, SystemTime};
use tonic::Code;

#[tokio::test]
async fn a_token_admits_one_key_as_often_as_that_key_asks_and_no_other() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    let (key, thief) = (Key::generate().unwrap(), Key::generate().unwrap());

    let first = ca.join(&token, &key).await.unwrap();
    let again = ca.join(&token, &key).await.unwrap();
    let stolen = ca.join(&token, &thief).await.unwrap_err();

    assert_eq!((first.log_index, again.log_index), (0, 1));
    let joined = svid(first, key);
    assert_eq!(joined.leaf().id, id("/orders"));
    assert_eq!(stolen.code(), Code::Unauthenticated);
    assert_eq!(reason(&stolen), "token_spent");
    let page = ca.metrics.encode();
    for counted in ["result=\"ok\"} 2", "result=\"token_spent\"} 1"] {
        assert!(page.contains(counted), "{counted} is not in\n{page}");
    }
    ca.stop().await;
}

#[tokio::test]
async fn every_refusal_of_a_join_says_why() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let key = Key::generate().unwrap();
    let good = join_request(&ca.token("/orders", 1).await, &key);
    let unknown = Token::generate().unwrap().to_text().to_string();
    let reserved = ca.token("/countersign/ca", 1).await;
    let mut client = ca.client(None).await;

    let mut without_proof = good.clone();
    *without_proof.csr.last_mut().unwrap() ^= 1;
    for (request, code, wanted) in [
        (
            JoinRequest {
                evidence: None,
                ..good.clone()
            },
            Code::Unauthenticated,
            "no_evidence",
        ),
        (
            join_request("x", &key),
            Code::Unauthenticated,
            "token_malformed",
        ),
        (
            join_request(&unknown, &key),
            Code::Unauthenticated,
            "token_unknown",
        ),
        (
            join_request(&reserved, &key),
            Code::PermissionDenied,
            "reserved_id",
        ),
        (
            JoinRequest {
                csr: Vec::new(),
                ..good.clone()
            },
            Code::InvalidArgument,
            "csr_empty",
        ),
        (without_proof, Code::InvalidArgument, "csr_proof"),
        (
            JoinRequest {
                instance: "x".repeat(200),
                ..good.clone()
            },
            Code::InvalidArgument,
            "out_of_bounds",
        ),
        (
            JoinRequest {
                instance: "\u{1b}[2J".into(),
                ..good.clone()
            },
            Code::InvalidArgument,
            "instance_malformed",
        ),
    ] {
        let refused = client.join(request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (code, wanted));
    }

    // None of them spent the token.
    assert!(client.join(good).await.is_ok());
    ca.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_by_its_holder_for_its_own_identity_and_once() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let (next, other) = (Key::generate().unwrap(), Key::generate().unwrap());

    let renewed = client
        .renew(renew_request(&next))
        .await
        .unwrap()
        .into_inner();
    let repeated = client.renew(renew_request(&next)).await;
    let second = client.renew(renew_request(&other)).await.unwrap_err();
    let stranger = ca.client(None).await.renew(renew_request(&other)).await;

    assert!(repeated.is_ok());
    let renewed = svid(renewed, next);
    assert_eq!(renewed.leaf().id, id("/orders"));
    assert_eq!(second.code(), Code::PermissionDenied);
    assert_eq!(reason(&second), "second_successor");
    assert_eq!(reason(&stranger.unwrap_err()), "no_certificate");
    ca.stop().await;
}

#[tokio::test]
async fn a_second_successor_is_told_to_the_log_once() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let held = ca.member("/orders").await;
    let serial = held.leaf().serial.clone();
    let mut client = ca.client(Some(held)).await;
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let next = Key::generate().unwrap();
    client.renew(renew_request(&next)).await.unwrap();
    assert_eq!(warnings.said(), Vec::<String>::new());

    for _ in 0..3 {
        let thief = Key::generate().unwrap();
        let refused = client.renew(renew_request(&thief)).await.unwrap_err();
        assert_eq!(reason(&refused), "second_successor");
    }

    let said = warnings.said();
    assert_eq!(said.len(), 1, "{said:?}");
    for wanted in ["second_successor", "spiffe://shop.example/orders", &serial] {
        assert!(said[0].contains(wanted), "{wanted} is not in {said:?}");
    }
    ca.stop().await;
}

#[tokio::test]
async fn a_renewal_that_is_asked_for_again_adds_nothing_to_the_record() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let next = Key::generate().unwrap();
    let mut unproved = renew_request(&next);
    *unproved.csr.last_mut().unwrap() ^= 1;

    let first = client.renew(renew_request(&next)).await.unwrap();
    let again = client.renew(renew_request(&next)).await.unwrap();
    let refused = client.renew(unproved).await.unwrap_err();
    ca.put_ahead(31);
    let later = client.renew(renew_request(&next)).await.unwrap();

    let (first, again, later) = (first.into_inner(), again.into_inner(), later.into_inner());
    assert_eq!((again.log_index, &again.chain), (1, &first.chain));
    assert_eq!(again.not_after_unix_s, first.not_after_unix_s);
    assert!(again.issued_at_unix_ms >= first.issued_at_unix_ms);
    assert_eq!(reason(&refused), "csr_proof");
    assert_eq!(later.log_index, 2);
    ca.stop().await;
}

#[tokio::test]
async fn a_repeated_renewal_ends_with_a_mark() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut client = ca.client(Some(ca.member("/orders").await)).await;
    let next = Key::generate().unwrap();
    let first = client.renew(renew_request(&next)).await.unwrap();
    let first = svid(first.into_inner(), next);

    ca.server.revoke(serial_of(&first)).await.unwrap();
    let other = client.renew(renew_request(first.key())).await.unwrap();
    ca.server.revoke(key_of(&first)).await.unwrap();
    let refused = client.renew(renew_request(first.key())).await.unwrap_err();

    assert_eq!(other.into_inner().log_index, 2);
    assert_eq!(reason(&refused), "revoked");
    ca.stop().await;
}

#[tokio::test]
async fn one_certificate_does_not_fill_the_record_by_itself_or_by_its_successors() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut other = ca.client(Some(ca.member("/ledger").await)).await;
    let mut held = ca.member("/orders").await;

    let mut renewals = 0;
    let refused = loop {
        let next = Key::generate().unwrap();
        let mut client = ca.client(Some(held)).await;
        match client.renew(renew_request(&next)).await {
            Ok(renewed) => held = svid(renewed.into_inner(), next),
            Err(refused) => break refused,
        }
        renewals += 1;
        assert!(renewals < 600, "each successor has a measure of its own");
    };

    assert!(renewals >= 60, "{renewals}");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "certificate_limit");
    assert!(api::refusal::wait(&refused).is_some());
    let others = other.renew(renew_request(&Key::generate().unwrap())).await;
    assert!(others.is_ok());
    ca.stop().await;
}

#[tokio::test]
async fn who_has_seen_a_token_and_its_key_uses_up_none_of_the_identitys_joins() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    let key = Key::generate().unwrap();
    ca.join(&token, &key).await.unwrap();
    let mut unproved = join_request(&token, &key);
    *unproved.csr.last_mut().unwrap() ^= 1;
    let mut thief = ca.client(None).await;

    for _ in 0..10 {
        let refused = thief.join(unproved.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), "csr_proof");
    }

    assert!(ca.join(&token, &key).await.is_ok());
    ca.stop().await;
}

#[tokio::test]
async fn a_stranger_gets_the_statements_and_a_restart_changes_none_of_them() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let token = ca.token("/orders", 1).await;
    let key = Key::generate().unwrap();
    ca.join(&token, &key).await.unwrap();
    let bundle = ca.bundle.clone();
    let mut chains = Vec::new();
    let mut client = ca.client(None).await;
    let all = StatementsRequest { after_sequence: 0 };
    chains.push(client.statements(all).await.unwrap().into_inner());
    drop(client);
    ca.stop().await;

    let ca = Ca::start(folder.path()).await;
    let again = ca.join(&token, &key).await.unwrap();
    let stolen = ca.join(&token, &Key::generate().unwrap()).await;
    let mut client = ca.client(None).await;
    chains.push(client.statements(all).await.unwrap().into_inner());

    assert_eq!(chains[0], chains[1]);
    assert_eq!(again.log_index, 1);
    assert_eq!(reason(&stolen.unwrap_err()), "token_spent");
    let chain: Vec<SignedStatement> = chains[0].statements.iter().map(signed).collect();
    let newest = FirstContact::Bundle(bundle.clone()).walk(&chain).unwrap();
    assert_eq!(newest.statement().bundle().roots(), bundle.roots());
    let after = StatementsRequest {
        after_sequence: chains[0].latest_sequence,
    };
    let none = client.statements(after).await.unwrap().into_inner();
    assert_eq!(none.statements, Vec::new());
    drop(client);
    ca.stop().await;
}

#[tokio::test]
async fn a_flood_of_bad_joins_is_turned_away_and_delays_no_renewal() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let mut member = ca.client(Some(ca.member("/orders").await)).await;
    let unknown = Token::generate().unwrap().to_text().to_string();
    let flood = ca.client(None).await;
    let request = join_request(&unknown, &Key::generate().unwrap());
    let mut refused = Vec::new();

    for _ in 0..200 {
        refused.push(flood.clone().join(request.clone()).await.unwrap_err());
    }
    let began = SystemTime::now();
    let renewed = member.renew(renew_request(&Key::generate().unwrap())).await;
    let took = began.elapsed().unwrap();

    assert!(renewed.is_ok());
    assert!(took < Duration::from_secs(1), "{took:?}");
    let turned_away = refused
        .iter()
        .filter(|status| reason(status) == "source_limit");
    assert!(turned_away.clone().count() > 100);
    for status in turned_away {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(api::refusal::wait(status).is_some());
    }
    ca.stop().await;
}

#[tokio::test]
async fn an_identity_that_joins_too_often_waits_and_others_do_not() {
    let folder = made();
    let ca = Ca::start(folder.path()).await;
    let (orders, ledger) = (ca.token("/orders", 9).await, ca.token("/ledger", 1).await);
    for _ in 0..5 {
        ca.join(&orders, &Key::generate().unwrap()).await.unwrap();
    }

    let refused = ca.join(&orders, &Key::generate().unwrap()).await;
    let other = ca.join(&ledger, &Key::generate().unwrap()).await;

    assert_eq!(reason(&refused.unwrap_err()), "identity_limit");
    assert!(other.is_ok());
    ca.stop().await;
}
