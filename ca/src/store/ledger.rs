//! What a store does, whatever engine is behind it.
//!
//! One trait, so that an engine for several replicas can stand beside SQLite, and one suite of tests that every engine passes.

use crate::record::{Entry, Instance, KeyHash, Leaf, LineageRefused};
use crate::revocation::{Mark, Revoked};
use crate::store::fault::Fault;
use crate::template::Serial;
use crate::token::{Terms, TokenHash, TokenRefused};
use config::SpiffeId;
use std::fmt;
use std::future::Future;
use std::time::SystemTime;

/// The most entries on a page.
pub const LIST_MAX: usize = 1000;
/// The longest body of a statement, and the most bytes of its signatures together.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024;

/// A certificate that was issued for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRecord {
    /// The token, which is spent.
    pub token: TokenHash,
    /// The certificate.
    pub leaf: Leaf,
}

/// A certificate that was issued to the holder of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewRecord {
    /// The certificate whose successor it is.
    pub parent: Serial,
    /// Whether that had ended, and the holder proved its key in another way than by mTLS.
    pub in_grace: bool,
    /// SHA-256 of what the holder showed.
    pub evidence: [u8; 32],
    /// The certificate.
    pub leaf: Leaf,
}

/// A certificate that an operator wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRecord {
    /// Which user of the CA's machine.
    pub uid: u32,
    /// SHA-256 of the signing request.
    pub evidence: [u8; 32],
    /// The certificate.
    pub leaf: Leaf,
}

/// A certificate stands in the record: it may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub(in crate::store) index: u64,
    pub(in crate::store) serial: Serial,
    pub(in crate::store) leaf_hash: [u8; 32],
    pub(in crate::store) again: bool,
}

impl Recorded {
    /// Its place in the record, counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }
    /// Which certificate.
    pub fn serial(&self) -> Serial {
        self.serial
    }
    /// The hash of its entry as a leaf of the tree (RFC 6962 §2.1).
    pub fn leaf_hash(&self) -> &[u8; 32] {
        &self.leaf_hash
    }
    /// Whether the same key had got one on the same ground before.
    pub fn again(&self) -> bool {
        self.again
    }

    /// For tests of what comes after the record.
    #[cfg(test)]
    pub(crate) fn made_up(serial: Serial) -> Self {
        Recorded {
            index: 0,
            serial,
            leaf_hash: [0; 32],
            again: false,
        }
    }
}

/// What a token would admit, if nothing changes until it is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admits {
    /// Whom.
    pub id: SpiffeId,
    /// The first second, since 1970, in which the token is no longer good.
    pub ends_s: u64,
    /// Whether this key had been admitted before.
    pub again: bool,
}

/// A token was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCreated {
    /// The first second, since 1970, in which it is no longer good.
    pub ends_s: u64,
}

/// An entry as operators read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What is hashed.
    pub entry: Entry,
    /// Whom the certificate names.
    pub id: SpiffeId,
    /// Which instance asked.
    pub instance: Instance,
    /// Whether a newer certificate took its place: its holder does not depend on it.
    pub replaced: bool,
}

/// Some unexpired certificates, the soonest to end first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most as many as asked for, and [`LIST_MAX`].
    pub listed: Vec<Listed>,
    /// What to ask on with; `None` at the end.
    pub next: Option<(u64, u64)>,
}

/// The record in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many entries it has.
    pub entries: u64,
    /// The hash over all of them.
    pub running_hash: [u8; 32],
    /// The latest time of issue, in seconds since 1970, 0 if nothing was: a clock that stands before it was put back.
    pub last_issued_s: u64,
}

/// A certificate whose key two seem to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contested {
    /// Whom it names.
    pub id: SpiffeId,
    /// The certificate that both hold.
    pub serial: Serial,
    /// The certificate that the first of them got for it.
    pub successor: Serial,
    /// The key of the last who was refused.
    pub refused_key: KeyHash,
    /// When that was for the first time: a second since 1970.
    pub first_s: u64,
    /// When that was for the last time.
    pub last_s: u64,
    /// How often.
    pub attempts: u64,
}

/// A signed statement about the roots, as bytes that this module does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStatement {
    /// Its sequence.
    pub sequence: u64,
    /// What is signed.
    pub body: Vec<u8>,
    /// By whom, in the order in which they were given.
    pub signatures: Vec<StatementSignature>,
}

/// One signature of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementSignature {
    /// The root's key identifier.
    pub root_key_id: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Why a statement is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementRefused {
    /// A newer one is there, or another of the same sequence.
    NotNewer {
        /// Its sequence.
        sequence: u64,
        /// The newest that is there.
        newest: u64,
    },
    /// It is too long.
    Length {
        /// In bytes, with its signatures.
        bytes: usize,
    },
}

/// Why nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token does not admit.
    Token(TokenRefused),
    /// A token of this hash is there already.
    TokenTaken,
    /// The certificate has no such successor.
    Lineage(LineageRefused),
    /// The key, the identity or the certificate to renew is marked.
    Revoked(Revoked),
    /// The serial was used: draw another.
    SerialTaken {
        /// Which serial.
        serial: Serial,
    },
    /// The statement is not one to keep.
    Statement(StatementRefused),
    /// The store cannot.
    Store(Fault),
}

