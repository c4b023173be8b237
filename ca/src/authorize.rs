//! Decides whether an identity may be issued at all.
//!
//! In: the SPIFFE ID that somebody wants, for how long, and the trust domain that we speak for. Out: a [`Grant`], or
//! [`NotGranted`]. Pure. Who asks is not this module's matter: attestation comes before it.
//!
//! 1. An ID of another trust domain is never granted.  2. Nothing under `/countersign/` is: a workload never plays the CA.
//! 3. A `Grant` is made only here.

use config::{SpiffeId, TrustDomain};
use std::fmt;
use std::time::Duration;

/// The shortest life of a leaf: half of it must leave time to fetch the next.
pub const TTL_MIN: Duration = Duration::from_secs(10);
/// How long a leaf lives when nobody asks for another time.
pub const TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// The longest life of a leaf: what is stolen is worth something for at most a day.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const RESERVED: &str = "/countersign/";

/// An identity that may be issued, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    id: SpiffeId,
    ttl: Duration,
}

/// Why an identity is not issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// The ID lies in a trust domain that is not ours.
    ForeignTrustDomain {
        /// What was asked for.
        id: SpiffeId,
        /// What we speak for.
        ours: TrustDomain,
    },
    /// The ID lies under `/countersign/`.
    Reserved {
        /// What was asked for.
        id: SpiffeId,
    },
    /// The trust domain leaves no room for the CA's own ID.
    NoRoom {
        /// What we speak for.
        ours: TrustDomain,
    },
    /// A life outside [`TTL_MIN`] to the maximum.
    Ttl {
        /// What was asked for.
        ttl: Duration,
        /// The most that is granted.
        ttl_max: Duration,
    },
}

impl NotGranted {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            NotGranted::ForeignTrustDomain { .. } => "foreign_trust_domain",
            NotGranted::Reserved { .. } => "reserved_id",
            NotGranted::NoRoom { .. } => "trust_domain_too_long",
            NotGranted::Ttl { .. } => "ttl_out_of_bounds",
        }
    }
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotGranted::ForeignTrustDomain { id, ours } => {
                write!(
                    f,
                    "{id} is not issued: this CA speaks for {ours}; ask for spiffe://{ours}{}",
                    id.path()
                )
            }
            NotGranted::Reserved { id } => {
                write!(
                    f,
                    "{id} is not issued: {RESERVED} belongs to the CA itself; choose another path"
                )
            }
            NotGranted::NoRoom { ours } => {
                write!(
                    f,
                    "{ours} has no room for the CA's own ID; choose a shorter trust domain"
                )
            }
            NotGranted::Ttl { ttl, ttl_max } => {
                let (ttl, min, max) = (ttl.as_secs(), TTL_MIN.as_secs(), ttl_max.as_secs());
                write!(
                    f,
                    "a life of {ttl}s is not granted: it is outside {min}s to {max}s; ask for less and renew"
                )
            }
        }
    }
}
impl std::error::Error for NotGranted {}

impl Grant {
    /// Decides, with the longest life that this CA grants.
    pub fn decide(
        ours: &TrustDomain,
        id: &SpiffeId,
        ttl: Duration,
        ttl_max: Duration,
    ) -> Result<Self, NotGranted> {
        if !id.is_in(ours) {
            return Err(NotGranted::ForeignTrustDomain {
                id: id.clone(),
                ours: ours.clone(),
            });
        }
        if id.path().starts_with(RESERVED) {
            return Err(NotGranted::Reserved { id: id.clone() });
        }
        if ttl < TTL_MIN || ttl > ttl_max {
            return Err(NotGranted::Ttl { ttl, ttl_max });
        }
        Ok(Grant {
            id: id.clone(),
            ttl,
        })
    }

    /// The CA's own identity, which no [`Grant::decide`] gives.
    pub(crate) fn of_the_ca(ours: &TrustDomain, ttl: Duration) -> Result<Self, NotGranted> {
        let id = SpiffeId::parse(&format!("spiffe://{ours}{RESERVED}ca"));
        // A trust domain leaves room for it in every ID.
        let id = id.map_err(|_| NotGranted::NoRoom { ours: ours.clone() })?;
        Ok(Grant { id, ttl })
    }

    /// The identity.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// How long its certificate may live.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(id: &str, ttl_s: u64, wanted: Result<(), &str>) {
        let ours = TrustDomain::parse("shop.example").unwrap();
        let id = SpiffeId::parse(id).unwrap();
        let decided = Grant::decide(&ours, &id, Duration::from_secs(ttl_s), TTL_MAX);
        let seen = decided.map(|grant| assert_eq!(grant.id(), &id));
        assert_eq!(
            seen.map_err(|refused| refused.reason()),
            wanted,
            "{id} for {ttl_s}s"
        );
    }

    #[test]
    fn only_own_and_unreserved_identities_are_granted_for_a_bounded_time() {
        check("spiffe://shop.example/orders", 3600, Ok(()));
        check("spiffe://shop.example/orders", 10, Ok(()));
        check("spiffe://shop.example/orders", 86_400, Ok(()));
        check("spiffe://shop.example/orders", 9, Err("ttl_out_of_bounds"));
        check("spiffe://shop.example/orders", 0, Err("ttl_out_of_bounds"));
        check(
            "spiffe://shop.example/orders",
            86_401,
            Err("ttl_out_of_bounds"),
        );
        check(
            "spiffe://shop.example/orders",
            u64::MAX,
            Err("ttl_out_of_bounds"),
        );
        for foreign in [
            "spiffe://shop.example.org/orders",
            "spiffe://example/orders",
            "spiffe://sub.shop.example/orders",
        ] {
            check(foreign, 3600, Err("foreign_trust_domain"));
        }
        for reserved in ["ca", "anything", "a/b", "countersign/ca"] {
            let id = format!("spiffe://shop.example/countersign/{reserved}");
            check(&id, 3600, Err("reserved_id"));
        }
        // Names that only look like the CA's.
        for free in [
            "countersign",
            "Countersign/ca",
            "countersigned/ca",
            "x/countersign/ca",
        ] {
            check(&format!("spiffe://shop.example/{free}"), 3600, Ok(()));
        }
    }
}
