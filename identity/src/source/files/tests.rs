#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use mint::Authority;
use std::path::Path;

const ORDERS: &str = "spiffe://shop.example/orders";

fn open(dir: &Path) -> FilesSource {
    let files = Files {
        certificate: dir.join("svid.pem"),
        key: dir.join("key.pem"),
        bundle: dir.join("bundle.pem"),
    };
    FilesSource::open(&TrustDomain::parse("shop.example").unwrap(), &files, &[]).unwrap()
}

/// Looks at the contents so many seconds from now.
fn look_in(source: &FilesSource, seen: Seen, seconds: u64) -> Look {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + seconds));
    look(&source.paths, seen, true, now)
}

/// Invariant 1.
#[test]
fn what_is_put_back_is_no_new_generation_and_ends_the_refusal() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = Authority::root("shop.example");
    let (first, second) = (root.leaf(ORDERS), root.leaf(ORDERS));
    first.write_files(dir.path(), &root.bundle_pem());
    let source = open(dir.path());

    std::fs::write(dir.path().join("svid.pem"), second.chain_pem()).unwrap();
    let Look::Refused(seen, error) = look_in(&source, source.seen.clone(), 0) else {
        unreachable!("a mixture was not refused")
    };
    assert_eq!((error.reason(), seen.number), ("key_mismatch", 1));
    let seen = tell(seen, &error, &|_| unreachable!("told at first sight"));
    assert_eq!(seen.refusal, Refusal::Suspected(error.to_string()));
    let told = std::sync::Mutex::new(0);
    let count = |_: Result<u64, &FilesError>| *told.lock().unwrap() += 1;
    let seen = tell(tell(seen, &error, &count), &error, &count);
    assert_eq!(
        (seen.refusal.clone(), *told.lock().unwrap()),
        (Refusal::Told(error.to_string()), 1)
    );

    first.write_files(dir.path(), &root.bundle_pem());
    let Look::Same(seen) = look_in(&source, seen, 0) else {
        unreachable!("what was in force became a new generation")
    };
    assert_eq!((seen.number, seen.refusal), (1, Refusal::None));
}

#[test]
fn a_set_that_came_too_early_is_taken_when_its_time_comes() {
    let dir = tempfile::TempDir::new().unwrap();
    let root = Authority::root("shop.example");
    root.leaf(ORDERS)
        .write_files(dir.path(), &root.bundle_pem());
    let source = open(dir.path());
    root.leaf_with(ORDERS, |draft| draft.not_before = mint::now_s() + 100)
        .write_files(dir.path(), &root.bundle_pem());
    let Look::Refused(seen, error) = look_in(&source, source.seen.clone(), 0) else {
        unreachable!("a set was taken before its time")
    };
    assert_eq!(error.reason(), "not_yet_valid");
    let seen = tell(tell(seen, &error, &|_| {}), &error, &|_| {});
    let Look::Taken(seen, generation) = look_in(&source, seen, 200) else {
        unreachable!("a set was not taken in its time")
    };
    assert_eq!(
        (seen.number, generation.number(), seen.refusal),
        (2, 2, Refusal::None)
    );
}
