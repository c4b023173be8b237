//! What every engine must do. Another engine adds one line to [`engines`].

use crate::fixture::*;
use countersign_ca::store::{
    Contested, LIST_MAX, Ledger, Page, Refused, StatementRefused, StatementSignature,
    StoredStatement,
};
use countersign_ca::{
    Entry, Ground, LineageRefused, Mark, Revoked, TokenRefused, leaf_hash, running_hash,
};
use tempfile::TempDir;

/// One test per requirement and engine.
macro_rules! engines {
    ($($requirement:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $requirement() {
                let place = super::TempDir::new().unwrap();
                let store = super::open(place.path());
                super::run(super::$requirement(&store));
            })*
        }
    };
}
engines!(
    a_token_admits_as_many_keys_as_it_has_uses,
    a_key_may_repeat_its_token_until_it_ends,
    a_token_admits_nobody_else_and_not_for_ever,
    a_join_that_is_refused_spends_nothing,
    looking_up_a_token_spends_nothing,
    a_serial_is_used_once,
    a_certificate_has_one_successor_and_its_key_may_ask_again,
    a_second_successor_is_noted_once_however_often_it_is_tried,
    a_twin_is_no_second_way_to_a_successor,
    a_renewal_keeps_the_identity_and_takes_a_new_key,
    an_operators_word_is_a_ground_of_its_own,
    one_key_that_an_operator_vouches_for_twice_has_one_successor,
    marks_are_counted_without_gaps_and_the_same_one_is_set_once,
    what_is_marked_is_neither_joined_nor_renewed_and_nothing_else_is_touched,
    the_record_has_no_gaps_and_its_hash_can_be_computed_again,
    lists_are_paged_soonest_end_first_without_what_has_ended,
    a_list_of_one_identity_has_no_other,
    a_list_from_beyond_everything_is_empty,
    the_first_to_end_is_one_that_none_replaced,
    statements_are_kept_in_their_order_with_their_signatures,
    after_the_last_that_can_be_counted_nothing_is_found,
    many_at_once_are_all_served,
);

async fn a_token_admits_as_many_keys_as_it_has_uses(store: &impl Ledger) {
    let terms = terms(ORDERS, 600, 2);
    let created = store.create_token(token(1), terms.clone(), at(1000)).await;
    assert_eq!(created.unwrap().ends_s, 1600);

    for (seed, key) in [(1, 11), (2, 12)] {
        let recorded = store.join(join(1, leaf(seed, ORDERS, key, 1001))).await;
        assert_eq!(recorded.unwrap().index(), seed - 1);
    }
    let third = store.join(join(1, leaf(3, ORDERS, 13, 1001))).await;

    assert_eq!(third, Err(Refused::Token(TokenRefused::Spent { uses: 2 })));
    let same = store.create_token(token(1), terms, at(1000)).await;
    assert_eq!(same, Err(Refused::TokenTaken));
}

async fn a_key_may_repeat_its_token_until_it_ends(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
    kept.await.unwrap();

    let first = store
        .join(join(1, leaf(1, ORDERS, 11, 1000)))
        .await
        .unwrap();
    let again = store
        .join(join(1, leaf(2, ORDERS, 11, 1599)))
        .await
        .unwrap();
    let late = store.join(join(1, leaf(3, ORDERS, 11, 1600))).await;

    assert_eq!((first.again(), again.again()), (false, true));
    assert_eq!(again.serial(), serial(2));
    let ended = TokenRefused::Ended { ended_s: 1600 };
    assert_eq!(late, Err(Refused::Token(ended)));
}

async fn a_token_admits_nobody_else_and_not_for_ever(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
    kept.await.unwrap();

    let other = store.join(join(1, leaf(1, LEDGER, 11, 1000))).await;
    let unknown = store.join(join(2, leaf(1, ORDERS, 11, 1000))).await;

    let admits = id(ORDERS);
    assert_eq!(
        other,
        Err(Refused::Token(TokenRefused::Identity { admits }))
    );
    assert_eq!(unknown, Err(Refused::Token(TokenRefused::Unknown)));
    // Long after its end it is forgotten when the next is made, so that tokens do not fill the disk.
    let month_s = 30 * 86_400;
    let next = store.create_token(token(3), terms(ORDERS, 600, 1), at(1601 + month_s));
    next.await.unwrap();
    let late = store.look_up(token(1), key(11), at(1601 + month_s)).await;
    assert_eq!(late, Err(Refused::Token(TokenRefused::Unknown)));
}

