//! Where the Workload API is, if the configuration does not say it (Workload Endpoint §4).
//!
//! In: the environment. Out: the path of a socket, or [`EndpointError`]. Pure.

use config::Address;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The standard's variable.
const SPIFFE_ENDPOINT_SOCKET: &str = "SPIFFE_ENDPOINT_SOCKET";

/// Why nobody knows where the Workload API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// The environment does not say it either.
    Unset,
    /// What it says is no unix socket.
    NoSocket {
        /// What it says.
        text: String,
    },
}

impl EndpointError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            EndpointError::Unset => "workload_api_endpoint_unset",
            EndpointError::NoSocket { .. } => "workload_api_endpoint",
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointError::Unset => write!(
                f,
                "{SPIFFE_ENDPOINT_SOCKET} is not set, and `identity.workloadApi` names no socket; write `socket: \"unix:///run/spire/agent.sock\"` there, or set it"
            ),
            EndpointError::NoSocket { text } => write!(
                f,
                "{SPIFFE_ENDPOINT_SOCKET} is `{}`, which is no unix socket; set it to `unix:///`, then the socket's path",
                text.escape_debug()
            ),
        }
    }
}
impl std::error::Error for EndpointError {}

/// The path that the environment names.
pub(super) fn from_environment(
    environment: impl FnOnce(&str) -> Option<OsString>,
) -> Result<PathBuf, EndpointError> {
    let text = environment(SPIFFE_ENDPOINT_SOCKET).ok_or(EndpointError::Unset)?;
    let text = text.to_string_lossy().into_owned();
    match Address::parse(&text) {
        Ok(Address::Unix(path)) => Ok(path),
        Ok(Address::Tcp { .. }) | Err(_) => Err(EndpointError::NoSocket { text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: Option<&str>, expected: Result<&str, &str>) {
        let found = from_environment(|name| {
            assert_eq!(name, "SPIFFE_ENDPOINT_SOCKET");
            set.map(OsString::from)
        });
        assert_eq!(
            found.map_err(|why| why.reason()),
            expected.map(PathBuf::from)
        );
    }

    #[test]
    fn the_environment_s_word_is_a_unix_socket_s_path_or_an_error() {
        check(Some("unix:///run/a.sock"), Ok("/run/a.sock"));
        check(Some("unix:/run/a.sock"), Ok("/run/a.sock"));
        check(None, Err("workload_api_endpoint_unset"));
        check(Some(""), Err("workload_api_endpoint"));
        check(Some("/run/a.sock"), Err("workload_api_endpoint"));
        check(Some("tcp://127.0.0.1:8081"), Err("workload_api_endpoint"));
        check(Some("unix://run/a.sock"), Err("workload_api_endpoint"));
    }
}
