//! Whether who cannot show its certificate in TLS any more, because that has ended, may still have its successor.
//!
//! In: the leaf, the request and the signature of a stranger, what the record has of that serial, the time of grace, the clock.
//! Out: nothing, or [`ProofRefused`]. Pure.
//!
//! The leaf is taken for no more than a claim: whose key it was, whom it named and when it ended are the record's, which has
//! them of every certificate before that leaves and never changes. So no signature of an issuer is looked at, and it does not
//! matter that the issuer has ended too: a forged leaf that agrees with the record in all of it helps nobody but the holder of
//! the recorded key, since the proof is made with that.
//!
//! 1. What costs nothing comes first: a stranger without a recorded leaf costs a parse and one look-up.
//! 2. Only what has ended is renewed this way, for no longer than the grace, counted from the recorded end.
//! 3. The signature is over the request, which carries the new key: overheard or repeated, a proof is good for that key alone.

use crate::shown::ShownLeaf;
use crate::store::Listed;
use crate::template::Serial;
use crate::text;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is sent in place of a client certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'a> {
    pub(crate) leaf: &'a [u8],
    pub(crate) made_at_unix_ms: i64,
    pub(crate) signature: &'a [u8],
}

/// Why a proof gives no right to a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofRefused {
    /// There is no time of grace here.
    Off,
    /// It was not made about now.
    Untimely {
        /// What the CA's clock shows, in ms since 1970.
        now_unix_ms: i64,
    },
    /// The leaf cannot be read, or none of this form was ever issued here.
    Leaf,
    /// No certificate of this serial was recorded.
    Unknown {
        /// Which serial.
        serial: Serial,
    },
    /// One was, and it says something else.
    Unlike {
        /// Which serial.
        serial: Serial,
    },
    /// The certificate has not ended: it is shown in TLS.
    NotEnded {
        /// Its last second, since 1970.
        not_after_s: u64,
    },
    /// It ended too long ago.
    Over {
        /// Its last second, since 1970.
        not_after_s: u64,
        /// How long it could be renewed after that.
        grace: Duration,
    },
    /// The signature is not of this key over this request and time.
    Signature,
    /// The connection shows a certificate, and the proof is about another.
    OtherLeaf,
}

impl ProofRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            ProofRefused::Off => "grace_off",
            ProofRefused::Untimely { .. } => "proof_untimely",
            ProofRefused::Leaf => "proof_leaf_malformed",
            ProofRefused::Unknown { .. } => "proof_leaf_unknown",
            ProofRefused::Unlike { .. } => "proof_leaf_unlike",
            ProofRefused::NotEnded { .. } => "proof_leaf_not_ended",
            ProofRefused::Over { .. } => "grace_over",
            ProofRefused::Signature => "proof_signature",
            ProofRefused::OtherLeaf => "proof_other_leaf",
        }
    }

    /// Whether the caller showed that the key is its own, and is refused for another reason.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, ProofRefused::Off | ProofRefused::Over { .. })
    }
}

impl fmt::Display for ProofRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("renewal by proof refused: ")?;
        match self {
            ProofRefused::Off => f.write_str(
                "this ca renews no certificate after its end; join with a token, or set graceRenewal",
            ),
            ProofRefused::Untimely { now_unix_ms } => write!(
                f,
                "it was not made within 5 min of the ca's clock, which shows {}; set the clock, or count from that one",
                text::date(u64::try_from(*now_unix_ms).unwrap_or(0) / 1000)
            ),
            ProofRefused::Leaf => f.write_str(
                "its leaf is no certificate of this ca's; send the one that ended, or join with a token",
            ),
            ProofRefused::Unknown { serial } => write!(
                f,
                "the ca has no record of certificate {serial}; join with a token"
            ),
            ProofRefused::Unlike { serial } => write!(
                f,
                "its leaf is not certificate {serial} as the ca recorded it; send that one, or join with a token"
            ),
            ProofRefused::NotEnded { not_after_s } => write!(
                f,
                "its leaf lives until {}; connect with it as the client certificate",
                text::date(*not_after_s)
            ),
            ProofRefused::Over { not_after_s, grace } => write!(
                f,
                "its leaf ended at {}, more than {} s ago; join with a token",
                text::date(*not_after_s),
                grace.as_secs()
            ),
            ProofRefused::Signature => f.write_str(
                "its signature is not by the leaf's key over this request and time; sign both with that key",
            ),
            ProofRefused::OtherLeaf => f.write_str(
                "it is about another certificate than the connection's; leave it out, or connect without one",
            ),
        }
    }
}
impl std::error::Error for ProofRefused {}

impl Proof<'_> {
    /// What it claims, if it is worth a look into the record.
    pub(crate) fn claim(
        &self,
        grace: Duration,
        now: SystemTime,
    ) -> Result<ShownLeaf, ProofRefused> {
        if grace.is_zero() {
            return Err(ProofRefused::Off);
        }
        let now_unix_ms = unix_ms(now);
        if !api::proof::is_timely(self.made_at_unix_ms, now_unix_ms) {
            return Err(ProofRefused::Untimely { now_unix_ms });
        }
        ShownLeaf::read(self.leaf).ok_or(ProofRefused::Leaf)
    }

    /// Whether the claim holds against what is recorded of its serial. Costs one verification, and only if all else agrees.
    pub(crate) fn check(
        &self,
        claimed: &ShownLeaf,
        recorded: Option<&Listed>,
        csr: &[u8],
        grace: Duration,
        now: SystemTime,
    ) -> Result<(), ProofRefused> {
        let serial = claimed.serial;
        let recorded = recorded.ok_or(ProofRefused::Unknown { serial })?;
        if !claimed.is(recorded) {
            return Err(ProofRefused::Unlike { serial });
        }
        let not_after_s = recorded.entry.validity.not_after_s;
        let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_secs());
        if now_s <= not_after_s {
            return Err(ProofRefused::NotEnded { not_after_s });
        }
        if now_s - not_after_s > grace.as_secs() {
            return Err(ProofRefused::Over { not_after_s, grace });
        }
        let message = self.message(csr);
        match claimed.key.verifies(&message, self.signature) {
            true => Ok(()),
            false => Err(ProofRefused::Signature),
        }
    }

    /// SHA-256 of what was signed: what the record keeps as evidence.
    pub(crate) fn evidence(&self, csr: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.message(csr)).as_ref());
        hash
    }

    fn message(&self, csr: &[u8]) -> Vec<u8> {
        api::proof::message(self.leaf, csr, self.made_at_unix_ms)
    }
}

fn unix_ms(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
