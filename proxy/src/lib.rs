//! Who talks: socket → TLS → HTTP → policy → route → balance → upstream.
//!
//! ```text
//! inbound   TcpStream -accept-> socket -secure-> Authenticated -front,http-> Checked -admit-> Permitted -forward-> app
//! outbound  TcpStream -accept-> socket -front,http-> Checked -route-> Routed -upstream-> Connected (judged peer) -forward-> wire
//! ```
//!
//! 1. Inbound forwards only a `Permitted` request, made only in `admit`.
//! 2. Outbound forwards only to a service of the configuration, over a connection whose peer was judged to be the pinned identity.
//! 3. What is in force is one immutable snapshot; a reload puts the next one into force whole, or is refused whole.
//! 4. Every request is counted and logged exactly once, however it ends.

mod activity;
mod clock;
mod answer;
mod authority;
mod headers;
mod version;

mod exchange;
mod front;
mod secure;

mod request_body;

mod upstream;

mod response_body;

mod snapshot;
mod world;

mod http;
mod admit;
mod route;
mod forward;
mod tcp;

mod inbound;
mod outbound;

pub use answer::reference as errors_reference;

mod outlook;
mod wanted;
mod pages;
mod listeners;
mod start_error;
mod attached;
mod reload;
mod sidecar;

pub use listeners::ListenError;
pub use sidecar::{Running, start};
pub use start_error::StartError;
