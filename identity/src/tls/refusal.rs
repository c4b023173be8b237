//! A [`Refused`] on its way through rustls and out again, with the TLS alert that fits.
//!
//! rustls picks the alert from the kind of error. Three kinds carry all that the refusal says and go out as what they are
//! (`certificate_expired`, `unknown_ca`); every other goes out as `certificate_unknown` and carries the whole value.

use crate::Refused;
use crate::moment::{from_unix, to_unix};
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};
use std::io;
use std::sync::Arc;

pub(super) fn into_rustls(refused: Refused) -> Error {
    Error::InvalidCertificate(match refused {
        Refused::Expired { not_after, now } => CertificateError::ExpiredContext {
            time: to_unix(now),
            not_after: to_unix(not_after),
        },
        Refused::NotYetValid { not_before, now } => CertificateError::NotValidYetContext {
            time: to_unix(now),
            not_before: to_unix(not_before),
        },
        Refused::UnknownIssuer => CertificateError::UnknownIssuer,
        refused => CertificateError::Other(OtherError(Arc::new(refused))),
    })
}

/// Why our side refused the peer, if this error says that it did.
pub fn refusal(error: &Error) -> Option<Refused> {
    match error {
        Error::NoCertificatesPresented => Some(Refused::NoCertificate),
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            Some(Refused::Expired {
                not_after: from_unix(*not_after),
                now: from_unix(*time),
            })
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            Some(Refused::NotYetValid {
                not_before: from_unix(*not_before),
                now: from_unix(*time),
            })
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(Refused::UnknownIssuer),
        Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }) => Some(Refused::WrongName {
            expected: expected.to_str().into_owned(),
            found: presented.clone(),
        }),
        // The signature over the handshake, by which the peer proves that the key is its own.
        Error::InvalidCertificate(CertificateError::BadSignature) => Some(Refused::BadSignature),
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref().cloned()
        }
        _ => None,
    }
}

/// Whether the peer said, by an alert that it sends only while it shakes hands (RFC 8446 §6.2), that it does not believe who we
/// are. With TLS 1.3 a client hears that in place of its server's first word.
pub fn is_disbelieved(error: &io::Error) -> bool {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        tls,
        Some(Error::AlertReceived(
            AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::HandshakeFailure
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        ))
    )
}

/// A label that never changes for every way in which a handshake can end, as tokio-rustls reports it. Never empty: what has
/// no label of its own is `tls_error` or `io_error`.
pub fn handshake_reason(error: &io::Error) -> &'static str {
    let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed_in_handshake",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset_in_handshake",
            io::ErrorKind::TimedOut => "handshake_timeout",
            _ => "io_error",
        };
    };
    if let Some(refused) = refusal(tls) {
        return refused.reason();
    }
    match tls {
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )
        | Error::AlertReceived(AlertDescription::ProtocolVersion) => "tls_version",
        Error::PeerIncompatible(_) => "tls_incompatible",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "not_tls",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => "tls_malformed",
        Error::InvalidCertificate(_) => "bad_certificate",
        Error::PeerMisbehaved(_) => "tls_misbehaved",
        Error::NoApplicationProtocol
        | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => "no_common_protocol",
        Error::AlertReceived(_) => "refused_by_peer",
        _ => "tls_error",
    }
}
