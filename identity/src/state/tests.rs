#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::{Bundle, Bundles, Generation, Statement};
use config::TrustDomain;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

/// An SVID with its issuer, and the statement that names its root.
fn kept(sequence: u64) -> Kept {
    let root = mint::Authority::root("shop.example");
    let leaf = root.issuer().leaf("spiffe://shop.example/orders");
    let key = Key::from_pem(leaf.key.pem().as_bytes()).unwrap();
    let svid = Svid::from_pem(leaf.chain_pem().as_bytes(), key).unwrap();
    let domain = TrustDomain::parse("shop.example").unwrap();
    let roots = vec![CertificateDer::from(root.root.clone())];
    let statement =
        Statement::new(&Bundle::from_roots(domain, roots).unwrap(), sequence, 5).unwrap();
    let key = Key::from_pkcs8(&root.key.pkcs8()).unwrap();
    Kept {
        svid,
        statement: SignedStatement::sign(statement, &[&key]).unwrap(),
        issued_at_unix_ms: 1_790_000_000_123,
    }
}

fn keep(state: &StateDir, kept: &Kept) -> Result<(), StateError> {
    state.keep(&kept.svid, &kept.statement, kept.issued_at_unix_ms)
}

/// The sequence that a restart would find.
fn found(path: &Path) -> Result<Option<u64>, &'static str> {
    StateDir::open(path)
        .and_then(|state| state.resume())
        .map(|kept| kept.map(|kept| kept.statement.statement().sequence()))
        .map_err(|why| why.reason())
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("state");
    (dir, path)
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_kept_serves_at_once_after_a_restart() {
    let (_dir, path) = place();
    assert_eq!(found(&path), Ok(None));
    let before = kept(7);
    keep(&StateDir::open(&path).unwrap(), &before).unwrap();

    let after = StateDir::open(&path).unwrap().resume().unwrap().unwrap();

    assert_eq!(after.svid.chain(), before.svid.chain());
    assert_eq!(after.statement, before.statement);
    assert_eq!(after.issued_at_unix_ms, before.issued_at_unix_ms);
    let bundles = Bundles::of(after.statement.statement().bundle().clone());
    let generation = Generation::new(1, after.svid, bundles).unwrap();
    assert_eq!(generation.check(UnixTime::now()), Ok(()));
}

#[test]
fn the_newest_generation_stays_alone_and_is_only_ours_to_read() {
    let (_dir, path) = place();
    let state = StateDir::open(&path).unwrap();
    for sequence in 1..=3 {
        keep(&state, &kept(sequence)).unwrap();
    }
    drop(state);
    assert_eq!(found(&path), Ok(Some(3)));
    assert_eq!(names(&path), ["current", "g-3", "instance", "lock"]);
    assert_eq!(
        names(&path.join("g-3")),
        ["format", "issued", "key.pem", "statement", "svid.pem"]
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&path.join("g-3"))), (0o700, 0o700));
    for name in names(&path.join("g-3")) {
        assert_eq!(mode(&path.join("g-3").join(name)), 0o600);
    }
}

#[test]
fn an_instance_keeps_its_name_for_the_life_of_its_folder_and_no_two_have_one() {
    let (_one, one) = place();
    let (_two, two) = place();
    let name = |path: &Path| StateDir::open(path).unwrap().instance().to_owned();
    let first = name(&one);

    assert_eq!(name(&one), first);
    assert_ne!(name(&two), first);
    assert_eq!(first.len(), 32);
    fs::write(one.join("instance"), "\u{1b}[2J").unwrap();
    assert_eq!(found(&one), Err("state_foreign"));
}

/// Invariant 4.
#[test]
fn a_pending_key_outlives_a_restart_until_its_certificate_is_kept() {
    let (_dir, path) = place();
    let spki = |state: &StateDir| state.pending().unwrap().map(|key| key.spki());
    let (new, stranger) = (kept(2), Key::generate().unwrap());
    let state = StateDir::open(&path).unwrap();
    assert_eq!(spki(&state), None);
    state.keep_pending(&stranger).unwrap();
    state.keep_pending(new.svid.key()).unwrap();
    drop(state);

    let state = StateDir::open(&path).unwrap();
    assert_eq!(spki(&state), Some(new.svid.key().spki()));
    keep(&state, &new).unwrap();
    assert_eq!(spki(&state), None);
    assert!(!path.join(PENDING).exists());

    // The next request's stays; and one that a killed process did not remove is not taken for the next request's.
    state.keep_pending(&stranger).unwrap();
    keep(&state, &new).unwrap();
    assert_eq!(spki(&state), Some(stranger.spki()));
    state.keep_pending(new.svid.key()).unwrap();
    assert_eq!(spki(&state), None);
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let (_dir, path) = place();
    let owner = StateDir::open(&path).unwrap();
    assert_eq!(found(&path), Err("state_owned"));
    drop(owner);
    assert_eq!(found(&path), Ok(None));
}

