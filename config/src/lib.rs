//! What is wanted: text becomes valid values, or every finding with its line.
//!
//! In: the text of a sidecar, CA or policy document and the folder that its relative paths start from. Out: one valid
//! value, or [`Findings`]: everything that is wrong with it, each with file, line and column, what was seen and what is
//! wanted. No async, no sockets, no clock; files are read only by [`sidecar::Sidecar::load`] and its siblings.
//!
//! 1. A value of these types is valid: nothing downstream checks it again.
//! 2. Reading never stops at the first mistake.
//! 3. A key whose feature is not built yet is a finding (`not supported yet`), never ignored.

pub mod name;

pub mod address;
pub mod endpoint;
pub mod unit;

pub mod finding;

mod yaml;

mod notes;

mod describe;

mod read;

mod key;

mod form;

mod listener;
mod probes;

pub mod ca;
pub mod sidecar;

pub mod policy;

mod reference;
mod schema;
mod show;

pub mod document;

pub use address::Address;
pub use document::{Document, Kind};
pub use endpoint::Endpoint;
pub use finding::{Finding, Findings};
pub use name::{HostPattern, IdPattern, NameError, PLAINTEXT, PathPattern, SpiffeId, TrustDomain};
pub use notes::text_of;
