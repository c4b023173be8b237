//! The instrument works: a short form of what `bench/README.md` tells to run. No figure is judged here.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn ca(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ca"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn renewals_and_joins_are_measured_beside_the_bare_loop() {
    let out = ca(&["issuance", "1", "24", "8"]);

    let said = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for kind in ["bare loop", "renewals", "joins"] {
        assert!(said.contains(kind), "{said}");
    }
    assert_eq!(said.matches("times the bare loop").count(), 2, "{said}");
}

#[test]
fn a_crowd_that_comes_at_once_gets_its_identities() {
    let out = ca(&["crowd", "40"]);

    let said = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(said.contains("0 failed"), "{said}");
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_usage() {
    for wrong in [
        &[][..],
        &["nothing"],
        &["crowd", "0"],
        &["issuance", "many"],
    ] {
        let out = ca(wrong);

        assert!(!out.status.success(), "{wrong:?}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.starts_with("ca: usage: "), "{said}");
    }
}