/// Invariant 2: at every step at which a process can be killed.
#[test]
fn what_was_half_written_is_not_read_and_does_not_stay() {
    let (_dir, path) = place();
    let (old, new) = (kept(1), kept(2));
    let begin = |state: &StateDir, kept: &Kept| {
        state.write("g-2", &kept.svid, &kept.statement, kept.issued_at_unix_ms)
    };
    for step in 0..5 {
        let _ = fs::remove_dir_all(&path);
        let state = StateDir::open(&path).unwrap();
        keep(&state, &old).unwrap();
        let next = path.join("g-2");
        match step {
            0 => fs::create_dir(&next).unwrap(),
            1 => {
                fs::create_dir(&next).unwrap();
                write(&next.join("key.pem"), b"-----BEGIN").unwrap();
            }
            2 => begin(&state, &new).unwrap(),
            3 => {
                begin(&state, &new).unwrap();
                symlink("g-2", path.join(NEXT)).unwrap();
            }
            _ => {
                begin(&state, &new).unwrap();
                state.point("g-2").unwrap();
            }
        }
        drop(state);

        let expected = if step < 4 { 1 } else { 2 };
        assert_eq!(found(&path), Ok(Some(expected)), "killed at step {step}");
        let generation = format!("g-{expected}");
        assert_eq!(names(&path), ["current", &generation, "instance", "lock"]);
        keep(&StateDir::open(&path).unwrap(), &kept(3)).unwrap();
        assert_eq!(found(&path), Ok(Some(3)));
    }
}

#[test]
fn a_generation_that_cannot_be_kept_leaves_the_one_before() {
    let (_dir, path) = place();
    let state = StateDir::open(&path).unwrap();
    keep(&state, &kept(1)).unwrap();
    // A file in the way, which is no folder to clear away.
    fs::write(path.join("g-2"), "").unwrap();
    assert_eq!(keep(&state, &kept(2)).unwrap_err().reason(), "state_disk");
    fs::remove_file(path.join("g-2")).unwrap();
    drop(state);
    assert_eq!(found(&path), Ok(Some(1)));
}

#[test]
fn what_others_may_touch_or_made_is_refused_and_says_what_to_do() {
    let check = |change: &dyn Fn(&Path), reason, todo: &str| {
        let (_dir, path) = place();
        keep(&StateDir::open(&path).unwrap(), &kept(1)).unwrap();
        change(&path);
        let error = StateDir::open(&path)
            .and_then(|state| state.pending().and(state.resume()))
            .unwrap_err();
        assert_eq!(error.reason(), reason);
        let text = error.to_string();
        assert!(text.contains(todo), "{text}");
        assert!(!text.contains('\n'), "{text}");
    };
    let mode = |name: &'static str, mode| {
        move |path: &Path| {
            fs::set_permissions(path.join(name), Permissions::from_mode(mode)).unwrap();
        }
    };
    let content = |name: &'static str, text: &'static str| {
        move |path: &Path| fs::write(path.join(name), text).unwrap()
    };
    check(&mode("", 0o750), "state_mode", "chmod 700");
    check(&mode("g-1", 0o701), "state_mode", "chmod 700");
    check(&mode("g-1/key.pem", 0o640), "state_mode", "chmod 600");
    check(
        &content("g-1/format", "2\n"),
        "state_format",
        "or a newer one",
    );
    check(
        &content("g-1/key.pem", ""),
        "state_damaged",
        "new join token",
    );
    check(
        &content("g-1/svid.pem", "-----BEGIN CERTIFICATE-----\n"),
        "state_damaged",
        "new join token",
    );
    check(
        &content("g-1/statement", "abc"),
        "state_damaged",
        "new join token",
    );
    check(&content("g-1/issued", "soon"), "state_damaged", "no number");
    check(
        &|path| {
            fs::write(path.join(PENDING), "").unwrap();
            fs::set_permissions(path.join(PENDING), Permissions::from_mode(0o640)).unwrap();
        },
        "state_mode",
        "chmod 600",
    );
    check(
        &|path| drop(fs::remove_file(path.join("g-1/statement"))),
        "state_disk",
        "g-1/statement",
    );
    check(
        &|path| {
            fs::remove_file(path.join(CURRENT)).unwrap();
            symlink("../elsewhere", path.join(CURRENT)).unwrap();
        },
        "state_foreign",
        "new identity.stateDir",
    );
    check(
        &|path| {
            fs::remove_file(path.join(CURRENT)).unwrap();
            fs::write(path.join(CURRENT), "g-1").unwrap();
        },
        "state_foreign",
        "new identity.stateDir",
    );
    check(
        &|path| {
            fs::rename(path.join("g-1/key.pem"), path.join("key.pem")).unwrap();
            symlink("../key.pem", path.join("g-1/key.pem")).unwrap();
        },
        "state_disk",
        "look at this path",
    );
    check(
        &|path| {
            let other = kept(1).svid;
            fs::write(path.join("g-1/key.pem"), other.key().to_pem().as_bytes()).unwrap();
        },
        "state_damaged",
        "does not belong",
    );
}

#[test]
fn a_place_that_cannot_be_is_named() {
    let dir = tempfile::TempDir::new().unwrap();
    assert_eq!(found(&dir.path().join("none/state")), Err("state_disk"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(found(&file), Err("state_disk"));
}
