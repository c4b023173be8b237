//! Who talks: socket → TLS → HTTP → policy → route → balance → upstream.
//!
//! ```text
//! inbound   Socket -accept-> socket -secure-> Authenticated -front,http-> Checked -admit-> Permitted -forward-> app
//! outbound  Socket -accept-> socket -front,http-> Checked -route-> Routed -upstream-> Connected (judged peer) -forward-> wire
//! ```
//!
//! 1. Inbound forwards only a `Permitted` request, made only in `admit`.
//! 2. Outbound forwards only to a service of the configuration, over a connection whose peer was judged to be the pinned identity.
//! 3. What is in force is one immutable snapshot; a reload puts the next one into force whole, or is refused whole.
//! 4. Every request is counted and logged exactly once, however it ends.

mod abort;
mod far_end;
mod activity;
mod clock;
mod metered;
mod memory;
mod load;
mod reasons;
mod answer;
mod declined;
mod authority;
mod ordered;
mod headers;
mod trail;
mod request_id;
mod interim;
mod spelled;
mod version;
mod wish;
mod whom;
mod expect;
mod over;
mod believed;
mod under_way;

mod exchange;
mod open;
mod front;
mod plain;
mod secure;

mod request_body;

mod upstream;

mod response_body;

mod retry;
mod which;
mod secured;
mod snapshot;
mod uid;
mod news;
mod exposure;
mod passthrough;
mod files;
mod world;
mod still;
mod tcp;
mod upgrade;

mod http;
mod admit;
mod route;
mod forward;

mod inbound;
mod outbound;

pub use answer::reference as errors_reference;

mod outlook;
mod wanted;
mod ending;
mod explain;
mod connections;
mod logging;
mod pages;
mod description;
mod held;
mod open_listener;
mod listeners;
mod start_error;
mod attached;
mod reloaded;
mod look;
mod reload;
mod conduct;
mod lookout;
mod shed;
mod sidecar;

pub use logging::LogFilter;
pub use open::Busy;
pub use reloaded::Reloaded;
pub use sidecar::{Ended, Running, start, start_logging_by};
pub use start_error::StartError;
