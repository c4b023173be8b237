//! The folder of an authority: whole or not there, never over anything, and renewing its issuer by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use config::{SpiffeId, TrustDomain};
use countersign_ca::{
    Algorithm, Authority, Delivery, Dir, ISSUER_LIFE_S, ROOT_LIFE_S, Renewal, date,
};
use identity::{FirstContact, SignedStatement};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const BORN_S: u64 = 1_795_000_000;
const DAY_S: u64 = 24 * 60 * 60;

fn at(unix_s: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_s)
}

fn authority() -> Authority {
    let domain = TrustDomain::parse("shop.example").unwrap();
    Authority::create(&domain, Algorithm::P256, at(BORN_S)).unwrap()
}

fn orders() -> SpiffeId {
    SpiffeId::parse("spiffe://shop.example/orders").unwrap()
}

fn created(place: &TempDir) -> Dir {
    Dir::create(&place.path().join("ca"), &authority()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn with_standby(place: &TempDir) -> Dir {
    let both = authority().with_new_standby(Algorithm::P256, at(BORN_S));
    Dir::create(&place.path().join("ca"), &both.unwrap()).unwrap()
}

#[test]
fn a_second_root_is_trusted_from_the_start_and_its_key_lies_apart() {
    let place = TempDir::new().unwrap();

    let dir = with_standby(&place);

    let apart = dir.standby_path();
    assert_eq!(names(&apart), ["cert.pem", "key.pem"]);
    assert_eq!((mode(&apart), mode(&apart.join("key.pem"))), (0o700, 0o600));
    assert_eq!(names(&dir.path().join("standby")), ["cert.pem"]);
    fs::remove_dir_all(&apart).unwrap();
    let read = dir.authority().unwrap();
    assert_eq!(read.fingerprints().len(), 2);
    assert!(read.standby().unwrap().key().is_none());
    let bundle = fs::read_to_string(dir.bundle_path()).unwrap();
    assert_eq!(bundle, read.bundle().to_pem());
    let issued = read.issue(&orders(), Duration::from_secs(60), at(BORN_S));
    assert_eq!(issued.unwrap().bundle_pem, bundle);
}

#[test]
fn both_roots_sign_the_first_statement_and_who_trusts_either_believes_it() {
    let place = TempDir::new().unwrap();
    let dir = with_standby(&place);
    let bundle = dir.authority().unwrap().bundle().clone();

    let first = dir.first_statement().unwrap().unwrap();

    let domain = bundle.trust_domain();
    assert_eq!(first.signatures().len(), 2);
    for one in bundle.fingerprints() {
        let contact = FirstContact::Fingerprint(domain.clone(), one);
        let walked = contact.walk(std::slice::from_ref(&first)).unwrap();
        assert_eq!(walked.statement().bundle().roots().len(), 2);
    }
    let [one, _] = first.signatures() else {
        panic!("not two")
    };
    let half = SignedStatement::from_parts(first.body().to_vec(), vec![one.clone()]).unwrap();
    let refused: BTreeSet<_> = bundle
        .fingerprints()
        .into_iter()
        .map(|one| FirstContact::Fingerprint(domain.clone(), one))
        .map(|contact| contact.walk(std::slice::from_ref(&half)))
        .map(|walked| walked.unwrap_err().reason())
        .collect();
    // Signed by one alone it is believed by nobody who trusts either: why both must.
    let wanted = BTreeSet::from(["statement_not_by_added_root", "statement_not_by_held_root"]);
    assert_eq!(refused, wanted);
}

#[test]
fn a_second_root_that_is_gone_or_anothers_is_refused() {
    let place = TempDir::new().unwrap();
    let dir = with_standby(&place);
    let standby = fs::canonicalize(dir.path().join("standby")).unwrap();
    let other = TrustDomain::parse("other.example").unwrap();
    let other = Authority::create(&other, Algorithm::P256, at(BORN_S)).unwrap();

    fs::write(standby.join("cert.pem"), other.bundle().to_pem()).unwrap();
    let foreign = dir.authority().unwrap_err();
    fs::remove_dir_all(standby).unwrap();
    let gone = dir.authority().unwrap_err();

    assert_eq!(foreign.reason(), "authority_no_trust_domain");
    assert_eq!(gone.reason(), "dir_disk");
}

#[test]
fn only_the_owner_can_read_a_key_or_enter_the_folder() {
    let place = TempDir::new().unwrap();

    let dir = created(&place);

    let path = dir.path();
    assert_eq!(names(place.path()), ["ca"]);
    assert_eq!(
        names(path),
        [
            "bundle.pem",
            "format",
            "issuer",
            "issuers",
            "root",
            "roots",
            "statement"
        ]
    );
    for (name, wanted) in [
        (".", 0o700),
        ("root/key.pem", 0o600),
        ("root/cert.pem", 0o644),
        ("issuer/key.pem", 0o600),
        ("issuer/cert.pem", 0o644),
        ("bundle.pem", 0o644),
        ("statement", 0o644),
    ] {
        assert_eq!(mode(&path.join(name)), wanted, "{name}");
    }
}

#[test]
fn what_was_written_is_the_same_authority_when_read() {
    let place = TempDir::new().unwrap();
    let before = authority();

    let dir = Dir::create(&place.path().join("ca"), &before).unwrap();
    let after = Dir::open(dir.path()).unwrap().authority().unwrap();

    assert_eq!(after.fingerprints(), before.fingerprints());
    assert_eq!(after.trust_domain().as_str(), "shop.example");
    assert_eq!(
        after.issuer().certificate().der(),
        before.issuer().certificate().der()
    );
    assert_eq!(
        fs::read_to_string(dir.bundle_path()).unwrap(),
        before.bundle().to_pem()
    );
    after
        .issue(&orders(), Duration::from_secs(60), at(BORN_S))
        .unwrap();
}

#[test]
fn nothing_that_is_there_is_ever_overwritten() {
    type Put = fn(&Path);
    let table: &[(&str, Put)] = &[
        ("a file", |path| fs::write(path, "precious").unwrap()),
        ("a folder with something in it", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("precious"), "").unwrap();
        }),
        ("another CA", |path| {
            drop(Dir::create(path, &authority()).unwrap());
        }),
        ("a link to an empty folder", |path| {
            let target = path.with_file_name("target");
            fs::create_dir(&target).unwrap();
            symlink(target, path).unwrap();
        }),
        ("a link to nothing", |path| {
            symlink("nowhere", path).unwrap();
        }),
    ];
    for (what, put) in table {
        let place = TempDir::new().unwrap();
        let path = place.path().join("ca");
        put(&path);
        let before = (
            names(place.path()),
            fs::symlink_metadata(&path).unwrap().modified().unwrap(),
        );

        let error = Dir::create(&path, &authority()).unwrap_err();

        assert_eq!(error.reason(), "dir_occupied", "{what}: {error}");
        let after = (
            names(place.path()),
            fs::symlink_metadata(&path).unwrap().modified().unwrap(),
        );
        assert_eq!(after, before, "{what}");
    }
}

