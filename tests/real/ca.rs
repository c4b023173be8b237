//! `countersign ca` as an operator meets it: folders, files, modes, exit codes, and one line that says what to do.

use crate::support::process::{Ran, countersign, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

fn ca(place: &TempDir, line: &str) -> Ran {
    run(countersign()
        .current_dir(place)
        .arg("ca")
        .args(line.split(' ')))
}

fn ready() -> TempDir {
    let place = TempDir::new().unwrap();
    let ran = ca(&place, "init --trust-domain shop.example --dir ca");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    place
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_ca_names_its_bundle_its_fingerprint_and_the_next_step() {
    let place = TempDir::new().unwrap();

    let ran = ca(&place, "init --trust-domain shop.example --dir ca");

    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "bundle       ca/bundle.pem");
    let fingerprint = lines[1].strip_prefix("fingerprint  sha256:").unwrap();
    assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|hex| hex.is_ascii_hexdigit()));
    let next = lines[3]
        .strip_prefix("next         countersign ca ")
        .unwrap();
    assert_eq!(
        ca(&place, next).code,
        Some(0),
        "what it says to do next works as it stands"
    );
}

#[test]
fn the_bundle_that_is_shown_is_the_one_beside_the_identity() {
    let place = ready();
    ca(
        &place,
        "issue --dir ca --id spiffe://shop.example/orders --out orders",
    );

    let shown = ca(&place, "bundle show --dir ca");

    assert_eq!(shown.code, Some(0));
    assert_eq!(
        shown.out,
        fs::read_to_string(place.path().join("orders/bundle.pem")).unwrap()
    );
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077", "277"] {
        let place = TempDir::new().unwrap();
        let binary = countersign().get_program().to_owned();
        let script = format!(
            "umask {umask} && \"$0\" ca init --trust-domain shop.example --dir ca && \
             \"$0\" ca issue --dir ca --id spiffe://shop.example/orders --out orders"
        );

        let ran = run(std::process::Command::new("sh")
            .current_dir(&place)
            .args(["-c", &script])
            .arg(binary));

        assert_eq!(ran.code, Some(0), "{umask}: {}", ran.err);
        for (path, wanted) in [
            ("ca", 0o700),
            ("ca/root/key.pem", 0o600),
            ("ca/issuer/key.pem", 0o600),
            ("ca/bundle.pem", 0o644),
            ("orders", 0o700),
            ("orders/key.pem", 0o600),
            ("orders/svid.pem", 0o644),
            ("orders/bundle.pem", 0o644),
        ] {
            assert_eq!(
                mode(&place.path().join(path)),
                wanted,
                "{path} under {umask}"
            );
        }
    }
}

#[test]
fn a_standby_root_is_published_and_its_key_is_where_it_can_be_taken_away() {
    let place = TempDir::new().unwrap();

    let ran = ca(
        &place,
        "init --trust-domain shop.example --dir ca --standby-root",
    );

    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[1].starts_with("fingerprint  sha256:"), "{}", ran.out);
    assert!(lines[2].starts_with("             sha256:"), "{}", ran.out);
    assert!(
        lines[4]
            .ends_with("ca/standby-root/key.pem: move that folder to where no machine reaches it"),
        "{}",
        ran.out
    );
    fs::rename(
        place.path().join("ca/standby-root"),
        place.path().join("away"),
    )
    .unwrap();
    let bundle = ca(&place, "bundle show --dir ca").out;
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    let issue = "issue --dir ca --id spiffe://shop.example/orders --out orders";
    assert_eq!(ca(&place, issue).code, Some(0));
    assert_eq!(
        fs::read_to_string(place.path().join("orders/bundle.pem")).unwrap(),
        bundle
    );
}

#[test]
fn a_request_is_signed_and_no_key_is_written() {
    let place = ready();
    let key = mint::Key::p256();
    let request = mint::CsrDraft::of(&key).sign_pem(&key);
    fs::write(place.path().join("orders.csr"), request).unwrap();

    let ran = ca(
        &place,
        "issue --dir ca --id spiffe://shop.example/orders --csr orders.csr --out orders",
    );

    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let orders = place.path().join("orders");
    assert!(orders.join("svid.pem").is_file() && !orders.join("key.pem").exists());
}

