//! The place between TLS and hyper, on every connection that a stranger opened: [`Guarded`] for HTTP/1, [`Calm`] for HTTP/2.
//!
//! Bytes pass unchanged. [`Guarded`] refuses what hyper would accept, or would refuse without our words; both tell the connection's
//! [`Activity`](crate::activity::Activity) that bytes came, so that a head that never ends is told from a quiet connection, and
//! say a last word to a sidecar whose connection is closed while a request may be coming.

#[allow(
    dead_code,
    unused_imports,
    reason = "a whole machine, also where nobody asks all of it"
)]
mod http1;
mod frame;
mod fields;
mod blocks;
mod bucket;
mod ends;
mod answers;
mod flood;
mod tally;
#[cfg(test)]
mod written;

mod ahead;
mod last;
mod calm;
mod refused;
mod held;
mod half;
mod respelled;
mod guarded;
mod lent;

pub(crate) use ahead::Ahead;
pub(crate) use answers::{Answers, Notice, Wrong};
pub(crate) use blocks::Blocks;
pub(crate) use calm::Calm;
pub(crate) use flood::too_much_of;
pub(crate) use guarded::Guarded;
pub(crate) use held::Held;
pub(crate) use http1::{Answers as Judge, Asked, Bounds, Fault, Kind, Step};
pub(crate) use lent::{Back, Lent};
pub(crate) use respelled::Respelled;
