//! Where generations come from.
pub mod ca;

pub mod files;