async fn a_join_that_is_refused_spends_nothing(store: &impl Ledger) {
    for seed in [1, 2] {
        let kept = store.create_token(token(seed), terms(ORDERS, 600, 1), at(1000));
        kept.await.unwrap();
    }
    store
        .join(join(1, leaf(1, ORDERS, 11, 1000)))
        .await
        .unwrap();

    let taken = store.join(join(2, leaf(1, ORDERS, 12, 1000))).await;

    assert_eq!(taken, Err(Refused::SerialTaken { serial: serial(1) }));
    let other_key = store.join(join(2, leaf(2, ORDERS, 13, 1000))).await;
    assert!(!other_key.unwrap().again());
    assert_eq!(store.summary().await.unwrap().entries, 2);
}

async fn looking_up_a_token_spends_nothing(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
    kept.await.unwrap();
    for seed in 11..14 {
        let admits = store.look_up(token(1), key(seed), at(1000)).await.unwrap();
        assert_eq!((admits.id, admits.again), (id(ORDERS), false));
    }

    store
        .join(join(1, leaf(1, ORDERS, 11, 1000)))
        .await
        .unwrap();

    let mine = store.look_up(token(1), key(11), at(1000)).await.unwrap();
    assert_eq!((mine.ends_s, mine.again), (1600, true));
    let other = store.look_up(token(1), key(12), at(1000)).await;
    assert_eq!(other, Err(Refused::Token(TokenRefused::Spent { uses: 1 })));
    let late = store.look_up(token(1), key(11), at(1600)).await;
    let ended = TokenRefused::Ended { ended_s: 1600 };
    assert_eq!(late, Err(Refused::Token(ended)));
}

/// Certificate 1 of the identity with key 11.
async fn joined(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
    kept.await.unwrap();
    store
        .join(join(1, leaf(1, ORDERS, 11, 1000)))
        .await
        .unwrap();
}

async fn a_serial_is_used_once(store: &impl Ledger) {
    joined(store).await;

    let again = store.renew(renewal(1, leaf(1, ORDERS, 12, 1001))).await;

    assert_eq!(again, Err(Refused::SerialTaken { serial: serial(1) }));
    // The certificate can still be renewed, with any key: nothing was half done.
    let other = store.renew(renewal(1, leaf(2, ORDERS, 13, 1001))).await;
    assert!(!other.unwrap().again());
}

async fn a_certificate_has_one_successor_and_its_key_may_ask_again(store: &impl Ledger) {
    joined(store).await;

    let first = store.renew(renewal(1, leaf(2, ORDERS, 12, 1001))).await;
    let again = store.renew(renewal(1, leaf(3, ORDERS, 12, 1002))).await;
    let other = store.renew(renewal(1, leaf(4, ORDERS, 13, 1003))).await;

    assert!(!first.unwrap().again());
    assert!(again.unwrap().again());
    let refused = LineageRefused::SecondSuccessor {
        parent: serial(1),
        successor: serial(3),
    };
    assert_eq!(other, Err(Refused::Lineage(refused)));
    let shown = store.show(serial(3)).await.unwrap().unwrap();
    let parent = serial(1);
    assert_eq!(shown.entry.ground, Ground::Renewal { parent });
    assert_eq!(store.show(serial(4)).await, Ok(None));
}

