//! Why a caller gets no certificate, for the caller, the operator and the counter.

use crate::authority::IssueError;
use crate::csr::CsrRefused;
use crate::proof::ProofRefused;
use crate::record::InstanceRefused;
use crate::revocation::Revoked;
use crate::store;
use crate::template::Serial;
use crate::token::TokenMalformed;
use api::bounds::OutOfBounds;
use config::SpiffeId;
use std::fmt;
use std::time::Duration;

/// Why a call was refused. Nothing was signed, spent or recorded.
#[derive(Debug)]
pub enum Refusal {
    /// The certificate of the connection does not hold (any more).
    Certificate(identity::Refused),
    /// The call needs a certificate, and the connection has none.
    NoCertificate,
    /// A field has more than it may have.
    Bounds(OutOfBounds),
    /// As many streams are open as may be.
    Streams,
    /// The certificate's serial is none of ours.
    ForeignSerial,
    /// Too many failed attempts from where the call comes from.
    Source {
        /// When the next one is heard.
        retry: Duration,
    },
    /// Too many joins of this identity.
    Identity {
        /// Which one.
        id: SpiffeId,
        /// When the next one is heard.
        retry: Duration,
    },
    /// Too many renewals of this certificate and of those that came of it.
    Successors {
        /// Which one.
        serial: Serial,
        /// When the next one is heard.
        retry: Duration,
    },
    /// As many joins are under way as may be.
    Joins,
    /// No evidence, or of a kind that is not known here.
    NoEvidence,
    /// As many proofs of keys are under way as may be.
    Proofs,
    /// More wait to be signed for than may.
    Crowded,
    /// A proof of a key gives no right to a certificate.
    Proof(ProofRefused),
    /// Certificate, key or identity is marked.
    Revoked(Revoked),
    /// The token cannot be read.
    Token(TokenMalformed),
    /// The name of the instance is none.
    Instance(InstanceRefused),
    /// The request is not one to sign.
    Csr(CsrRefused),
    /// Nothing could be issued.
    Issue(IssueError),
    /// The record refused: token, lineage or disk.
    Record(store::Refused),
    /// The request did not come whole, or was not answered, in time.
    Slow,
    /// The CA is ending.
    Draining,
}

/// Who has to change something, so that a call like this is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was sent is malformed.
    Request,
    /// The caller did not show who it is.
    Unauthenticated,
    /// The caller is known, and may not.
    Denied,
    /// Too much was asked for in too short a time.
    TooMuch,
    /// The same call may be answered later.
    Passing,
    /// The CA is at fault.
    Ours,
}

