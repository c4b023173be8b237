//! The record of issuance and all else that a CA must not forget, on a disk.
//!
//! In: facts of certificates that are about to leave, tokens, statements. Out: [`Recorded`], without which the CA answers nothing,
//! or [`Refused`]; bounded pages of what is there. The caller passes the time. Not here: who may ask, and any certificate.
//!
//! 1. What was answered is on the platter. What was not answered may be there; asking again with the same key finds it.
//! 2. Spending a token, succeeding a certificate and appending to the record are one transaction.
//! 3. A serial stands in the record once; entries have indexes without gaps and never change.
//! 4. A full or failing disk, a full queue, a locked file are values: nothing is half written, and it recovers alone.
//! 5. Renewals go before joins, and neither waits for a place: a full queue refuses.
//!
//! ```text
//! Ledger -queue-> writer: one thread, one fsync for all who wait -append-> schema
//! Ledger -read-> schema: connections that cannot write
//! ```

mod fault;

mod ledger;

mod schema;

mod read;

mod append;

mod queue;

mod writer;

mod sqlite;

pub use fault::{Fault, StoreError};
pub use ledger::{
    Admits, Contested, JoinRecord, LIST_MAX, Ledger, Listed, OperatorRecord, Page, Recorded,
    Refused, RenewRecord, STATEMENT_BYTES_MAX, StatementRefused, StatementSignature,
    StoredStatement, Summary, TokenCreated,
};
pub use sqlite::{QUEUED_MAX, Store};
