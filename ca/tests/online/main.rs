//! A CA that answers: real sockets, real TLS, the real record on disk, and clients that speak the API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod calls;
mod doors;
mod fixture;
mod impostors;
mod upkeep;
mod watch;