#[test]
fn what_cannot_be_done_is_one_line_with_its_exit_code() {
    let place = ready();
    fs::write(place.path().join("empty.csr"), "").unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    let new = ca(&place, "init --trust-domain shop.example --dir open");
    assert_eq!(new.code, Some(0));
    let key = place.path().join("open/issuer/key.pem");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let issue = "issue --dir ca --id spiffe://shop.example/orders --out orders";
    for (line, code, wanted) in [
        (
            "init --trust-domain shop.example --dir ca",
            2,
            "ca is not touched: something is there already; name a new folder",
        ),
        (
            "init --trust-domain shop.example --dir no/such",
            2,
            "no/.such.incomplete is not made: No such file or directory (os error 2); make the folder above it, or name another",
        ),
        (
            "init --trust-domain shop.example --dir file/ca",
            2,
            "file/.ca.incomplete is not made: Not a directory (os error 20); name another",
        ),
        (
            "init --trust-domain shop.example --dir new --import-root x",
            2,
            "ca init --import-root: not supported yet; leave it out",
        ),
        (
            "issue --id spiffe://shop.example/orders --out orders --socket none.sock",
            3,
            "none.sock: no CA to be asked: there is no such socket; start it with `countersign ca serve`, or name its socket with --socket, or the CA's folder with --dir",
        ),
        (
            "issue --dir no --id spiffe://shop.example/orders --out orders",
            2,
            "no is no CA: it has no file `format`; make one with `countersign ca init --trust-domain TD --dir no`",
        ),
        (
            "issue --dir open --id spiffe://shop.example/orders --out orders",
            2,
            "open/issuer/key.pem is not used: its mode 0644 lets others read it; run `chmod 600 open/issuer/key.pem`, and think about who may have a copy",
        ),
        (
            "issue --dir ca --id spiffe://shop.example/orders --out ca/orders",
            2,
            "ca issue --out ca/orders: it is the CA's own folder; name another",
        ),
        (
            "issue --dir ca --id spiffe://shop.example/orders --out file",
            2,
            "file is not a folder: Not a directory (os error 20); name another",
        ),
        (
            &format!("{issue} --csr none.csr"),
            2,
            "none.csr is not read: No such file or directory (os error 2); name the file with the request",
        ),
        (
            &format!("{issue} --csr empty.csr"),
            1,
            "empty.csr: signing request refused: it is empty; send PKCS#10, DER or PEM",
        ),
        (
            &format!("{issue} --ttl 9s"),
            1,
            "a life of 9s is not granted: it is outside 10s to 86400s; ask for less and renew",
        ),
        (
            "issue --dir ca --id spiffe://other.example/orders --out orders",
            1,
            "spiffe://other.example/orders is not issued: this CA speaks for shop.example; ask for spiffe://shop.example/orders",
        ),
        (
            "issue --dir ca --id spiffe://shop.example/countersign/ca --out orders",
            1,
            "spiffe://shop.example/countersign/ca is not issued: /countersign/ belongs to the CA itself; choose another path",
        ),
    ] {
        let ran = ca(&place, line);

        let expected = format!("{wanted}\n");
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(code), "", expected.as_str()),
            "{line}"
        );
        assert!(!place.path().join("orders").exists(), "{line}");
    }
}

#[test]
fn names_that_are_none_are_one_line_and_exit_code_2() {
    let place = ready();
    for line in [
        "init --trust-domain Shop --dir new",
        "init --trust-domain spiffe://shop.example --dir new",
        "issue --dir ca --id orders --out orders",
        "issue --dir ca --id spiffe://shop.example --out orders",
        "issue --dir ca --id spiffe://shop.example/orders --ttl 5 --out orders",
    ] {
        let ran = ca(&place, line);

        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (Some(2), "", 1),
            "{line}: {}",
            ran.err
        );
        assert!(ran.err.contains("; "), "{line}: {}", ran.err);
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let place = TempDir::new().unwrap();
    for verb in [
        "init",
        "serve",
        "issue",
        "token create",
        "list",
        "show",
        "status",
        "bundle show",
    ] {
        let ran = ca(&place, &format!("{verb} --help"));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{verb}");
        let (_, example) = ran.out.split_once("\nExample").unwrap_or_default();
        let example = example.contains(&format!("countersign ca {verb}"));
        assert!(example, "{}", ran.out);
    }
}

#[test]
fn a_ca_that_is_killed_while_it_begins_is_there_whole_or_not_at_all() {
    let (mut whole, mut nothing) = (0, 0);
    for step in 0..30 {
        let place = TempDir::new().unwrap();
        let mut child = countersign()
            .current_dir(&place)
            .args([
                "ca",
                "init",
                "--trust-domain",
                "shop.example",
                "--dir",
                "ca",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // There is no event to await: the point is to strike at every moment of its short life.
        std::thread::sleep(Duration::from_micros(500 * step));
        child.kill().unwrap();
        child.wait().unwrap();

        if place.path().join("ca").exists() {
            whole += 1;
        } else {
            nothing += 1;
            let again = ca(&place, "init --trust-domain shop.example --dir ca");
            assert_eq!(again.code, Some(0), "after {step}: {}", again.err);
        }

        let issued = ca(
            &place,
            "issue --dir ca --id spiffe://shop.example/orders --out orders",
        );
        assert_eq!(issued.code, Some(0), "after {step}: {}", issued.err);
        let left: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "after {step}: {left:?}");
    }
    assert!(nothing > 0, "{whole} were whole: none was struck in time");
}
