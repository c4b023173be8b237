//! `GET /status`.

use super::fields::{Fields, Malformed};
use super::list::Listed;
use serde_json::{Value, json};

/// Clients named in a status that do not enforce all that is to be enforced.
pub const LAGGING_MAX: usize = 100;
/// Certificates named in a status that two seem to hold.
pub const CONTESTED_MAX: usize = 100;

/// How a CA stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its trust domain.
    pub trust_domain: String,
    /// Its clock, in seconds since 1970.
    pub now_unix_s: u64,
    /// How many certificates it ever issued.
    pub issued: u64,
    /// The sequence of the newest statement about the roots.
    pub statement_sequence: u64,
    /// The epoch of the last revocation; 0 if there was none.
    pub revocation_epoch: u64,
    /// What ends when: its roots, its issuer, its own certificate.
    pub ends: Vec<End>,
    /// How many clients watch.
    pub streams: u64,
    /// How many of them do not say that they enforce the newest statement and the last revocation.
    pub lagging: u64,
    /// The first [`LAGGING_MAX`] of those, by identity and instance.
    pub lagging_first: Vec<Lagging>,
    /// Certificates that two seem to hold, the latest attempt first; at most [`CONTESTED_MAX`].
    pub contested: Vec<Contested>,
    /// Which identity would be without a certificate first if nothing more were issued; `None` if none has one.
    pub first_to_end: Option<Listed>,
}

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `root`, `issuer` or `leaf`, as in the metric of expiries.
    pub what: String,
    /// Its key identifier or serial in lower-case hexadecimal.
    pub name: String,
    /// Its begin, in seconds since 1970.
    pub not_before_unix_s: u64,
    /// Its end, in seconds since 1970.
    pub not_after_unix_s: u64,
    /// Whether what will take its place is there already, or comes by itself when it is due.
    pub has_successor: bool,
}

impl End {
    fn value(&self) -> Value {
        json!({
            "what": self.what, "name": self.name, "not_before_unix_s": self.not_before_unix_s,
            "not_after_unix_s": self.not_after_unix_s, "has_successor": self.has_successor,
        })
    }

    fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(End {
            what: fields.text("what")?,
            name: fields.text("name")?,
            not_before_unix_s: fields.number("not_before_unix_s")?,
            not_after_unix_s: fields.number("not_after_unix_s")?,
            has_successor: fields.flag("has_successor")?,
        })
    }

    /// Whether half of its life is over and nothing is there to take its place: what `ca status` answers no for.
    pub fn is_overdue(&self, now_unix_s: u64) -> bool {
        let life = self.not_after_unix_s.saturating_sub(self.not_before_unix_s);
        !self.has_successor && now_unix_s >= self.not_before_unix_s.saturating_add(life / 2)
    }
}

/// A client that watches, and does not say that it enforces all that is to be enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagging {
    /// Whom its certificate names.
    pub id: String,
    /// Which instance it says it is; empty until it says so.
    pub instance: String,
    /// The sequence of the statement that it enforces; 0 until it says so.
    pub statement_sequence: u64,
    /// The epoch of the revocations that it enforces; 0 until it says so.
    pub revocation_epoch: u64,
    /// What it said that it cannot enforce.
    pub unsupported: Vec<String>,
}

impl Lagging {
    fn value(&self) -> Value {
        json!({
            "id": self.id, "instance": self.instance,
            "statement_sequence": self.statement_sequence, "revocation_epoch": self.revocation_epoch,
            "unsupported": self.unsupported,
        })
    }

    fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Lagging {
            id: fields.text("id")?,
            instance: fields.text("instance")?,
            statement_sequence: fields.number("statement_sequence")?,
            revocation_epoch: fields.number("revocation_epoch")?,
            unsupported: fields.texts("unsupported")?,
        })
    }
}

/// A certificate whose key two seem to hold: another key than the first asked for its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// Whom it names.
    pub id: String,
    /// Its serial in lower-case hexadecimal.
    pub serial: String,
    /// The serial of the certificate that the first got for it.
    pub successor: String,
    /// SHA-256 of the key of the last who was refused, in lower-case hexadecimal.
    pub refused_key_sha256: String,
    /// When that was for the first time, in seconds since 1970.
    pub first_unix_s: u64,
    /// When that was for the last time, in seconds since 1970.
    pub last_unix_s: u64,
    /// How often.
    pub attempts: u64,
}

impl Contested {
    fn value(&self) -> Value {
        json!({
            "id": self.id, "serial": self.serial, "successor": self.successor,
            "refused_key_sha256": self.refused_key_sha256, "first_unix_s": self.first_unix_s,
            "last_unix_s": self.last_unix_s, "attempts": self.attempts,
        })
    }

    fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Contested {
            id: fields.text("id")?,
            serial: fields.text("serial")?,
            successor: fields.text("successor")?,
            refused_key_sha256: fields.text("refused_key_sha256")?,
            first_unix_s: fields.number("first_unix_s")?,
            last_unix_s: fields.number("last_unix_s")?,
            attempts: fields.number("attempts")?,
        })
    }
}

impl Status {
    /// Its body.
    pub fn to_json(&self) -> String {
        self.value().to_string()
    }

    /// As a value, to be printed.
    pub fn value(&self) -> Value {
        json!({
            "trust_domain": self.trust_domain, "now_unix_s": self.now_unix_s, "issued": self.issued,
            "statement_sequence": self.statement_sequence, "revocation_epoch": self.revocation_epoch,
            "ends": self.ends.iter().map(End::value).collect::<Vec<_>>(),
            "streams": self.streams, "lagging": self.lagging,
            "lagging_first": self.lagging_first.iter().map(Lagging::value).collect::<Vec<_>>(),
            "contested": self.contested.iter().map(Contested::value).collect::<Vec<_>>(),
            "first_to_end": self.first_to_end.as_ref().map(Listed::value),
        })
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(Status {
            trust_domain: fields.text("trust_domain")?,
            now_unix_s: fields.number("now_unix_s")?,
            issued: fields.number("issued")?,
            statement_sequence: fields.number("statement_sequence")?,
            revocation_epoch: fields.number("revocation_epoch")?,
            ends: fields.each("ends", End::from_fields)?,
            streams: fields.number("streams")?,
            lagging: fields.number("lagging")?,
            lagging_first: fields.each("lagging_first", Lagging::from_fields)?,
            contested: fields.each("contested", Contested::from_fields)?,
            first_to_end: fields.optional("first_to_end", |fields, name| {
                Listed::from_fields(&fields.below(name)?)
            })?,
        })
    }
}