async fn a_second_successor_is_noted_once_however_often_it_is_tried(store: &impl Ledger) {
    joined(store).await;
    store
        .renew(renewal(1, leaf(2, ORDERS, 12, 1001)))
        .await
        .unwrap();
    assert_eq!(store.contested(10).await, Ok(vec![]));

    for (seed, now_s) in [(13, 1002), (14, 1003), (15, 1004)] {
        let other = store
            .renew(renewal(1, leaf(seed, ORDERS, seed, now_s)))
            .await;
        assert_eq!(other.unwrap_err().reason(), "second_successor");
    }

    let noted = Contested {
        id: id(ORDERS),
        serial: serial(1),
        successor: serial(2),
        refused_key: key(15),
        first_s: 1002,
        last_s: 1004,
        attempts: 3,
    };
    assert_eq!(store.contested(10).await, Ok(vec![noted]));
}

async fn a_twin_is_no_second_way_to_a_successor(store: &impl Ledger) {
    joined(store).await;
    store
        .join(join(1, leaf(2, ORDERS, 11, 1001)))
        .await
        .unwrap();
    store
        .renew(renewal(2, leaf(3, ORDERS, 12, 1002)))
        .await
        .unwrap();
    store
        .renew(renewal(2, leaf(4, ORDERS, 12, 1002)))
        .await
        .unwrap();
    store
        .renew(renewal(4, leaf(5, ORDERS, 14, 1003)))
        .await
        .unwrap();

    // 1 and 2 have one key, and so have 3 and 4: what was done with one was done with the other.
    for (twin, fresh) in [(1, 6), (3, 7)] {
        let thief = store
            .renew(renewal(twin, leaf(fresh, ORDERS, 99, 1004)))
            .await;
        assert_eq!(thief.unwrap_err().reason(), "second_successor", "{twin}");
    }
    let own = store.renew(renewal(1, leaf(8, ORDERS, 12, 1004))).await;
    assert!(own.unwrap().again());
}

async fn a_renewal_keeps_the_identity_and_takes_a_new_key(store: &impl Ledger) {
    joined(store).await;

    let other = store.renew(renewal(1, leaf(2, LEDGER, 12, 1001))).await;
    let old_key = store.renew(renewal(1, leaf(2, ORDERS, 11, 1001))).await;
    let unknown = store.renew(renewal(9, leaf(2, ORDERS, 12, 1001))).await;

    let parent = id(ORDERS);
    assert_eq!(
        other,
        Err(Refused::Lineage(LineageRefused::Identity { parent }))
    );
    assert_eq!(old_key, Err(Refused::Lineage(LineageRefused::KeyNotNew)));
    let parent = serial(9);
    assert_eq!(
        unknown,
        Err(Refused::Lineage(LineageRefused::Unknown { parent }))
    );
    assert_eq!(store.summary().await.unwrap().entries, 1);
}

async fn an_operators_word_is_a_ground_of_its_own(store: &impl Ledger) {
    let recorded = store.issue(wanted(leaf(1, ORDERS, 11, 1000))).await;
    let taken = store.issue(wanted(leaf(1, LEDGER, 12, 1000))).await;

    let recorded = recorded.unwrap();
    assert_eq!((recorded.index(), recorded.again()), (0, false));
    assert_eq!(taken, Err(Refused::SerialTaken { serial: serial(1) }));
    let shown = store.show(serial(1)).await.unwrap().unwrap();
    assert_eq!(shown.entry.ground, Ground::Operator { uid: 1000 });
    assert_eq!(shown.entry.evidence, [9; 32]);
    assert_eq!((shown.id, shown.replaced), (id(ORDERS), false));
    let renewed = store.renew(renewal(1, leaf(2, ORDERS, 12, 1001))).await;
    assert!(!renewed.unwrap().again());
    assert_eq!(store.summary().await.unwrap().entries, 2);
}

async fn one_key_that_an_operator_vouches_for_twice_has_one_successor(store: &impl Ledger) {
    for (of, text, key, again) in [
        (1, ORDERS, 11, false),
        (2, ORDERS, 11, true), // the answer was lost
        (3, LEDGER, 11, false),
        (4, ORDERS, 12, false),
    ] {
        let recorded = store.issue(wanted(leaf(of, text, key, 1000))).await;
        assert_eq!(recorded.unwrap().again(), again, "{of}");
    }
    store
        .renew(renewal(2, leaf(5, ORDERS, 13, 1001)))
        .await
        .unwrap();

    let thief = store.renew(renewal(1, leaf(6, ORDERS, 99, 1002))).await;
    assert_eq!(thief.unwrap_err().reason(), "second_successor");
    // An operator who vouches for a key that was left behind begins anew with it.
    let anew = store.issue(wanted(leaf(7, ORDERS, 11, 1003))).await;
    assert!(!anew.unwrap().again());
    let twin = store.issue(wanted(leaf(8, ORDERS, 11, 1003))).await;
    assert!(twin.unwrap().again());
    let renewed = store.renew(renewal(7, leaf(9, ORDERS, 14, 1004))).await;
    assert!(!renewed.unwrap().again());
}

