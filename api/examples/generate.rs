//! Makes `src/ca_v1.rs` and `src/workload.rs` from the files in `proto/`: `cargo run -p countersign-api --example generate`.
//!
//! The `.proto` files are compiled by protox, in Rust, so that no machine needs protoc. The output is committed; a test
//! (`tests/generated.rs`) makes it again and compares.
use std::error::Error;
use std::path::Path;

/// Each definition, the file that prost names after its package, and the module it becomes.
const FILES: &[(&str, &str, &str)] = &[
    (
        "countersign/ca/v1/ca.proto",
        "countersign.ca.v1.rs",
        "ca_v1.rs",
    ),
    ("spiffe/workload.proto", "_.rs", "workload.rs"),
];

/// Messages with a secret in them: their `Debug` is written by hand.
const SECRET: &[&str] = &[
    ".countersign.ca.v1.JoinRequest",
    ".countersign.ca.v1.JoinRequest.evidence",
    ".X509SVID",
];

/// What stands above the generated code: generators do not know our lints, and write no reasons.
const HEAD: &str = "\
// @generated from proto/PROTO by `cargo run -p countersign-api --example generate`: change that, not this.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = \"generated\"
)]
";

fn main() -> Result<(), Box<dyn Error>> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (module, text) in generated(crate_folder)? {
        std::fs::write(crate_folder.join("src").join(module), text)?;
    }
    Ok(())
}

/// The modules by their file's name in `src`, each with its text.
pub(crate) fn generated(
    crate_folder: &Path,
) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let protos = crate_folder.join("proto");
    let mut modules = Vec::new();
    for (proto, output, module) in FILES {
        let scratch = tempfile::tempdir()?;
        let definition = protox::compile([proto], [&protos])?;
        tonic_prost_build::configure()
            .build_transport(false)
            .emit_rerun_if_changed(false)
            .skip_debug(SECRET)
            .out_dir(scratch.path())
            .compile_fds(definition)?;
        let text = std::fs::read_to_string(scratch.path().join(output))?;
        let head = HEAD.replace("PROTO", proto);
        modules.push((*module, format!("{head}{text}")));
    }
    Ok(modules)
}
