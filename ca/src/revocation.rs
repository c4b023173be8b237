//! What is no longer believed before its end.
//!
//! In: marks, as the store gives them back. Out: whether one of them is about a certificate. Pure. Who may set a mark is not
//! decided here, and none is ever taken away.
//!
//! 1. Marks are counted by an epoch from 1 without gaps: who knows an epoch knows which marks it lacks.
//! 2. A mark on a key or an identity is about every certificate of it, also of those to come.

use crate::record::KeyHash;
use crate::template::Serial;
use config::SpiffeId;
use std::collections::HashSet;
use std::fmt;

/// What a mark is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revoked {
    /// One certificate.
    Serial(Serial),
    /// Every certificate of a key.
    Key(KeyHash),
    /// Every certificate of an identity.
    Id(SpiffeId),
}

impl Revoked {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "revoked"
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is issued: ")?;
        match self {
            Revoked::Serial(serial) => write!(f, "certificate {serial} is revoked; ")?,
            Revoked::Key(key) => write!(f, "the key with hash {key} is revoked; ")?,
            Revoked::Id(id) => {
                return write!(f, "{id} is revoked; ask the operator of the CA");
            }
        }
        f.write_str("make a new key and join with a token")
    }
}
impl std::error::Error for Revoked {}

/// A mark as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its place among all marks, counted from 1.
    pub epoch: u64,
    /// What it is about.
    pub what: Revoked,
    /// When it was set: a second since 1970.
    pub at_s: u64,
}

/// All marks up to an epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revocations {
    epoch: u64,
    marks: HashSet<Revoked>,
}

impl Revocations {
    /// Takes the next marks, in their order. Those that it has already are passed over.
    pub(crate) fn take(&mut self, marks: impl IntoIterator<Item = Mark>) {
        for mark in marks {
            self.epoch = self.epoch.max(mark.epoch);
            self.marks.insert(mark.what);
        }
    }

    /// The last mark's epoch; 0 without any.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a mark is about this certificate, and which.
    pub(crate) fn refuse(
        &self,
        serial: Serial,
        key: KeyHash,
        id: &SpiffeId,
    ) -> Result<(), Revoked> {
        if self.marks.is_empty() {
            return Ok(());
        }
        [
            Revoked::Serial(serial),
            Revoked::Key(key),
            Revoked::Id(id.clone()),
        ]
        .into_iter()
        .find(|what| self.marks.contains(what))
        .map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn serial(seed: u8) -> Serial {
        Serial::from_random([seed; 20])
    }

    fn key(seed: u8) -> KeyHash {
        KeyHash::from_bytes([seed; 32])
    }

    fn id(path: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://shop.example{path}")).unwrap()
    }

    #[test]
    fn a_mark_is_about_what_it_names_and_nothing_else() {
        for what in [
            Revoked::Serial(serial(1)),
            Revoked::Key(key(1)),
            Revoked::Id(id("/orders")),
        ] {
            let mut all = Revocations::default();
            assert_eq!(all.refuse(serial(1), key(1), &id("/orders")), Ok(()));

            all.take([Mark {
                epoch: 1,
                what: what.clone(),
                at_s: 7,
            }]);

            assert_eq!(all.refuse(serial(1), key(1), &id("/orders")), Err(what));
            assert_eq!(all.refuse(serial(2), key(2), &id("/ledger")), Ok(()));
        }
    }

    #[test]
    fn the_epoch_is_that_of_the_last_mark_in_whatever_order_they_come() {
        let mark = |epoch| Mark {
            epoch,
            what: Revoked::Key(key(9)),
            at_s: 7,
        };
        let mut all = Revocations::default();

        all.take([mark(1), mark(3), mark(2)]);

        assert_eq!(all.epoch(), 3);
    }
}
