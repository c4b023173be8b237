//! A disk without room: issuance is refused with its reason, nothing is half written, and it goes on by itself.

use crate::fixture::*;
use countersign_ca::store::{Ledger, Store};
use countersign_ca::{leaf_hash, running_hash};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A file system of 1 MiB, gone when dropped.
struct Small(TempDir);

impl Small {
    fn mount() -> Self {
        let place = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(place.path())
            .status();
        assert!(mounted.unwrap().success(), "mount failed: this needs root");
        Small(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

/// Joins from this seed on until one is refused: how many were recorded, and why the next was not.
fn issue_until_refused(store: &Store, from: u64) -> (u64, &'static str) {
    for seed in from.. {
        assert!(seed < 100_000, "1 MiB is never full");
        match run(store.join(join(1, leaf(seed, ORDERS, seed, 1000)))) {
            Ok(recorded) => assert_eq!(recorded.index(), seed),
            Err(refused) => return (seed - from, refused.reason()),
        }
    }
    unreachable!()
}

fn check_whole(store: &Store, expected: u64) {
    let (mut running, mut from) = ([0; 32], 0);
    while from < expected {
        let page = run(store.entries(from, 1000)).unwrap();
        assert!(!page.is_empty(), "{from} of {expected} entries are there");
        from += page.len() as u64;
        for entry in page {
            running = running_hash(&running, &leaf_hash(&entry));
        }
    }
    let summary = run(store.summary()).unwrap();
    assert_eq!((summary.entries, summary.running_hash), (expected, running));
}

#[test]
#[ignore = "needs root and tmpfs: .ci/run runs it"]
fn on_a_full_disk_nothing_is_half_written_and_with_room_it_goes_on_by_itself() {
    let disk = Small::mount();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 256 * 1024]).unwrap();
    let store = open(disk.path());
    run(store.create_token(token(1), terms(ORDERS, 600, 100_000), at(1000))).unwrap();

    let (before, reason) = issue_until_refused(&store, 0);
    assert_eq!(reason, "store_disk_full");
    assert!(before > 10, "only {before} before the disk was full");
    // Still refused, still readable, and nothing of the refused was kept: neither record nor use of the token.
    assert_eq!(issue_until_refused(&store, before), (0, "store_disk_full"));
    check_whole(&store, before);
    let looked = run(store.look_up(token(1), key(before), at(1000))).unwrap();
    assert!(!looked.again);

    fs::remove_file(&ballast).unwrap();
    let (more, reason) = issue_until_refused(&store, before);
    assert!(more > 10, "only {more} after room was made");
    assert_eq!(reason, "store_disk_full");
    check_whole(&store, before + more);

    // Also a start on a full disk keeps all of it.
    drop(store);
    let store = open(disk.path());
    check_whole(&store, before + more);
}