#[test]
fn an_empty_folder_is_filled_and_what_a_killed_process_left_is_cleared_away() {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("ca")).unwrap();
    fs::create_dir(place.path().join(".ca.incomplete")).unwrap();
    fs::write(place.path().join(".ca.incomplete/key.pem"), "half a key").unwrap();

    let dir = created(&place);

    assert_eq!(names(place.path()), ["ca"]);
    dir.authority().unwrap();
}

/// A folder whose path is `length` bytes long: near the system's limit of 4096 each file of an authority, whose names differ
/// in length, is at some length the first that cannot be written. That works for root too, whom no mode stops.
fn deep(place: &Path, length: usize) -> PathBuf {
    let mut path = place.to_owned();
    while path.as_os_str().len() < length {
        let left = length - path.as_os_str().len() - 1;
        let step = match left {
            0..=200 => left,
            201..=401 => left / 2,
            _ => 200,
        };
        if step == 0 {
            break;
        }
        path.push("d".repeat(step));
        fs::create_dir(&path).unwrap();
    }
    path
}

#[test]
fn a_write_that_fails_at_any_file_leaves_nothing_behind() {
    let authority = authority();
    let mut failed = 0;
    for length in 4000..4094 {
        let place = TempDir::new().unwrap();
        let parent = deep(place.path(), length);
        match Dir::create(&parent.join("c"), &authority) {
            Ok(dir) => drop(dir.authority().unwrap()),
            Err(error) => {
                failed += 1;
                assert_eq!(error.reason(), "dir_disk", "{length}: {error}");
                assert_eq!(names(&parent), Vec::<String>::new(), "{length}: {error}");
            }
        }
    }
    assert!((20..90).contains(&failed), "{failed} of the lengths failed");
}

