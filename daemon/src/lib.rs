//! How we run: what every long-running process of ours shares.
//!
//! In: addresses from the configuration, and what to do with a connection or a page. Out: sockets that are bound or say who
//! has them, loops that no error ends, an end that waits for what is open and counts what it cut. It knows no TLS, no
//! policy and no certificate, and it keeps nothing outside the values it hands out, so that one process can hold many.
//!
//! 1. A stranger can hold a page's connection only for a bounded time and with a bounded head.
//! 2. Nothing that `accept` can say ends a listener or makes it spin.
//! 3. Nobody keeps others away from the pages by holding many connections.
//! 4. What is tracked by a drain ends by itself or is cut and counted; nothing outlives its [`drain::Drain`].

pub mod socket;

pub mod bind;

pub mod drain;

pub mod ending;

pub mod accept;

pub mod places;

pub mod pages;

pub mod health;

pub mod admin;
