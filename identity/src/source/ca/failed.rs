//! Why an attempt at the CA came to nothing.

use super::answer::Answer;
use super::reply::ReplyRefused;
use super::token::TokenError;
use crate::{CsrError, GenerationError, KeyError, Refused, StateError, StatementRefused};
use std::fmt;
use std::io;
use std::time::Duration;

/// Why an attempt came to nothing. What was believed and served before stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failed {
    /// The CA's name leads nowhere.
    Resolve {
        /// Where the CA should be.
        address: String,
        /// What the resolver says.
        why: io::Error,
    },
    /// Nobody takes the connection.
    Connect {
        /// Where the CA should be.
        address: String,
        /// What the system says.
        why: io::Error,
    },
    /// It took too long.
    Slow {
        /// Where the CA should be.
        address: String,
        /// What was waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// Who is there is not the CA.
    Impostor {
        /// Where the CA should be.
        address: String,
        /// Why it is not believed.
        why: Refused,
    },
    /// The TLS handshake failed otherwise.
    Handshake {
        /// Where the CA should be.
        address: String,
        /// A label for how.
        how: &'static str,
        /// What the library says.
        why: io::Error,
    },
    /// The connection broke before there was an answer.
    Lost {
        /// Where the CA should be.
        address: String,
        /// How.
        why: String,
    },
    /// The CA refused.
    Answer(Answer),
    /// The CA does not renew any more, and joining anew failed too.
    Anew {
        /// Why it does not.
        renewal: Answer,
        /// Why joining failed.
        join: Box<Failed>,
    },
    /// This process is ending.
    Interrupted,
    /// What it says of the roots is not believed.
    Statement(StatementRefused),
    /// What it issued is not used.
    Reply(ReplyRefused),
    /// There is no token to join with.
    Token(TokenError),
    /// There is no key to ask for.
    Key(KeyError),
    /// There is no request to send.
    Csr(CsrError),
    /// No TLS configuration could be made.
    Tls(rustls::Error),
    /// No generation came of what was issued.
    Generation(GenerationError),
    /// What should be kept is not.
    State(StateError),
}

impl Failed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Failed::Resolve { .. } => "ca_not_found",
            Failed::Connect { .. } => "ca_unreachable",
            Failed::Slow { .. } => "ca_timeout",
            Failed::Impostor { why, .. } => why.reason(),
            Failed::Handshake { how, .. } => how,
            Failed::Lost { .. } => "ca_connection_lost",
            Failed::Answer(answer) => answer.reason(),
            Failed::Anew { renewal, .. } => renewal.reason(),
            Failed::Interrupted => "interrupted",
            Failed::Statement(why) => why.reason(),
            Failed::Reply(why) => why.reason(),
            Failed::Token(why) => why.reason(),
            Failed::Key(why) => why.reason(),
            Failed::Csr(_) => "csr",
            Failed::Tls(_) | Failed::Generation(_) => "tls_configuration",
            Failed::State(why) => why.reason(),
        }
    }

    /// Whether the CA was there and spoke; `None`: it was not asked.
    pub(super) fn reached(&self) -> Option<bool> {
        match self {
            Failed::Resolve { .. }
            | Failed::Connect { .. }
            | Failed::Slow { .. }
            | Failed::Impostor { .. }
            | Failed::Handshake { .. }
            | Failed::Lost { .. } => Some(false),
            Failed::Answer(_) | Failed::Statement(_) | Failed::Reply(_) => Some(true),
            Failed::Anew { join, .. } => join.reached(),
            _ => None,
        }
    }

    /// How long the CA asks to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Failed::Answer(answer) => answer.wait(),
            Failed::Anew { join, .. } => join.wait(),
            _ => None,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Resolve { address, why } => write!(
                f,
                "the CA at {address} is not found: {why}; check identity.ca.address and the name service"
            ),
            Failed::Connect { address, why } => write!(
                f,
                "the CA at {address} does not answer: {why}; check that `countersign ca serve` runs there and that the \
                 network lets it through"
            ),
            Failed::Slow {
                address,
                doing,
                after,
            } => write!(
                f,
                "the CA at {address} does not answer: {doing} took more than {} ms; check its load and the network",
                after.as_millis()
            ),
            Failed::Impostor { address, why } => write!(
                f,
                "who answers at {address} is not believed to be the CA: {why}; check identity.ca.address and both clocks, \
                 and name a new identity.stateDir if the CA was made anew"
            ),
            Failed::Handshake { address, how, why } => write!(
                f,
                "no TLS connection to the CA at {address}: {why} ({how}); check that the CA listens there"
            ),
            Failed::Lost { address, why } => write!(
                f,
                "the connection to the CA at {address} broke: {why}; look at the CA's log"
            ),
            Failed::Answer(answer) => answer.fmt(f),
            Failed::Anew { renewal, join } => {
                write!(f, "{renewal}; and joining anew fails too: {join}")
            }
            Failed::Interrupted => f.write_str("this process is ending"),
            Failed::Statement(why) => why.fmt(f),
            Failed::Reply(why) => why.fmt(f),
            Failed::Token(why) => why.fmt(f),
            Failed::Key(why) => why.fmt(f),
            Failed::Csr(why) => why.fmt(f),
            Failed::Tls(why) => write!(f, "no TLS configuration could be made: {why}"),
            Failed::Generation(why) => why.fmt(f),
            Failed::State(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failed::Resolve { why, .. }
            | Failed::Connect { why, .. }
            | Failed::Handshake { why, .. } => Some(why),
            Failed::Impostor { why, .. } => Some(why),
            Failed::Statement(why) => Some(why),
            Failed::Reply(why) => Some(why),
            Failed::Token(why) => Some(why),
            Failed::Key(why) => Some(why),
            Failed::Csr(why) => Some(why),
            Failed::Tls(why) => Some(why),
            Failed::Generation(why) => Some(why),
            Failed::State(why) => Some(why),
            Failed::Anew { join, .. } => Some(join),
            Failed::Slow { .. } | Failed::Lost { .. } | Failed::Answer(_) | Failed::Interrupted => {
                None
            }
        }
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Failed::$variant(error)
            }
        }
    )*};
}
from!(
    Statement(StatementRefused),
    Reply(ReplyRefused),
    Token(TokenError),
    Key(KeyError),
    Csr(CsrError),
    Tls(rustls::Error),
    Generation(GenerationError),
    State(StateError)
);
