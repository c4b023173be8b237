//! What a certificate shall say, as a value: the policy of this CA, written once.
//!
//! In: a [`Grant`] and a [`Csr`] (or a trust domain and an authority's key), a [`Serial`], the time, and the issuer's
//! validity. Out: a [`Template`]. Pure: randomness and time come in as arguments.
//!
//! 1. A leaf names one SPIFFE ID and nothing else: no subject, no DNS name.
//! 2. No child lives longer than its parent, or began before it.
//! 3. Everything begins 60 s before it is issued, so that peers whose clocks are late believe it.
//! 4. A serial is positive and carries 158 random bits.

use crate::authorize::Grant;
use crate::csr::Csr;
use crate::key::PublicKey;
use crate::text;
use config::TrustDomain;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long before its issue a certificate begins, in seconds.
pub const BACKDATED_S: u64 = 60;
/// How long a root lives, in seconds: two years.
pub const ROOT_LIFE_S: u64 = 2 * 365 * 24 * 60 * 60;
/// How long an issuer lives, in seconds: seven days.
pub const ISSUER_LIFE_S: u64 = 7 * 24 * 60 * 60;

/// A serial number: 20 octets, the most that RFC 5280 §4.1.2.2 allows, never negative, never shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial([u8; 20]);

impl Serial {
    /// Keeps 158 of the 160 random bits; the other two make it positive and of full length.
    pub fn from_random(mut octets: [u8; 20]) -> Self {
        octets[0] = octets[0] & 0x7f | 0x40;
        Serial(octets)
    }

    /// Reads one of ours back, from a certificate, a record or what an operator typed; `None` for what no CA of this kind issues.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let octets: [u8; 20] = octets.try_into().ok()?;
        let serial = Self::from_random(octets);
        (serial.0 == octets).then_some(serial)
    }

    /// Reads what [`Display`](fmt::Display) printed: lower-case hexadecimal, whole; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut octets = [0; 20];
        let digits = text.as_bytes();
        if digits.len() != 2 * octets.len() {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                *octet = *octet << 4 | value;
            }
        }
        Self::from_octets(&octets)
    }

    /// Big-endian.
    pub fn octets(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}

/// From when until when, both inclusive, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before_s: u64,
    /// The last second.
    pub not_after_s: u64,
}

impl Validity {
    /// Half way through, when a successor is due: a second since 1970.
    pub fn half_s(&self) -> u64 {
        self.not_before_s + self.not_after_s.saturating_sub(self.not_before_s) / 2
    }

    /// The middle, as the system counts time.
    pub fn half(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.half_s())
    }

    /// The end, as the system counts time.
    pub fn not_after(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.not_after_s)
    }
}

/// What kind of certificate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A workload's: signs handshakes, no certificates.
    Leaf,
    /// Signs leaves, and nothing that signs.
    Issuer,
    /// Signs issuers. Without a path length, so that an offline tier can stand between.
    Root,
}

impl Profile {
    fn word(self) -> &'static str {
        match self {
            Profile::Leaf => "leaf",
            Profile::Issuer => "issuer",
            Profile::Root => "root",
        }
    }
}

/// Everything that a certificate shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(crate) profile: Profile,
    pub(crate) serial: Serial,
    /// The one URI SAN.
    pub(crate) uri: String,
    /// The one common name. A leaf has none; authorities each have another, because Go gives up on many with one name.
    pub(crate) common_name: Option<String>,
    pub(crate) validity: Validity,
    pub(crate) key: PublicKey,
    pub(crate) issued_at_s: u64,
}

/// Why no certificate can be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// The parent has ended.
    ParentEnded {
        /// Which parent.
        parent: Profile,
        /// Its last second, since 1970.
        not_after_s: u64,
    },
    /// The clock stands before the parent began.
    BeforeParent {
        /// Which parent.
        parent: Profile,
        /// Its first second, since 1970.
        not_before_s: u64,
        /// The clock, in seconds since 1970.
        now_s: u64,
    },
    /// The clock stands where no certificate can be dated.
    Clock {
        /// The clock, in seconds since 1970; 0 if before.
        now_s: u64,
    },
}

impl NotNow {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            NotNow::ParentEnded {
                parent: Profile::Root,
                ..
            } => "root_ended",
            NotNow::ParentEnded { .. } => "issuer_ended",
            NotNow::BeforeParent { .. } => "clock_before_parent",
            NotNow::Clock { .. } => "clock_absurd",
        }
    }
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing can be issued: ")?;
        match self {
            NotNow::ParentEnded {
                parent: Profile::Root,
                not_after_s,
            } => write!(
                f,
                "the root ended at {}, and nobody believes what it signed; start anew with `countersign ca init`",
                text::date(*not_after_s)
            ),
            NotNow::ParentEnded { not_after_s, .. } => write!(
                f,
                "the issuer ended at {}; put the root's key back, so that the next issuer can be made",
                text::date(*not_after_s)
            ),
            NotNow::BeforeParent {
                parent,
                not_before_s,
                now_s,
            } => write!(
                f,
                "the clock says {}, but the {} begins at {}; set the clock",
                text::date(*now_s),
                parent.word(),
                text::date(*not_before_s)
            ),
            NotNow::Clock { now_s } => {
                write!(f, "the clock says {}; set the clock", text::date(*now_s))
            }
        }
    }
}
impl std::error::Error for NotNow {}

