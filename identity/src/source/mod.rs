//! Where generations come from.
pub mod files;
