//! The instrument works: a short form of what `bench/README.md` tells to run. The only figures that are judged are those of the
//! flood, which must not keep anybody from renewing.
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

fn no_flood_delays_a_renewal(seconds: &str, workloads: &str) {
    let out = ca(&["flood", seconds, workloads]);

    let said = String::from_utf8(out.stdout).unwrap();
    let failed = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{failed}{said}");
    for kind in [
        "kept connections",
        "new connections",
        "garbage",
        "silence",
        "a byte",
    ] {
        assert!(said.contains(kind), "{said}");
    }
    println!("{said}");
}

/// A budget that shuts renewals out for seconds shows here too.
#[test]
fn a_short_flood_delays_no_renewal_past_half_of_what_is_left() {
    no_flood_delays_a_renewal("8", "20");
}

#[test]
#[ignore = "long: 2 min"]
fn a_flood_delays_no_renewal_past_half_of_what_is_left_and_leaves_memory_flat() {
    no_flood_delays_a_renewal("120", "50");
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
