//! Why a sidecar does not start, or does not take what changed: one line each, or every finding of a document.

use config::{Finding, Findings};
use daemon::bind::BindError;
use identity::source::SourceError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a sidecar does not start, or why a reload was refused.
#[derive(Debug)]
pub enum StartError {
    /// The configuration or the policy has mistakes.
    Config(Findings),
    /// The identity's source is not fit.
    Identity(SourceError),
    /// Another source would have to take over the state directory that this process holds, and there is no identity in it.
    StateHeld(PathBuf),
    /// A socket could not be opened.
    Listen(BindError),
    /// The access log could not be opened.
    AccessLog(PathBuf, std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(findings) => write!(f, "{findings}"),
            Self::Identity(error) => write!(f, "{error}"),
            Self::StateHeld(path) => write!(
                f,
                "identity.stateDir {} is in use by the identity that this would replace, and holds nothing yet that the new one could go on with; ask again with SIGHUP, or name another folder",
                path.display()
            ),
            Self::Listen(error) => write!(f, "{error}"),
            Self::AccessLog(path, error) => {
                write!(
                    f,
                    "cannot write the access log {}: {error}; create its folder or name another file in telemetry.accessLog.to",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

/// A finding about a file as a whole.
pub(crate) fn about(path: &Path, error: &StartError) -> Vec<Finding> {
    match error {
        StartError::Config(findings) => findings.0.clone(),
        other => vec![Finding {
            file: Arc::new(path.to_owned()),
            line: 0,
            column: 0,
            at: String::new(),
            what: other.to_string(),
            help: String::new(),
        }],
    }
}
