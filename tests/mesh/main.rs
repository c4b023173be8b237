//! A whole mesh in this process: apps, sidecars and clients on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod aborted;
mod admin;
mod bounds;
mod cased;
mod changed;
mod connect;
mod connections;
mod corpus;
mod declined;
mod demo;
mod disbelieved;
mod drain;
mod edges;
mod ends;
mod explained;
mod exposed;
mod forbidden;
mod failures;
mod guard;
mod halves;
mod heads;
mod http2;
mod hygiene;
mod http2_answers;
mod instruments;
mod interim;
mod joined;
mod large;
mod lies;
mod loops;
mod memory;
mod mistakes;
mod outside;
mod paths;
mod plaintext;
mod refused_callers;
mod refused_servers;
mod reload;
mod reloads;
mod renewal;
mod run;
mod retries;
mod rolling;
mod sockets;
mod status;
mod streams;
mod targets;
mod tricks;
mod unfit;
mod upgrades;
mod workload_api;
