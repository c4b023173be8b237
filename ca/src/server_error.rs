//! Why a CA cannot answer calls, or cannot go on as it should, in words for the person who runs it.

use crate::authority::IssueError;
use crate::dir_error::DirError;
use crate::stated::NotStated;
use crate::store;
use identity::GenerationError;
use std::fmt;
use std::io;

/// Why an authority cannot answer calls, or cannot go on as it should.
#[derive(Debug)]
pub enum ServerError {
    /// Its folder.
    Dir(DirError),
    /// Its own certificate.
    Issue(IssueError),
    /// TLS configurations.
    Tls(GenerationError),
    /// The first statement.
    NotStated(NotStated),
    /// A later statement does not follow.
    Statement(identity::StatementRefused),
    /// What the record states does not name the root under which this authority signs.
    OtherRoots,
    /// It could not be kept, or those before not be read.
    Store(store::Refused),
    /// No threads to sign on.
    Threads(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Dir(error) => error.fmt(f),
            ServerError::Issue(error) => error.fmt(f),
            ServerError::Tls(error) => error.fmt(f),
            ServerError::NotStated(error) => error.fmt(f),
            ServerError::Statement(error) => error.fmt(f),
            ServerError::OtherRoots => f.write_str(
                "the record states other roots than this CA's, whom nobody would believe then: the folder `store` belongs to \
                 another CA; put back its own",
            ),
            ServerError::Store(error) => error.fmt(f),
            ServerError::Threads(error) => write!(
                f,
                "no threads to sign on: {error}; let this user have more of them"
            ),
        }
    }
}
impl std::error::Error for ServerError {}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for ServerError {
            fn from(error: $error) -> Self {
                ServerError::$variant(error)
            }
        }
    )*};
}
from!(
    Dir(DirError),
    Issue(IssueError),
    Tls(GenerationError),
    NotStated(NotStated),
    Statement(identity::StatementRefused),
    Store(store::Refused)
);
