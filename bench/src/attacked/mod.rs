//! A pair of sidecars under attack: how long others wait meanwhile, what memory it costs and whether that is given back.
//!
//! In: for how long. Out: the latency of one caller in a quiet half and in an attacked half of the same run, the memory of the
//! sidecars before, at most and after, and under which reason each attack was counted. Apart from that, what a quiet connection costs.
//!
//! 1. Sidecars, strangers and the caller are processes of their own; strangers have the least priority, so that what is measured
//!    is what the sidecars make others wait, and not who gets the processor.

mod served;

mod strangers;

mod app;

mod process;

mod call;

mod counted;

mod run;

mod idle;

pub use counted::Counted;
pub use idle::{Cost, Idle};
pub use run::{Attack, Withstood};
pub use served::serve;
pub use strangers::attack;
