//! The seeds, without a fuzzer: what a debugger is attached to, and what a machine without C++ could run.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn every_seed_of_every_target_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut broken = Vec::new();
    for (target, check) in fuzz::checks::ALL {
        let mut seeds = 0;
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            let path = entry.unwrap().path();
            let seed = fs::read(&path).unwrap();
            seeds += 1;
            if catch_unwind(|| check(&seed)).is_err() {
                broken.push(path);
            }
        }
        assert!(seeds >= 10, "{target} has only {seeds} seeds");
    }
    assert_eq!(broken, Vec::<std::path::PathBuf>::new());
}

#[test]
fn every_target_is_built() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut built: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    built.sort();

    let named: Vec<&str> = fuzz::checks::ALL
        .iter()
        .map(|(target, _)| *target)
        .collect();
    assert_eq!(built, named);
}
