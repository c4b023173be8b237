//! Every reason that an answer, the access log or a metric can give, explained: `reasons.md`, a line each.
//!
//! In: nothing. Out: the second half of `docs/reference/errors.md`. A reason itself is written where it arises; the tests read the
//! sources and fail where one arises that has no line, and where a line is about none. Why certificates are refused has a page of
//! its own, `docs/reference/refusals.md`, printed from `identity`.

/// The tables, as Markdown.
pub(crate) const REASONS: &str = include_str!("reasons.md");

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
