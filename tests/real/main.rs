//! The real binary, and real parts around it. What a fresh machine lacks is `#[ignore]`d with how to install it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod demo;
mod ca;
mod serve;
mod killed;
mod full;
mod workload_api;
mod operators;
mod readers;
mod pretenders;
mod validators;
mod files;
mod postgres;
mod bulk;
mod renewing;
mod envoy;
mod grpc;
mod interop;
mod rolling;
mod tricks;
mod websocket;
mod frames;
mod redis;
mod clients;
mod outside;
