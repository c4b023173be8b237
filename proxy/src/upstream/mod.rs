//! Where requests go: the app behind an inbound listener, or the endpoints of a service.
//!
//! An [`Upstream`] belongs to one generation of identity: when that ends, a new one takes its place, and this one ends
//! with its last request. So no connection is ever used under an identity that it was not made with, nor for a service that
//! is secured in another way.

mod disbelief;
mod io;
mod own;
mod names;
mod dial;
mod means;
mod pool;

pub(crate) use dial::{Aim, Connected, DialError, How, Place, SaidBy, dial};
pub(crate) use disbelief::Disbelief;
pub(crate) use io::{Ending, Io, Open, Opened};
pub(crate) use means::Means;
pub(crate) use names::WEIGHT;
pub(crate) use own::{Listed, Listening, Own};
pub(crate) use pool::{
    AddressSeen, Lease, RESPONSE_HEAD_TOO_LARGE, RESPONSE_TRAILERS_TOO_LARGE, SWITCHED_UNASKED,
    Seen, Tried, Unanswered, Upstream, UpstreamConfig,
};
