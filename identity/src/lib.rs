//! Who one is: keys, SVIDs, bundles, verification, and TLS configurations per generation.
//!
//! In: PEM files (by [`source::files`]), later the CA and the Workload API. Out: one [`Generation`] at a time, whole, through
//! [`Current`]; and for a peer's chain a [`Peer`], or a [`Refused`] with a reason that never changes.
//!
//! 1. Anchors are chosen by the leaf's own trust domain, never from a merged pool.
//! 2. A generation is taken whole or refused whole; the old one keeps serving.
//! 3. Nobody's clock is read below [`source`] and [`tls`]: time comes in as an argument.
//! 4. Secrets have no `Debug` that shows them and are wiped on drop.

mod bundle;
mod key;
mod leaf;
mod svid;
mod verify;

mod generation;

pub mod source;

pub use bundle::{Bundle, BundleError, Bundles};
pub use generation::{Alpn, Current, Generation};
pub use key::{Key, KeyError};
pub use leaf::{Leaf, LeafError};
pub use svid::{Svid, SvidError};
pub use verify::{Peer, Refused, Role, Verifier};
