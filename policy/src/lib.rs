//! Who may: a caller and a request become a [`Permit`], or a [`Denied`] with its reason.
//!
//! In: a [`config::policy::Policy`] (compiled once), who asks, what for. Out: the verdict. Pure: no clock, no I/O, no lock.
//!
//! 1. No rules means no.  2. Deny beats allow in any order.  3. A [`Permit`] is made only here.

pub mod path;

#[cfg(test)]
mod written;

pub mod reading;

mod request;

mod verdict;

mod clause;

mod index;

mod rules;

pub mod explain;

mod coverage;

mod check;

pub use check::{Flaw, Other, Warning, check, check_for};
pub use path::{Ambiguous, Canonical};
pub use reading::Reading;
pub use request::Request;
pub use rules::{CallerRules, Rules};
pub use verdict::{Denied, Nearest, Permit, Reason};