impl Refused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::Token(refused) => refused.reason(),
            Refused::TokenTaken => "token_taken",
            Refused::Lineage(refused) => refused.reason(),
            Refused::Revoked(what) => what.reason(),
            Refused::SerialTaken { .. } => "serial_taken",
            Refused::Statement(StatementRefused::NotNewer { .. }) => "statement_not_newer",
            Refused::Statement(StatementRefused::Length { .. }) => "statement_length",
            Refused::Store(fault) => fault.reason(),
        }
    }

    /// Whether the same question may be answered later: the fault is the store's, not the asker's.
    pub fn is_passing(&self) -> bool {
        matches!(self, Refused::Store(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Token(refused) => fmt::Display::fmt(refused, f),
            Refused::TokenTaken => {
                f.write_str("token not kept: one of the same hash is there; make another")
            }
            Refused::Lineage(refused) => fmt::Display::fmt(refused, f),
            Refused::Revoked(what) => fmt::Display::fmt(what, f),
            Refused::SerialTaken { serial } => write!(
                f,
                "nothing was recorded: serial {serial} is used already; issue again with another"
            ),
            Refused::Statement(StatementRefused::NotNewer { sequence, newest }) => write!(
                f,
                "statement {sequence} not kept: {newest} is there; make the next one from that"
            ),
            Refused::Statement(StatementRefused::Length { bytes }) => write!(
                f,
                "statement not kept: it has {bytes} bytes; keep fewer roots, {STATEMENT_BYTES_MAX} bytes are the most"
            ),
            Refused::Store(fault) => fmt::Display::fmt(fault, f),
        }
    }
}
impl std::error::Error for Refused {}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Refused::$variant(error)
            }
        }
    )*};
}
from!(
    Token(TokenRefused),
    Lineage(LineageRefused),
    Revoked(Revoked),
    Statement(StatementRefused),
    Store(Fault)
);

/// A place where a CA keeps what it must not forget.
///
/// Every answer of a method that writes comes after the platter has it. A future that is dropped may or may not have written.
pub trait Ledger: Send + Sync {
    /// Whether nothing will be recorded any more, whatever becomes of the disk, until the CA starts anew.
    fn is_over(&self) -> bool;

    /// Spends the token and appends the certificate, as one. The same key may do it again until the token ends.
    /// Refuses for the token ([`TokenRefused`]), a mark of revocation, a used serial, or the store. `leaf.issued_at_s` is the time it is judged at.
    fn join(&self, join: JoinRecord) -> impl Future<Output = Result<Recorded, Refused>> + Send;

    /// Appends the successor of a certificate. The same key may do it again; another key is refused and noted as
    /// [`Contested`], and so is what was revoked. Whether the parent has ended was judged before.
    fn renew(&self, renewal: RenewRecord)
    -> impl Future<Output = Result<Recorded, Refused>> + Send;

    /// Appends the certificate. The same key asks again for the same identity as long as it has no successor: two such are
    /// one generation. Refuses for a used serial, or the store.
    fn issue(
        &self,
        wanted: OperatorRecord,
    ) -> impl Future<Output = Result<Recorded, Refused>> + Send;

    /// Marks something as revoked, and says the mark's epoch; of what is marked already, the one that it has. Once this is
    /// answered, nothing more is recorded that the mark is about.
    fn revoke(
        &self,
        what: Revoked,
        now: SystemTime,
    ) -> impl Future<Output = Result<u64, Refused>> + Send;

    /// Marks in the order of their epochs, those after one, at most `limit` and [`LIST_MAX`].
    fn revocations(
        &self,
        after_epoch: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Mark>, Fault>> + Send;

    /// Keeps a new token by its hash.
    fn create_token(
        &self,
        token: TokenHash,
        terms: Terms,
        now: SystemTime,
    ) -> impl Future<Output = Result<TokenCreated, Refused>> + Send;

    /// What a token would admit this key to, without spending it: asked before any work is done for a stranger.
    fn look_up(
        &self,
        token: TokenHash,
        key: KeyHash,
        now: SystemTime,
    ) -> impl Future<Output = Result<Admits, Refused>> + Send;

    /// Unexpired certificates, of one identity or all, the soonest to end first; from the beginning or where a page ended.
    fn list(
        &self,
        of: Option<SpiffeId>,
        now: SystemTime,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, Fault>> + Send;

    /// One certificate, ended or not.
    fn show(&self, serial: Serial) -> impl Future<Output = Result<Option<Listed>, Fault>> + Send;

    /// Which identity would end first if nothing more were issued: the soonest end among certificates that none replaced.
    fn first_to_end(
        &self,
        now: SystemTime,
    ) -> impl Future<Output = Result<Option<Listed>, Fault>> + Send;

    /// Certificates that two seem to hold, the latest attempt first, at most `limit` and [`LIST_MAX`].
    fn contested(&self, limit: usize)
    -> impl Future<Output = Result<Vec<Contested>, Fault>> + Send;

    /// The record in numbers.
    fn summary(&self) -> impl Future<Output = Result<Summary, Fault>> + Send;

    /// Canonical entries in their order, from an index on, at most `limit` and [`LIST_MAX`].
    fn entries(
        &self,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, Fault>> + Send;

    /// Statements in their order, from a sequence on, at most `limit` and [`LIST_MAX`].
    fn statements(
        &self,
        from: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<StoredStatement>, Fault>> + Send;

    /// Keeps the next statement. The very same one again is no error.
    fn append_statement(
        &self,
        statement: StoredStatement,
    ) -> impl Future<Output = Result<(), Refused>> + Send;
}