#[test]
fn a_delivery_that_fails_at_any_file_leaves_the_old_files_alone() {
    let authority = authority();
    let deliver = |to: &Path| {
        let issued = authority
            .issue(&orders(), Duration::from_secs(60), at(BORN_S))
            .unwrap();
        Delivery {
            chain_pem: &issued.chain_pem,
            key_pem: Some(&issued.key_pem),
            bundle_pem: &issued.bundle_pem,
        }
        .write(to)
    };
    let texts = |out: &Path| {
        ["bundle.pem", "key.pem", "svid.pem"].map(|name| fs::read(out.join(name)).unwrap())
    };
    for name in ["bundle.pem", "key.pem", "svid.pem"] {
        let place = TempDir::new().unwrap();
        let out = place.path().join("orders");
        deliver(&out).unwrap();
        let before = texts(&out);
        // A folder where the file is to be prepared: root too cannot write a file there.
        let obstacle = format!(".{name}.next");
        fs::create_dir(out.join(&obstacle)).unwrap();

        let error = deliver(&out).unwrap_err();

        assert_eq!(error.path, out.join(&obstacle), "{name}");
        assert_eq!(texts(&out), before, "{name}");
        assert_eq!(
            names(&out),
            [&obstacle, "bundle.pem", "key.pem", "svid.pem"],
            "{name}"
        );
    }
}

#[test]
fn a_delivery_fills_a_new_folder_and_renews_an_old_one() {
    let place = TempDir::new().unwrap();
    let out = place.path().join("orders");
    let authority = authority();
    for _ in 0..2 {
        let issued = authority
            .issue(&orders(), Duration::from_secs(60), at(BORN_S))
            .unwrap();
        let delivery = Delivery {
            chain_pem: &issued.chain_pem,
            key_pem: Some(&issued.key_pem),
            bundle_pem: &issued.bundle_pem,
        };

        delivery.write(&out).unwrap();

        assert_eq!(names(&out), ["bundle.pem", "key.pem", "svid.pem"]);
        assert_eq!(
            fs::read_to_string(out.join("svid.pem")).unwrap(),
            issued.chain_pem
        );
        assert_eq!(
            fs::read_to_string(out.join("key.pem")).unwrap(),
            *issued.key_pem
        );
        assert_eq!((mode(&out), mode(&out.join("key.pem"))), (0o700, 0o600));
    }
}

#[test]
fn renewed_files_belong_to_whom_the_folder_belongs() {
    let place = TempDir::new().unwrap();
    let authority = authority();
    // Only root can give a folder away; for others it stays their own, which holds as well.
    let _ = chown(place.path(), Some(65_534), Some(65_534));
    let owner = fs::metadata(place.path()).unwrap();

    let issued = authority
        .issue(&orders(), Duration::from_secs(60), at(BORN_S))
        .unwrap();
    let delivery = Delivery {
        chain_pem: &issued.chain_pem,
        key_pem: Some(&issued.key_pem),
        bundle_pem: &issued.bundle_pem,
    };
    delivery.write(place.path()).unwrap();

    for name in ["bundle.pem", "key.pem", "svid.pem"] {
        let file = fs::metadata(place.path().join(name)).unwrap();
        let belongs = (file.uid(), file.gid());
        assert_eq!(belongs, (owner.uid(), owner.gid()), "{name}");
    }
    assert_eq!(mode(&place.path().join("key.pem")), 0o600);
}

