//! What is checked in under `docs/reference/` is what the crate prints.
//!
//! When this fails after a change of the descriptions, regenerate and read the difference:
//! `COUNTERSIGN_REGENERATE=1 cargo test -p countersign-config --test references`
#![allow(clippy::unwrap_used, reason = "tests")]

use countersign_config::Kind;
use std::path::Path;

const REGENERATE: &str =
    "COUNTERSIGN_REGENERATE=1 cargo test -p countersign-config --test references";

#[test]
fn the_references_and_schemas_checked_in_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let regenerate = std::env::var_os("COUNTERSIGN_REGENERATE").is_some();
    let pages = Kind::ALL.into_iter().flat_map(|kind| {
        [
            (format!("{}.yaml", kind.name()), kind.reference()),
            (format!("{}.schema.json", kind.name()), kind.schema()),
        ]
    });
    for (name, text) in pages {
        let file = folder.join(&name);
        if regenerate {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            checked_in == text,
            "docs/reference/{name} is not what the crate prints; run: {REGENERATE}"
        );
    }
}