impl Refusal {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Certificate(refused) => refused.reason(),
            Refusal::NoCertificate => "no_certificate",
            Refusal::Bounds(refused) => refused.reason(),
            Refusal::Streams => "streams_full",
            Refusal::ForeignSerial => "foreign_serial",
            Refusal::Source { .. } => "source_limit",
            Refusal::Identity { .. } => "identity_limit",
            Refusal::Successors { .. } => "certificate_limit",
            Refusal::Joins => "joins_full",
            Refusal::NoEvidence => "no_evidence",
            Refusal::Proofs => "proofs_full",
            Refusal::Crowded => "renewals_full",
            Refusal::Proof(refused) => refused.reason(),
            Refusal::Revoked(what) => what.reason(),
            Refusal::Token(refused) => refused.reason(),
            Refusal::Instance(refused) => refused.reason(),
            Refusal::Csr(refused) => refused.reason(),
            Refusal::Issue(error) => error.reason(),
            Refusal::Record(refused) => refused.reason(),
            Refusal::Slow => "call_slow",
            Refusal::Draining => "draining",
        }
    }

    /// Whose it is to change something.
    pub fn fault(&self) -> Fault {
        match self {
            Refusal::Certificate(_) | Refusal::NoCertificate | Refusal::NoEvidence => {
                Fault::Unauthenticated
            }
            Refusal::Token(_) => Fault::Unauthenticated,
            Refusal::Proof(refused) if refused.is_denied() => Fault::Denied,
            Refusal::Proof(_) => Fault::Unauthenticated,
            Refusal::ForeignSerial | Refusal::Revoked(_) => Fault::Denied,
            Refusal::Source { .. } | Refusal::Identity { .. } | Refusal::Successors { .. } => {
                Fault::TooMuch
            }
            Refusal::Joins
            | Refusal::Proofs
            | Refusal::Crowded
            | Refusal::Streams
            | Refusal::Slow
            | Refusal::Draining => Fault::Passing,
            Refusal::Bounds(_) | Refusal::Instance(_) | Refusal::Csr(_) => Fault::Request,
            Refusal::Issue(IssueError::Csr(_)) => Fault::Request,
            Refusal::Issue(IssueError::NotGranted(_)) => Fault::Denied,
            Refusal::Issue(_) => Fault::Ours,
            Refusal::Record(refused) if refused.is_passing() => Fault::Passing,
            Refusal::Record(store::Refused::Token(_)) => Fault::Unauthenticated,
            Refusal::Record(store::Refused::Lineage(_) | store::Refused::Revoked(_)) => {
                Fault::Denied
            }
            Refusal::Record(_) => Fault::Ours,
        }
    }

    /// The CA's clock, in ms since 1970, where a call was refused because of its time.
    pub fn server_time_unix_ms(&self) -> Option<i64> {
        match self {
            Refusal::Proof(ProofRefused::Untimely { now_unix_ms }) => Some(*now_unix_ms),
            _ => None,
        }
    }

    /// How long to wait, where that helps and is known.
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Refusal::Source { retry }
            | Refusal::Identity { retry, .. }
            | Refusal::Successors { retry, .. } => Some(*retry),
            Refusal::Joins | Refusal::Proofs | Refusal::Crowded => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Certificate(refused) => write!(
                f,
                "certificate refused: {refused}; connect again with one that holds, or join with a token"
            ),
            Refusal::NoCertificate => f.write_str(
                "not answered: the connection shows no certificate; connect with the one to renew, or join with a token",
            ),
            Refusal::Bounds(refused) => refused.fmt(f),
            Refusal::Streams => f.write_str("not heard: too many streams are open; try again"),
            Refusal::ForeignSerial => f.write_str(
                "renewal refused: the certificate was not issued by this ca; join with a token",
            ),
            Refusal::Source { retry } => write!(
                f,
                "not heard: too many failed attempts from this address; try again in {} ms with a good token",
                retry.as_millis()
            ),
            Refusal::Identity { id, retry } => write!(
                f,
                "{id} is not issued: it joined too often; try again in {} ms, and keep the state directory between restarts",
                retry.as_millis()
            ),
            Refusal::Successors { serial, retry } => write!(
                f,
                "certificate {serial} is not renewed: it and its successors were too often; try again in {} ms",
                retry.as_millis()
            ),
            Refusal::Joins => {
                f.write_str("not heard: too many join at this moment; try again in a second")
            }
            Refusal::NoEvidence => {
                f.write_str("join refused: no evidence of a kind known here; send a join token")
            }
            Refusal::Proofs => f.write_str(
                "not heard: too many prove their keys at this moment; try again in a second",
            ),
            Refusal::Crowded => f.write_str(
                "not heard: too many certificates that end sooner are waiting; try again in a second",
            ),
            Refusal::Proof(refused) => refused.fmt(f),
            Refusal::Revoked(what) => what.fmt(f),
            Refusal::Token(refused) => refused.fmt(f),
            Refusal::Instance(refused) => refused.fmt(f),
            Refusal::Csr(refused) => refused.fmt(f),
            Refusal::Issue(error) => error.fmt(f),
            Refusal::Record(refused) => refused.fmt(f),
            Refusal::Slow => f.write_str(
                "not answered: the request did not come whole, or could not be answered, within 15 s; send it again",
            ),
            Refusal::Draining => f.write_str("not heard: the ca is ending; try again"),
        }
    }
}
impl std::error::Error for Refusal {}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Refusal::$variant(error)
            }
        }
    )*};
}
from!(
    Certificate(identity::Refused),
    Bounds(OutOfBounds),
    Token(TokenMalformed),
    Instance(InstanceRefused),
    Csr(CsrRefused),
    Issue(IssueError),
    Proof(ProofRefused),
    Revoked(Revoked),
    Record(store::Refused)
);
