//! How a verb fails: one line on standard error and an exit code of the contract.
//!
//! The line is `what went wrong: why; what to do`. A text of several lines (all findings of a document) is printed as it is.

use std::process::ExitCode;

/// Why a verb did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The answer is no (exit code 1); the text, if any, goes to standard error.
    No(String),
    /// The command line, the files or the machine are not fit (exit code 2).
    Unfit(String),
    /// The other side could not be asked (exit code 3).
    Unreachable(String),
}

impl Failure {
    /// Prints the line and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Failure::No(text) => (text, 1),
            Failure::Unfit(text) => (text, 2),
            Failure::Unreachable(text) => (text, 3),
        };
        if !text.is_empty() {
            eprintln!("{text}");
        }
        ExitCode::from(code)
    }
}
