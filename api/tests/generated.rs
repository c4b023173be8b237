//! The generated code in `src` is what the definitions in `proto` say now.
#![allow(clippy::expect_used, reason = "tests")]

#[path = "../examples/generate.rs"]
#[expect(dead_code, reason = "its `main` writes the files")]
mod generate;

use std::path::Path;

#[test]
fn the_generated_code_is_current() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = generate::generated(crate_folder).expect("the definitions compile");

    let stale: Vec<_> = modules
        .iter()
        .filter(|(module, text)| {
            std::fs::read_to_string(crate_folder.join("src").join(module))
                .ok()
                .as_ref()
                != Some(text)
        })
        .map(|(module, _)| module)
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:?}: run `cargo run -p countersign-api --example generate`"
    );
}
