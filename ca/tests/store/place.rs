//! The folder of the store: whose it is, who may read it, and which versions may open it.

use crate::fixture::*;
use config::TrustDomain;
use countersign_ca::Revoked;
use countersign_ca::store::{Ledger, Store, StoreError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn refused(dir: &TempDir) -> StoreError {
    Store::open(dir.path(), &domain()).unwrap_err()
}

#[test]
fn only_the_owner_can_read_what_is_kept() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    run(store.create_token(token(1), terms(ORDERS, 600, 1), at(1000))).unwrap();

    let folder = place.path().join("store");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["ca.sqlite", "ca.sqlite-shm", "ca.sqlite-wal"]);

    drop(store);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.join("ca.sqlite"), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(place.path());
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("ca.sqlite")), 0o600);
}

#[test]
fn what_was_recorded_is_there_when_it_is_opened_again() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    run(async {
        let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
        kept.await.unwrap();
        store
            .join(join(1, leaf(1, ORDERS, 11, 1000)))
            .await
            .unwrap();
    });
    let before = run(store.summary()).unwrap();
    drop(store);

    let store = open(place.path());

    assert_eq!(run(store.summary()).unwrap(), before);
    let again = run(store.join(join(1, leaf(2, ORDERS, 11, 1000)))).unwrap();
    assert_eq!((again.index(), again.again()), (1, true));
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    let clone = store.clone();

    assert_eq!(refused(&place).reason(), "store_in_use");
    drop(store);
    assert_eq!(refused(&place).reason(), "store_in_use");
    drop(clone);
    open(place.path());
}

#[test]
fn a_newer_schema_anothers_database_and_another_trust_domain_are_left_alone() {
    let place = TempDir::new().unwrap();
    drop(open(place.path()));
    let path = place.path().join("store/ca.sqlite");
    let set = |pragma: &str| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(pragma).unwrap();
    };

    set("PRAGMA user_version = 7");
    let newer = refused(&place);
    assert!(
        matches!(
            newer,
            StoreError::Newer {
                found: 7,
                known: 3,
                ..
            }
        ),
        "{newer:?}"
    );
    assert_eq!(
        newer.to_string(),
        format!(
            "{} is not opened: its schema is 7 and this version knows 3; run the newer version again",
            path.display()
        )
    );

    set("PRAGMA user_version = 3; PRAGMA application_id = 5");
    assert_eq!(refused(&place).reason(), "store_foreign");

    set("PRAGMA application_id = 0x6373746e");
    let other = TrustDomain::parse("other.example").unwrap();
    let refused = Store::open(place.path(), &other).unwrap_err();
    assert_eq!(refused.reason(), "store_trust_domain");
    open(place.path());
}

#[test]
fn a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_is_in_it() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    run(async {
        let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
        kept.await.unwrap();
        let joined = store.join(join(1, leaf(1, ORDERS, 11, 1000)));
        joined.await.unwrap();
    });
    let before = run(store.summary()).unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(place.path().join("store/ca.sqlite")).unwrap();
    let back = "DROP TABLE operator_keys; DROP TABLE revocations; PRAGMA user_version = 1";
    connection.execute_batch(back).unwrap();
    drop(connection);

    let store = open(place.path());

    assert_eq!(run(store.summary()).unwrap(), before);
    let issued = run(store.issue(wanted(leaf(2, ORDERS, 12, 1001)))).unwrap();
    assert_eq!(issued.index(), 1);
    let marked = run(store.revoke(Revoked::Serial(serial(1)), at(1001)));
    assert_eq!(marked, Ok(1));
}

#[test]
fn a_start_that_was_killed_before_its_first_table_is_gone_on_with() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join("store");
    fs::create_dir(&folder).unwrap();
    let begun = rusqlite::Connection::open(folder.join("ca.sqlite")).unwrap();
    begun.execute_batch("PRAGMA journal_mode = wal").unwrap();
    drop(begun);
    assert!(fs::metadata(folder.join("ca.sqlite")).unwrap().len() > 0);

    open(place.path());
}

#[test]
fn a_damaged_file_is_refused_with_its_reason() {
    let place = TempDir::new().unwrap();
    drop(open(place.path()));
    let path = place.path().join("store/ca.sqlite");

    fs::write(&path, vec![0x5a; 8192]).unwrap();

    assert_eq!(refused(&place).reason(), "store_damaged");
}

#[test]
fn nobody_can_change_or_remove_an_entry() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    run(async {
        let kept = store.create_token(token(1), terms(ORDERS, 600, 1), at(1000));
        kept.await.unwrap();
        store
            .join(join(1, leaf(1, ORDERS, 11, 1000)))
            .await
            .unwrap();
        let marked = store.revoke(Revoked::Serial(serial(1)), at(1001)).await;
        marked.unwrap();
    });
    let connection = rusqlite::Connection::open(place.path().join("store/ca.sqlite")).unwrap();

    for sql in [
        "DELETE FROM records",
        "UPDATE records SET instance = 'x'",
        "DELETE FROM revocations",
        "UPDATE revocations SET epoch = 9",
    ] {
        let error = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
}

#[test]
fn while_another_program_holds_the_file_nothing_is_recorded_and_afterwards_all_is_well() {
    let place = TempDir::new().unwrap();
    let store = open(place.path());
    let other = rusqlite::Connection::open(place.path().join("store/ca.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let create = || run(store.create_token(token(1), terms(ORDERS, 600, 1), at(1000)));

    assert_eq!(create().unwrap_err().reason(), "store_busy");
    other.execute_batch("ROLLBACK").unwrap();

    create().unwrap();
}

#[test]
fn a_store_that_is_not_there_is_refused_with_what_to_do() {
    let place = TempDir::new().unwrap();
    let error = Store::open(&place.path().join("no/such"), &domain()).unwrap_err();

    assert_eq!(error.reason(), "store_disk");
    assert!(
        error.to_string().contains("; make the folder above it"),
        "{error}"
    );
}
