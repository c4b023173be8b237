//! A whole mesh in this process: apps, sidecars and clients on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod ends;
mod explained;
mod failures;
mod heads;
mod instruments;
mod joined;
mod mistakes;
mod refused_callers;
mod refused_servers;
mod reload;
mod renewal;
mod streams;
mod unfit;
mod workload_api;
