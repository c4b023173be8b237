//! A refusal of the CA, and what follows from it.
//!
//! In: a gRPC status. Out: an [`Answer`] with the CA's words, what to do next, and how long it asks to wait; `None` where the
//! status is no answer at all but what became of the connection. Pure.
//!
//! 1. A label is told as the CA gave it if it is one of [`LABELS`]: what strangers can make us count is bounded.
//! 2. Whoever was revoked never joins by itself.

use api::refusal;
use std::error::Error;
use std::fmt;
use std::time::Duration;
use tonic::{Code, Status};

/// Characters of the CA's words that are passed on.
const WORDS_MAX: usize = 400;

/// What the CA said instead of issuing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    reason: &'static str,
    words: String,
    next: Next,
    wait: Option<Duration>,
    server_time_unix_ms: Option<i64>,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same again, later.
    Again,
    /// The same again, with another new key.
    OtherKey,
    /// This certificate is not renewed any more: a join token, if there is one, begins anew.
    Join,
    /// Somebody has to act at the CA; nothing that this side has may begin anew.
    Nothing,
}

/// Labels of the CA, and what follows where a renewal is refused with them.
const LABELS: &[(&str, Next)] = &[
    // Certificates and their lineage.
    ("no_certificate", Next::Again),
    ("expired", Next::Again),
    ("not_yet_valid", Next::Again),
    ("grace_not_supported", Next::Join),
    ("grace_off", Next::Join),
    ("grace_over", Next::Join),
    ("foreign_serial", Next::Join),
    ("parent_unknown", Next::Join),
    ("parent_identity", Next::Join),
    ("second_successor", Next::Join),
    ("unknown_issuer", Next::Join),
    ("issuer_missing", Next::Join),
    ("key_not_new", Next::OtherKey),
    ("proof_untimely", Next::Again),
    ("proof_leaf_not_ended", Next::Again),
    ("proof_other_leaf", Next::Again),
    ("proof_leaf_malformed", Next::Join),
    ("proof_leaf_unknown", Next::Join),
    ("proof_leaf_unlike", Next::Join),
    ("proof_signature", Next::Join),
    // Revocation.
    ("revoked", Next::Nothing),
    // Evidence.
    ("no_evidence", Next::Again),
    ("token_malformed", Next::Again),
    ("token_unknown", Next::Again),
    ("token_ended", Next::Again),
    ("token_spent", Next::Again),
    ("reserved_id", Next::Nothing),
    ("foreign_trust_domain", Next::Nothing),
    // Too much, and passing.
    ("source_limit", Next::Again),
    ("identity_limit", Next::Again),
    ("certificate_limit", Next::Again),
    ("joins_full", Next::Again),
    ("renewals_full", Next::Again),
    ("streams_full", Next::Again),
    ("draining", Next::Again),
    ("store_queue_full", Next::Again),
    ("store_disk_full", Next::Again),
    ("store_busy", Next::Again),
    ("store_disk", Next::Again),
    ("store_damaged", Next::Again),
    ("store_closed", Next::Again),
    ("issuer_ended", Next::Again),
    ("root_ended", Next::Again),
    ("out_of_bounds", Next::Again),
];

/// What a label means that this version does not know. Revocation is told apart by its name in every version.
fn unknown(label: &str, code: Code) -> (&'static str, Next) {
    match code {
        _ if label.starts_with("revoked") => ("revoked", Next::Nothing),
        Code::Unauthenticated | Code::PermissionDenied => ("refused_by_ca", Next::Join),
        _ => ("refused_by_ca", Next::Again),
    }
}

impl Answer {
    /// The CA's refusal; `None`: the status is not the CA's word but tells of the connection.
    pub(super) fn of(status: &Status) -> Option<Self> {
        let label = refusal::reason(status);
        if label.is_none() && status.source().is_some() {
            return None;
        }
        let label = label.unwrap_or_default();
        let (reason, next) = LABELS
            .iter()
            .copied()
            .find(|(known, _)| *known == label)
            .unwrap_or_else(|| unknown(label, status.code()));
        Some(Answer {
            reason,
            words: words(label, status),
            next,
            wait: refusal::wait(status),
            server_time_unix_ms: refusal::server_time_unix_ms(status),
        })
    }

    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) fn next(&self) -> Next {
        self.next
    }

    /// How long the CA asks to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// The CA's clock, where the refusal is for the time.
    pub(super) fn server_time_unix_ms(&self) -> Option<i64> {
        self.server_time_unix_ms
    }
}

/// On one line, whatever was sent.
fn words(label: &str, status: &Status) -> String {
    let said: String = status
        .message()
        .chars()
        .take(WORDS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    match (said.is_empty(), label.is_empty()) {
        (false, _) => said.replace("\\'", "'").replace("\\\"", "\""),
        (true, false) => label.to_owned(),
        (true, true) => format!("{:?}", status.code()),
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the CA says: {}", self.words)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(code: Code, label: &'static str, reason: &str, next: Next) {
        let status = refusal::refuse(code, label, "no: because; do this");
        let answer = Answer::of(&status).unwrap();
        assert_eq!((answer.reason(), answer.next()), (reason, next), "{label}");
        assert_eq!(answer.to_string(), "the CA says: no: because; do this");
    }

    #[test]
    fn what_follows_is_told_by_the_label_and_else_by_the_code() {
        check(
            Code::PermissionDenied,
            "second_successor",
            "second_successor",
            Next::Join,
        );
        check(
            Code::Unavailable,
            "store_disk_full",
            "store_disk_full",
            Next::Again,
        );
        check(
            Code::PermissionDenied,
            "of_a_later_version",
            "refused_by_ca",
            Next::Join,
        );
        check(
            Code::Internal,
            "of_a_later_version",
            "refused_by_ca",
            Next::Again,
        );
    }

    /// Invariant 2.
    #[test]
    fn whoever_was_revoked_has_nothing_left_to_try_by_itself() {
        check(Code::PermissionDenied, "revoked", "revoked", Next::Nothing);
        check(
            Code::PermissionDenied,
            "revoked_issuer",
            "revoked",
            Next::Nothing,
        );
    }

    #[test]
    fn what_became_of_the_connection_is_no_answer() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(Answer::of(&Status::from_error(Box::new(broken))), None);
    }

    #[test]
    fn what_is_told_stays_on_one_line_and_short() {
        let long = Status::new(
            Code::Internal,
            format!("a\nb\u{1b}[2J it's {}", "x".repeat(5000)),
        );
        let told = Answer::of(&long).unwrap().to_string();
        assert!(
            told.starts_with(r"the CA says: a\nb\u{1b}[2J it's x"),
            "{told}"
        );
        assert!(told.len() < 500);
        let silent = Answer::of(&Status::new(Code::Internal, "")).unwrap();
        assert_eq!(silent.to_string(), "the CA says: Internal");
    }
}