async fn marks_are_counted_without_gaps_and_the_same_one_is_set_once(store: &impl Ledger) {
    let marks = [
        Revoked::Serial(serial(1)),
        Revoked::Key(key(11)),
        Revoked::Id(id(ORDERS)),
    ];
    assert_eq!(store.revocations(0, 10).await, Ok(vec![]));

    for (epoch, what) in (1..).zip(&marks) {
        let set = store.revoke(what.clone(), at(1000 + epoch)).await;
        assert_eq!(set, Ok(epoch));
    }
    let again = store.revoke(marks[0].clone(), at(2000)).await;

    assert_eq!(again, Ok(1));
    let kept: Vec<Mark> = (1..)
        .zip(marks)
        .map(|(epoch, what)| Mark {
            epoch,
            what,
            at_s: 1000 + epoch,
        })
        .collect();
    assert_eq!(store.revocations(0, 10).await.unwrap(), kept);
    assert_eq!(store.revocations(1, 1).await.unwrap(), kept[1..2]);
    assert_eq!(store.revocations(u64::MAX, 10).await, Ok(vec![]));
}

async fn what_is_marked_is_neither_joined_nor_renewed_and_nothing_else_is_touched(
    store: &impl Ledger,
) {
    for (seed, of) in [(1, ORDERS), (2, LEDGER)] {
        let kept = store.create_token(token(seed), terms(of, 600, 9), at(1000));
        kept.await.unwrap();
        let recorded = store.join(join(seed, leaf(seed, of, 10 + seed, 1000)));
        recorded.await.unwrap();
    }
    let joining = |of| store.join(join(1, leaf(of, ORDERS, 10 + of, 1001)));
    let renewing = |of, key| store.renew(renewal(1, leaf(of, ORDERS, key, 1001)));

    for (what, joins) in [
        (Revoked::Serial(serial(1)), true),
        (Revoked::Key(key(11)), true),
        (Revoked::Id(id(ORDERS)), false),
    ] {
        let of = 30 + store.revoke(what.clone(), at(1001)).await.unwrap();
        let renewed = renewing(of, 10 + of).await;
        assert_eq!(renewed.unwrap_err().reason(), "revoked", "{what:?}");
        let joined = joining(of).await.map_err(|refused| refused.reason());
        assert_eq!(joined.is_ok(), joins, "{what:?}: {joined:?}");
        let issued = store.issue(wanted(leaf(60 + of, ORDERS, 60 + of, 1001)));
        assert_eq!(issued.await.is_ok(), joins, "{what:?}");
    }
    store.revoke(Revoked::Key(key(77)), at(1001)).await.unwrap();
    let other = store.renew(renewal(2, leaf(40, LEDGER, 77, 1001))).await;
    let untouched = store.renew(renewal(2, leaf(41, LEDGER, 78, 1001))).await;

    let marked = Refused::Revoked(Revoked::Key(key(77)));
    assert_eq!(other, Err(marked));
    assert!(untouched.is_ok(), "{untouched:?}");
}

