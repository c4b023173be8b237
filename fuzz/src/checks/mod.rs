//! What must hold of whatever a reader takes: a second reading that shares no line with the first agrees. It is a strict
//! model, another library, or the same reader on the same bytes cut differently.

pub mod authority;
pub mod certificate;
pub mod chain;
pub mod csr;
pub mod document;
pub mod field_blocks;
pub mod frames;
pub mod headers;
pub mod http1;
pub mod path;
pub mod policy;
pub mod spiffe_id;
pub mod state;
pub mod statement;
pub mod token;
pub mod trace_context;

mod bytes;
mod hpack;
mod known;

/// A target: bytes in, a panic where something does not hold.
pub type Check = fn(&[u8]);

/// Every target, by its name in `targets/` and `corpus/`.
pub const ALL: &[(&str, Check)] = &[
    ("authority", authority::check),
    ("certificate", certificate::check),
    ("chain", chain::check),
    ("csr", csr::check),
    ("document", document::check),
    ("field_blocks", field_blocks::check),
    ("frames", frames::check),
    ("headers", headers::check),
    ("http1_answers", http1::check_answers),
    ("http1_requests", http1::check_requests),
    ("path", path::check),
    ("policy", policy::check),
    ("spiffe_id", spiffe_id::check),
    ("state", state::check),
    ("statement", statement::check),
    ("token", token::check),
    ("trace_context", trace_context::check),
];
