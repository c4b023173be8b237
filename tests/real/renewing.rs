//! `examples/ca` with real curl: a CA that serves, sidecars that join and renew, and what they do while it is away.

use crate::support::example::Example;
use crate::support::process::{countersign, run};
use std::fs;

#[test]
#[ignore = "needs curl and python3: .ci/parts"]
fn the_page_of_the_ca_says_what_happens() {
    Example::copy("ca").follow_all();
}

#[test]
fn every_document_of_the_example_is_valid() {
    let example = Example::copy("ca");
    let mut said = Vec::new();
    for entry in fs::read_dir(example.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ends| ends == "yaml") {
            let ran = run(countersign().args(["config", "check"]).arg(&path));
            assert_eq!(ran.err, "", "{path:?}");
            said.extend(ran.out.lines().map(|line| {
                let name = path.parent().unwrap().display().to_string();
                line.replace(&format!("{name}/"), "")
            }));
        }
    }
    said.sort();
    let wanted = [
        "ca.yaml: a valid ca document",
        "orders.yaml: a valid sidecar document",
        "policy.yaml: a valid policy document",
        "storefront.yaml: a valid sidecar document",
    ];
    assert_eq!(said, wanted);
}
