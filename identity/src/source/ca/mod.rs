//! What a CA and its client hand each other, judged. Pure but for reading one file: no connection is made here.

mod token;

mod reply;

pub use reply::{Issued, ReplyRefused, statement_from_wire, statement_to_wire};
pub use token::{JoinToken, Readers, TokenError};