#[test]
fn the_next_issuer_belongs_to_whom_the_cas_folder_belongs() {
    let place = TempDir::new().unwrap();
    let dir = created(&place);
    // Only root can give a folder away; for others it stays their own, which holds as well.
    let _ = chown(dir.path(), Some(65_534), Some(65_534));
    let owner = fs::metadata(dir.path()).unwrap();

    let (_, renewal) = dir.authority_renewed(at(BORN_S + 5 * DAY_S)).unwrap();

    assert_eq!(renewal, Renewal::Renewed);
    for name in ["issuer/", "issuer/key.pem", "issuer/cert.pem"] {
        let file = fs::metadata(dir.path().join(name)).unwrap();
        let belongs = (file.uid(), file.gid());
        assert_eq!(belongs, (owner.uid(), owner.gid()), "{name}");
    }
    assert_eq!(mode(&dir.path().join("issuer/key.pem")), 0o600);
}

#[test]
fn the_issuer_is_renewed_at_half_life_and_never_outlives_the_root() {
    let root_end_s = BORN_S + ROOT_LIFE_S;
    // Issued at `BORN_S` and backdated 60 s, the first issuer is half way through 30 s before half of seven days.
    let half_s = ISSUER_LIFE_S / 2;
    for (what, age_s, renewal, end_s) in [
        ("at birth", 0, Renewal::NotDue, BORN_S + ISSUER_LIFE_S),
        (
            "just before half life",
            half_s - 31,
            Renewal::NotDue,
            BORN_S + ISSUER_LIFE_S,
        ),
        (
            "at half life",
            half_s - 30,
            Renewal::Renewed,
            BORN_S + half_s - 30 + ISSUER_LIFE_S,
        ),
        (
            "long after its end",
            30 * DAY_S,
            Renewal::Renewed,
            BORN_S + 30 * DAY_S + ISSUER_LIFE_S,
        ),
        (
            "near the root's end",
            ROOT_LIFE_S - DAY_S,
            Renewal::Renewed,
            root_end_s,
        ),
    ] {
        let place = TempDir::new().unwrap();
        let dir = created(&place);
        let now = at(BORN_S + age_s);

        let (authority, seen) = dir.authority_renewed(now).unwrap();
        let (_, again) = dir.authority_renewed(now).unwrap();

        assert_eq!((seen, again), (renewal, Renewal::NotDue), "{what}");
        assert_eq!(
            authority.issuer().certificate().validity().not_after_s,
            end_s,
            "{what}"
        );
        let issuers = if renewal == Renewal::Renewed { 2 } else { 1 };
        assert_eq!(
            names(&dir.path().join("issuers")).len(),
            issuers,
            "{what}: the old one stays"
        );
        authority
            .issue(&orders(), Duration::from_secs(60), now)
            .unwrap();
    }
}

#[test]
fn an_issuer_made_while_the_clock_was_ahead_does_not_stop_the_ca() {
    let place = TempDir::new().unwrap();
    let dir = created(&place);
    let (ahead, right) = (at(BORN_S + 300 * DAY_S), at(BORN_S + 2 * DAY_S));
    assert_eq!(dir.authority_renewed(ahead).unwrap().1, Renewal::Renewed);

    let (authority, renewal) = dir.authority_renewed(right).unwrap();

    assert_eq!(renewal, Renewal::Renewed);
    authority
        .issue(&orders(), Duration::from_secs(60), right)
        .unwrap();
}

#[test]
fn without_the_roots_key_leaves_are_issued_until_the_issuer_ends() {
    let place = TempDir::new().unwrap();
    let dir = created(&place);
    fs::remove_file(dir.path().join("root/key.pem")).unwrap();
    let end_s = BORN_S + ISSUER_LIFE_S;
    let ttl = Duration::from_secs(60);

    let (authority, renewal) = dir.authority_renewed(at(end_s - 10)).unwrap();
    let last = authority.issue(&orders(), ttl, at(end_s - 10)).unwrap();
    let late = authority.issue(&orders(), ttl, at(end_s)).unwrap_err();

    assert_eq!(renewal, Renewal::RootAway);
    assert_eq!(last.leaf.validity().not_after_s, end_s);
    assert_eq!(late.reason(), "issuer_ended");
    assert_eq!(
        late.to_string(),
        format!(
            "nothing can be issued: the issuer ended at {}; put the root's key back, so that the next issuer can be made",
            date(end_s)
        )
    );
}

