//! The CA's folder, as the verbs that work without a running CA use it, and how its errors end a verb.

use crate::failure::Failure;
use ca::{Dir, DirError, IssueError};
use std::path::Path;

/// The folder that `--dir` names.
pub(super) fn open(dir: &Path) -> Result<Dir, Failure> {
    Dir::open(dir).map_err(unfit)
}

/// Refusing an identity or a request is an answer; everything else means that this CA is not fit to give one.
pub(super) fn refused(error: IssueError) -> Failure {
    match error {
        IssueError::Csr(_) | IssueError::NotGranted(_) => Failure::No(error.to_string()),
        _ => Failure::Unfit(error.to_string()),
    }
}

/// A folder that cannot be used is a reason not to start.
pub(super) fn unfit(error: DirError) -> Failure {
    Failure::Unfit(error.to_string())
}
