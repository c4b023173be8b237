//! What an operator's verbs and a running CA say to each other over the CA's unix socket: JSON in HTTP.
//!
//! In: a value, or the bytes of the other side. Out: bytes, or the value, or [`Malformed`] with the field at fault.
//!
//! ```text
//! POST /token    TokenCall  -> TokenMade
//! POST /issue    IssueCall  -> IssueMade
//! GET  /list     ListCall as the query -> ListPage
//! GET  /show     ?serial=HEX -> Listed
//! GET  /status              -> Status
//! GET  /bundle              -> the roots now trusted, PEM; ?format=spiffe: as a SPIFFE bundle
//! any            refused    -> Refusal, with a status of 4xx or 5xx
//! ```
//!
//! 1. Unknown fields of an answer are ignored, so that an older command can ask a newer CA; unknown fields of a call are
//!    refused, so that no wish is dropped without a word.
//! 2. `Debug` shows no token.

mod fields;

mod token;

mod issue;

mod list;

mod status;

mod bundle;

mod refusal;

pub use bundle::BundleCall;
pub use fields::Malformed;
pub use issue::{IssueCall, IssueMade};
pub use list::{LIST_MAX, ListCall, ListPage, Listed, ShowCall};
pub use refusal::Refusal;
pub use status::{CONTESTED_MAX, Contested, End, LAGGING_MAX, Lagging, Status};
pub use token::{TokenCall, TokenMade};

#[cfg(test)]
mod tests;
