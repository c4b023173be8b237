//! The strict reading of an X509-SVID leaf (X509-SVID §3, §4).
use config::SpiffeId;
use std::time::SystemTime;
/// What a valid leaf says.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The one URI SAN.
    pub id: SpiffeId,
    /// From when.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// Serial number, lower-case hex without leading zeros of DER.
    pub serial: String,
}
/// Why a leaf is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafError {}
