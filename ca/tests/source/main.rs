//! The client of the CA against the real CA, over TCP on loopback: what a workload goes through, and who may try to lead it
//! astray.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod fixture;

mod impostor;

mod grace;
mod join;
mod lies;
mod renew;
mod roots;
