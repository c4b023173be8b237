//! What is said: between workloads and their CA, and between workloads and their agent.
//!
//! In: the definitions in `proto/`. Out: the messages, clients and servers made of them ([`ca_v1`], [`workload`]), the bounds
//! that both sides hold each other to, the form of a refusal, and what a proof of a key signs. Not here: sockets, TLS and
//! decisions; the clients and servers run over any connection that they are given.
//!
//! 1. The generated code is what the definitions say (`tests/generated.rs`); no machine needs protoc.
//! 2. `Debug` of a message shows no token and no key.

/// The CA's API, package `countersign.ca.v1`.
#[rustfmt::skip]
pub mod ca_v1;

/// The SPIFFE Workload API, its X.509 half.
#[rustfmt::skip]
pub mod workload;

mod secret;

pub mod bounds;

pub mod refusal;

pub mod proof;

pub mod admin;
