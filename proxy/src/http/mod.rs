//! HTTP on a listener's connection: from hyper to the first stage and back.

mod observe;
mod check;
mod streams;
mod watchdog;
mod resting;
mod serve;

pub(crate) use check::{Check, Checked};
pub(crate) use observe::{MaybeReady, Observe, Refused};
pub(crate) use serve::{Bounds, Serving, serve};
