//! The store: what every engine must do, whatever is asked in whatever order; killed at any point; on a full disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod fixture;

mod conformance;
mod crash;
mod full;
mod model;
mod place;
