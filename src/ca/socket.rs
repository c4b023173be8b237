//! Asking a running CA over its admin socket.
//!
//! In: a call of [`api::admin`]. Out: the body of its answer, or how the verb ends: the CA's own line where it refuses, and a
//! line about the socket where it could not be asked or what answers is no CA.
//!
//! 1. Whatever answers is bounded: [`WITHIN`] for all of a call, [`BYTES_MAX`] of an answer.
//! 2. Nothing of an answer reaches a terminal but printable text.

use crate::asking::{Door, Unanswered, exchange};
use crate::failure::Failure;
use crate::output::printable;
use api::admin::{Malformed, Refusal};
use bytes::Bytes;
use clap::Args;
use config::ca::SOCKET_DEFAULT;
use http_body_util::Full;
use hyper::{Method, Request};
use std::fmt::Display;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Names the socket, where the command line does not.
const VARIABLE: &str = "COUNTERSIGN_CA_SOCKET";
/// How long a call may take. The CA gives up on one after half of that.
const WITHIN: Duration = Duration::from_secs(10);
/// The most that is taken of an answer: a full page of the longest names is less than half.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the CA is asked.
#[derive(Debug, Args)]
pub(crate) struct SocketOption {
    /// The socket of the running CA [env: COUNTERSIGN_CA_SOCKET] [default: /run/countersign/ca.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketOption {
    /// The one that is named, on the command line before the environment.
    pub(super) fn socket(self) -> Result<Socket, Failure> {
        self.socket_else("")
    }

    /// The same, for verbs that work from the CA's folder too.
    pub(super) fn socket_or_dir(self) -> Result<Socket, Failure> {
        self.socket_else(", or the CA's folder with --dir")
    }

    fn socket_else(self, instead: &'static str) -> Result<Socket, Failure> {
        let variable = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
        let path = self.socket.or_else(|| variable().map(PathBuf::from));
        Socket::at(path.unwrap_or_else(|| SOCKET_DEFAULT.into()), instead)
    }
}

/// A CA that may answer.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    /// What else can be named, to end a line with.
    instead: &'static str,
    runtime: Runtime,
}

/// Why a CA could not be asked.
#[derive(Debug)]
enum Unasked {
    /// No answer came.
    Unanswered(Unanswered),
    /// No refusal as a CA writes it.
    Status { status: u16, text: String },
    /// It is not what was asked for.
    Malformed(Malformed),
}

impl Socket {
    fn at(path: PathBuf, instead: &'static str) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| {
            Failure::Unfit(format!(
                "cannot wait for an answer: {error}; is a limit of open files reached?"
            ))
        })?;
        Ok(Socket {
            path,
            instead,
            runtime,
        })
    }

    /// Looks.
    pub(super) fn get(&self, target: &str) -> Result<Bytes, Failure> {
        self.ask(Method::GET, target, "")
    }

    /// Changes something.
    pub(super) fn post(&self, target: &str, body: &str) -> Result<Bytes, Failure> {
        self.ask(Method::POST, target, body)
    }

    /// What an answer says, by its reader in [`api::admin`].
    pub(super) fn read<T>(&self, read: Result<T, Malformed>) -> Result<T, Failure> {
        read.map_err(|malformed| self.failure(&Unasked::Malformed(malformed)))
    }

    /// An answer that nobody can use, in the line of a CA that cannot be asked.
    pub(super) fn unusable(&self, why: impl Display) -> Failure {
        Failure::Unreachable(format!(
            "{}: unexpected answer: {why}; is this the socket of the CA? look at its log",
            self.path.display()
        ))
    }

    fn ask(&self, method: Method, target: &str, body: &str) -> Result<Bytes, Failure> {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let request = Request::builder().method(method).uri(target);
        let request = request.header("host", "ca").body(body);
        let request = request.map_err(|error| Failure::Unfit(error.to_string()))?;
        let door = Door::from(self.path.as_path());
        let asked = exchange(&door, request, WITHIN, BYTES_MAX);
        let answered = self.runtime.block_on(asked);
        let (status, body) =
            answered.map_err(|unanswered| self.failure(&Unasked::Unanswered(unanswered)))?;
        if status.is_success() {
            return Ok(body);
        }
        match Refusal::from_json(&body) {
            Ok(refusal) => Err(Failure::No(printable(&refusal.message))),
            Err(_) => {
                let text = String::from_utf8_lossy(&body);
                let text = text.lines().next().unwrap_or_default();
                Err(self.failure(&Unasked::Status {
                    status: status.as_u16(),
                    text: printable(text),
                }))
            }
        }
    }

    fn failure(&self, unasked: &Unasked) -> Failure {
        let start = format!(
            "start it with `countersign ca serve`, or name its socket with --socket{}",
            self.instead
        );
        let what = match unasked {
            Unasked::Unanswered(Unanswered::Connect(error)) => match error.kind() {
                ErrorKind::NotFound => {
                    format!("no CA to be asked: there is no such socket; {start}")
                }
                ErrorKind::ConnectionRefused => {
                    format!("no CA to be asked: nobody listens there; {start}")
                }
                ErrorKind::PermissionDenied => {
                    "the CA is not asked: this user may not open its socket; run as root or as the CA's own user".to_owned()
                }
                _ => format!("the CA is not asked: {error}; {start}"),
            },
            Unasked::Unanswered(Unanswered::Ended) => {
                "no answer: the connection was closed; ask as root or as the CA's own user, nobody else is heard, and look at its log".to_owned()
            }
            Unasked::Unanswered(Unanswered::NotHttp) => return self.unusable("it is no HTTP"),
            Unasked::Unanswered(Unanswered::Slow) => format!(
                "no answer within {} s: the CA or its disk is busy; look at its log, and ask again",
                WITHIN.as_secs()
            ),
            Unasked::Unanswered(Unanswered::Large) => {
                return self.unusable(format_args!("it has more than {BYTES_MAX} bytes"));
            }
            Unasked::Status { status, text } => {
                return self.unusable(format_args!("HTTP {status}, {text}"));
            }
            Unasked::Malformed(malformed) => malformed.to_string(),
        };
        Failure::Unreachable(format!("{}: {what}", self.path.display()))
    }
}