async fn the_record_has_no_gaps_and_its_hash_can_be_computed_again(store: &impl Ledger) {
    joined(store).await;
    for seed in 2..8 {
        let grace = countersign_ca::store::RenewRecord {
            in_grace: seed % 2 == 0,
            ..renewal(seed - 1, leaf(seed, ORDERS, 10 + seed, 1000 + seed))
        };
        let recorded = store.renew(grace).await.unwrap();
        let refused = store
            .renew(renewal(seed, leaf(seed, ORDERS, 50, 1000)))
            .await;
        assert!(refused.is_err());
        assert_eq!(recorded.index(), seed - 1);
    }

    let first = store.entries(0, 4).await.unwrap();
    let rest = store.entries(4, 100).await.unwrap();

    let mut running = [0; 32];
    for (index, bytes) in first.iter().chain(&rest).enumerate() {
        let entry = Entry::decode(bytes).unwrap();
        assert_eq!(entry.index, index as u64);
        running = running_hash(&running, &leaf_hash(bytes));
    }
    let summary = store.summary().await.unwrap();
    assert_eq!((summary.entries, summary.running_hash), (7, running));
    assert_eq!(summary.last_issued_s, 1007);
    assert_eq!(store.entries(u64::MAX, 10).await, Ok(vec![]));
}

/// Serials 1 to 7 of orders and 101 to 107 of ledger, whose ends fall and repeat.
async fn two_identities(store: &impl Ledger) {
    for (seed, text, first) in [(1, ORDERS, 1), (2, LEDGER, 101)] {
        let kept = store.create_token(token(seed), terms(text, 600, 10), at(1000));
        kept.await.unwrap();
        for serial in first..first + 7 {
            let mut leaf = leaf(serial, text, serial, 1000);
            leaf.validity.not_after_s = 2000 + (107 - serial) / 2;
            store.join(join(seed, leaf)).await.unwrap();
        }
    }
}

async fn lists_are_paged_soonest_end_first_without_what_has_ended(store: &impl Ledger) {
    two_identities(store).await;

    let all = store.list(None, at(1000), None, 100).await.unwrap();
    assert_eq!((all.listed.len(), all.next), (14, None));
    let ends = all
        .listed
        .iter()
        .map(|listed| listed.entry.validity.not_after_s);
    assert!(ends.is_sorted());

    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(None, at(1000), after, 4).await.unwrap();
        assert!(page.listed.len() <= 4);
        paged.extend(page.listed);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.listed);

    // Both bounds of a validity are within it.
    let last_s = all.listed[0].entry.validity.not_after_s;
    let then = store.list(None, at(last_s), None, 100).await.unwrap();
    assert_eq!(then.listed.len(), 14);
    let later = store.list(None, at(last_s + 1), None, 100).await.unwrap();
    assert_eq!(later.listed, all.listed[2..]); // two end in the same second
    let none = store
        .list(None, at(9000), Some((2000, 3)), LIST_MAX + 1)
        .await;
    assert_eq!(none.unwrap().listed, []);
}

async fn a_list_from_beyond_everything_is_empty(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
    kept.await.unwrap();
    let recorded = store.join(join(1, leaf(1, ORDERS, 11, 1000)));
    recorded.await.unwrap();
    let end_s = 1000 + LEAF_TTL_S;

    for after in [
        (end_s, u64::MAX),
        (end_s, 1 << 63),
        (1 << 63, 0),
        (u64::MAX, u64::MAX),
    ] {
        let page = store.list(None, at(1000), Some(after), 10).await;
        assert_eq!(page, Ok(Page::default()), "{after:?}");
    }
}

async fn a_list_of_one_identity_has_no_other(store: &impl Ledger) {
    two_identities(store).await;

    let orders = store
        .list(Some(id(ORDERS)), at(1000), None, 5)
        .await
        .unwrap();
    let rest = store
        .list(Some(id(ORDERS)), at(1000), orders.next, 5)
        .await
        .unwrap();
    let nobody = store.list(Some(id("spiffe://shop.example/x")), at(1000), None, 5);

    assert_eq!((orders.listed.len(), rest.listed.len()), (5, 2));
    let listed = orders.listed.iter().chain(&rest.listed);
    assert!(listed.clone().all(|listed| listed.id == id(ORDERS)));
    assert_eq!(orders.listed[0].instance.as_str(), "instance-6");
    assert_eq!(nobody.await.unwrap().listed, []);
}

