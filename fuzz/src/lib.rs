//! Every reader of a stranger's bytes, and what must hold of whatever it reads: one module of [`checks`] a target.
//!
//! In: bytes. Out: nothing, or a panic that says which promise was broken.
//!
//! Of `ca`, `telemetry` and `proxy` only the files that read are taken, under the names that they have there: the whole crates would bring
//! a database and a proxy into every build.

pub mod checks;

/// What the targets need not use of a file that they take.
macro_rules! taken {
    ($($path:literal as $name:ident,)*) => {
        $(
            #[path = $path]
            #[allow(dead_code, unused_imports, reason = "its own crate uses the rest")]
            mod $name;
        )*
    };
}

taken! {
    "../../ca/src/der.rs" as der,
    "../../ca/src/text.rs" as text,
    "../../ca/src/key.rs" as key,
    "../../ca/src/csr.rs" as csr,
    "../../ca/src/token.rs" as token,
    "../../telemetry/src/context.rs" as context,
    "../../proxy/src/authority.rs" as authority,
    "../../proxy/src/front/frame.rs" as frame,
    "../../proxy/src/front/fields.rs" as fields,
    "../../proxy/src/front/blocks.rs" as blocks,
    "../../proxy/src/front/bucket.rs" as bucket,
    "../../proxy/src/front/ends.rs" as ends,
    "../../proxy/src/front/answers.rs" as answers,
    "../../proxy/src/front/flood.rs" as flood,
    "../../proxy/src/front/tally.rs" as tally,
    "../../proxy/src/ordered.rs" as ordered,
    "../../proxy/src/headers.rs" as headers,
    "../../proxy/src/front/http1/mod.rs" as http1,
}
