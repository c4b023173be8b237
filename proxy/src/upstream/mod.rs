//! Where requests go: the app behind an inbound listener, or the endpoints of a service.
//!
//! An [`Upstream`] belongs to one generation of identity: when that ends, a new one takes its place, and this one ends
//! with its last request. So no connection is ever used under an identity that it was not made with.

mod io;
mod dial;
mod pool;

pub(crate) use dial::{Connected, DialError, How, dial};
pub(crate) use io::{Ending, Io};
pub(crate) use pool::{Lease, Unanswered, Upstream, UpstreamConfig};