#[test]
fn after_the_roots_end_nothing_is_issued_and_the_error_says_so() {
    let place = TempDir::new().unwrap();
    let dir = created(&place);

    let error = dir
        .authority_renewed(at(BORN_S + ROOT_LIFE_S))
        .map(|(_, renewal)| renewal)
        .unwrap_err();

    assert_eq!(error.reason(), "root_ended");
}

#[test]
fn a_folder_that_is_not_in_order_is_refused_with_its_reason() {
    type Break = fn(&Path);
    let table: &[(&str, Break, &str)] = &[
        (
            "no format",
            |ca| fs::remove_file(ca.join("format")).unwrap(),
            "dir_no_authority",
        ),
        (
            "a newer format",
            |ca| fs::write(ca.join("format"), "2\n").unwrap(),
            "dir_format",
        ),
        (
            "a key that others may read",
            |ca| {
                fs::set_permissions(ca.join("issuer/key.pem"), fs::Permissions::from_mode(0o640))
                    .unwrap();
            },
            "dir_key_readable",
        ),
        (
            "no issuer's key",
            |ca| fs::remove_file(ca.join("issuer/key.pem")).unwrap(),
            "dir_disk",
        ),
        (
            "no issuer",
            |ca| fs::remove_file(ca.join("issuer")).unwrap(),
            "dir_disk",
        ),
        (
            "half a certificate",
            |ca| fs::write(ca.join("root/cert.pem"), "-----BEGIN").unwrap(),
            "dir_pem",
        ),
        (
            "no key in the key file",
            |ca| fs::write(ca.join("issuer/key.pem"), "").unwrap(),
            "dir_key",
        ),
        (
            "another's key",
            |ca| {
                fs::copy(ca.join("root/key.pem"), ca.join("issuer/key.pem")).unwrap();
            },
            "authority_other_key",
        ),
        (
            "another's issuer",
            |ca| {
                let other = TempDir::new().unwrap();
                let other = created(&other).path().join("issuer");
                for name in ["cert.pem", "key.pem"] {
                    fs::copy(other.join(name), ca.join("issuer").join(name)).unwrap();
                }
            },
            "authority_not_by_root",
        ),
        (
            "a leaf as issuer",
            |ca| {
                let authority = Dir::open(ca).unwrap().authority().unwrap();
                let leaf = authority
                    .issue(&orders(), Duration::from_secs(60), at(BORN_S))
                    .unwrap();
                let end = "-----END CERTIFICATE-----\n";
                let first = &leaf.chain_pem[..leaf.chain_pem.find(end).unwrap() + end.len()];
                fs::write(ca.join("issuer/cert.pem"), first).unwrap();
            },
            "authority_not_ca",
        ),
    ];
    for (what, break_it, reason) in table {
        let place = TempDir::new().unwrap();
        let dir = created(&place);
        break_it(dir.path());

        let error = Dir::open(dir.path())
            .and_then(|dir| dir.authority())
            .map(drop)
            .unwrap_err();

        assert_eq!(error.reason(), *reason, "{what}: {error}");
        assert!(!error.to_string().contains('\n'), "{what}: {error}");
    }
}

#[test]
fn processes_that_renew_at_once_make_one_issuer() {
    let place = TempDir::new().unwrap();
    let dir = created(&place);
    let now = at(BORN_S + 5 * DAY_S);

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                dir.authority_renewed(now)
                    .unwrap()
                    .0
                    .issue(&orders(), Duration::from_secs(60), now)
                    .unwrap()
            });
        }
    });

    assert_eq!(names(&dir.path().join("issuers")).len(), 2);
}