async fn the_first_to_end_is_one_that_none_replaced(store: &impl Ledger) {
    assert_eq!(store.first_to_end(at(1000)).await, Ok(None));
    joined(store).await;
    let kept = store.create_token(token(2), terms(LEDGER, 600, 1), at(1500));
    kept.await.unwrap();
    store
        .join(join(2, leaf(2, LEDGER, 21, 1500)))
        .await
        .unwrap();
    let first = async || {
        let first = store.first_to_end(at(1600)).await.unwrap().unwrap();
        (first.entry.serial, first.replaced)
    };
    assert_eq!(first().await, (serial(1), false));

    store
        .renew(renewal(1, leaf(3, ORDERS, 12, 1600)))
        .await
        .unwrap();

    assert_eq!(first().await, (serial(2), false));
    assert!(store.show(serial(1)).await.unwrap().unwrap().replaced);
    // A lost answer: the twin is the one that counts.
    store
        .join(join(2, leaf(4, LEDGER, 21, 1700)))
        .await
        .unwrap();
    assert_eq!(first().await, (serial(3), false));
    assert!(store.show(serial(2)).await.unwrap().unwrap().replaced);
    assert_eq!(store.first_to_end(at(9000)).await, Ok(None));
}

async fn statements_are_kept_in_their_order_with_their_signatures(store: &impl Ledger) {
    let signature = |root: u8| StatementSignature {
        root_key_id: vec![root; 20],
        signature: vec![root; 70],
    };
    let statement = |sequence, signatures: &[u8]| StoredStatement {
        sequence,
        body: vec![sequence as u8; 500],
        signatures: signatures.iter().copied().map(signature).collect(),
    };
    let (one, two) = (statement(1, &[1]), statement(5, &[9, 2]));
    store.append_statement(one.clone()).await.unwrap();
    store.append_statement(two.clone()).await.unwrap();

    store.append_statement(one.clone()).await.unwrap();
    let other = store.append_statement(statement(1, &[3])).await;
    let older = store.append_statement(statement(3, &[3])).await;
    let mut long = statement(6, &[1]);
    long.body = vec![0; 256 * 1024 - 89];
    let long = store.append_statement(long).await;

    let not_newer = |sequence| {
        Err(Refused::Statement(StatementRefused::NotNewer {
            sequence,
            newest: 5,
        }))
    };
    assert_eq!(other, not_newer(1));
    assert_eq!(older, not_newer(3));
    let bytes = 256 * 1024 + 1;
    assert_eq!(
        long,
        Err(Refused::Statement(StatementRefused::Length { bytes }))
    );
    assert_eq!(store.statements(0, 10).await, Ok(vec![one, two.clone()]));
    assert_eq!(store.statements(2, 10).await, Ok(vec![two]));
    assert_eq!(store.statements(6, 10).await, Ok(vec![]));
}

async fn after_the_last_that_can_be_counted_nothing_is_found(store: &impl Ledger) {
    let last = StoredStatement {
        sequence: i64::MAX as u64,
        body: vec![1],
        signatures: Vec::new(),
    };
    store.append_statement(last.clone()).await.unwrap();

    for from in [last.sequence + 1, u64::MAX] {
        assert_eq!(store.statements(from, 10).await, Ok(vec![]), "{from}");
        assert_eq!(store.entries(from, 10).await, Ok(vec![]), "{from}");
    }
    assert_eq!(store.statements(last.sequence, 10).await, Ok(vec![last]));
}

async fn many_at_once_are_all_served(store: &impl Ledger) {
    let kept = store.create_token(token(1), terms(ORDERS, 600, 100), at(1000));
    kept.await.unwrap();

    // 150 keys for 100 uses, all at the same time.
    let joins = (0..150).map(|seed| store.join(join(1, leaf(seed, ORDERS, seed, 1000))));
    let (mut indexes, mut refused) = (Vec::new(), 0);
    for answer in all(joins).await {
        match answer {
            Ok(recorded) => indexes.push(recorded.index()),
            Err(error) => {
                assert_eq!(error.reason(), "token_spent");
                refused += 1;
            }
        }
    }

    indexes.sort_unstable();
    assert_eq!(indexes, (0..100).collect::<Vec<_>>());
    assert_eq!(refused, 50);
}

/// Waits for all of them, which begin together.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}