impl Template {
    /// A workload's certificate under an issuer of this validity.
    pub fn leaf(
        grant: &Grant,
        csr: &Csr,
        serial: Serial,
        issuer: Validity,
        now: SystemTime,
    ) -> Result<Self, NotNow> {
        let issued_at_s = clock_s(now)?;
        Ok(Template {
            profile: Profile::Leaf,
            serial,
            uri: grant.id().as_str().to_owned(),
            common_name: None,
            validity: within(Profile::Issuer, issuer, issued_at_s, grant.ttl().as_secs())?,
            key: csr.key().clone(),
            issued_at_s,
        })
    }

    /// An issuer's certificate under a root of this validity.
    pub fn issuer(
        domain: &TrustDomain,
        key: &PublicKey,
        serial: Serial,
        root: Validity,
        now: SystemTime,
    ) -> Result<Self, NotNow> {
        let issued_at_s = clock_s(now)?;
        let validity = within(Profile::Root, root, issued_at_s, ISSUER_LIFE_S)?;
        Ok(Self::authority(
            Profile::Issuer,
            domain,
            key,
            serial,
            validity,
            issued_at_s,
        ))
    }

    /// A root's certificate.
    pub fn root(
        domain: &TrustDomain,
        key: &PublicKey,
        serial: Serial,
        now: SystemTime,
    ) -> Result<Self, NotNow> {
        let issued_at_s = clock_s(now)?;
        let validity = Validity {
            not_before_s: issued_at_s - BACKDATED_S,
            not_after_s: issued_at_s + ROOT_LIFE_S,
        };
        Ok(Self::authority(
            Profile::Root,
            domain,
            key,
            serial,
            validity,
            issued_at_s,
        ))
    }

    fn authority(
        profile: Profile,
        domain: &TrustDomain,
        key: &PublicKey,
        serial: Serial,
        validity: Validity,
        issued_at_s: u64,
    ) -> Self {
        Template {
            profile,
            serial,
            uri: format!("spiffe://{domain}"),
            common_name: Some(format!("countersign {} {}", profile.word(), short_id(key))),
            validity,
            key: key.clone(),
            issued_at_s,
        }
    }
}

/// The first eight bytes of the key identifier in hex: tells authorities apart, in names and on disk.
pub fn short_id(key: &PublicKey) -> String {
    text::hex(&key.id()[..8])
}

/// The clock, refused where dates of certificates (years 1970 to 9999, RFC 5280 §4.1.2.5) would run out.
fn clock_s(now: SystemTime) -> Result<u64, NotNow> {
    const LAST_S: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    let now_s = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if (BACKDATED_S..LAST_S - ROOT_LIFE_S).contains(&now_s) {
        Ok(now_s)
    } else {
        Err(NotNow::Clock { now_s })
    }
}

fn within(
    parent: Profile,
    of_parent: Validity,
    now_s: u64,
    life_s: u64,
) -> Result<Validity, NotNow> {
    let Validity {
        not_before_s,
        not_after_s,
    } = of_parent;
    if now_s >= not_after_s {
        return Err(NotNow::ParentEnded {
            parent,
            not_after_s,
        });
    }
    if now_s < not_before_s {
        return Err(NotNow::BeforeParent {
            parent,
            not_before_s,
            now_s,
        });
    }
    Ok(Validity {
        not_before_s: not_before_s.max(now_s - BACKDATED_S),
        not_after_s: not_after_s.min(now_s + life_s),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::key::KeyType;
    use identity::Key;

    const PARENT: Validity = Validity {
        not_before_s: 1_000_000,
        not_after_s: 2_000_000,
    };

    fn check(now_s: u64, life_s: u64, wanted: Result<(u64, u64), &str>) {
        let made = within(Profile::Issuer, PARENT, now_s, life_s)
            .map(|validity| (validity.not_before_s, validity.not_after_s))
            .map_err(|refused| refused.reason());
        assert_eq!(made, wanted, "at {now_s} for {life_s}");
    }

    #[test]
    fn a_child_begins_a_minute_early_and_stays_within_its_parent() {
        check(1_500_000, 3600, Ok((1_499_940, 1_503_600)));
        check(1_000_000, 3600, Ok((1_000_000, 1_003_600)));
        check(1_000_060, 3600, Ok((1_000_000, 1_003_660)));
        check(1_999_000, 3600, Ok((1_998_940, 2_000_000)));
        check(1_999_999, 3600, Ok((1_999_939, 2_000_000)));
        check(2_000_000, 3600, Err("issuer_ended"));
        check(9_000_000, 3600, Err("issuer_ended"));
        check(999_999, 3600, Err("clock_before_parent"));
    }

    #[test]
    fn a_clock_that_is_absurd_is_refused_and_never_panics() {
        let domain = TrustDomain::parse("shop.example").unwrap();
        let key = PublicKey::from_spki(&Key::generate().unwrap().spki()).unwrap();
        assert_eq!(key.key_type(), KeyType::P256);
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        let year_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        for clock in [before_1970, UNIX_EPOCH, year_9999] {
            let serial = Serial::from_random([0; 20]);
            let refused = Template::root(&domain, &key, serial, clock).unwrap_err();
            assert_eq!(refused.reason(), "clock_absurd", "{refused}");
        }
    }

    #[test]
    fn a_serial_is_positive_and_always_of_twenty_octets() {
        for random in [[0; 20], [0xff; 20], [0x80; 20]] {
            let serial = Serial::from_random(random);
            assert!((0x40..0x80).contains(&serial.octets()[0]), "{serial}");
            assert_eq!(serial.octets()[1..], random[1..]);
        }
    }
}
