//! What who asked for a certificate is told.

use crate::authority::Authority;
use crate::check::Checked;
use crate::store::Recorded;
use identity::pki_types::CertificateDer;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A certificate that stands in the record, with what its holder must know.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// When this was answered: what its holder counts the certificate's life from.
    pub(crate) issued_at: SystemTime,
    pub(crate) not_after_s: u64,
    pub(crate) recorded: Recorded,
}

impl Answer {
    /// Only of what is recorded.
    pub(crate) fn of(
        authority: &Authority,
        checked: &Checked,
        recorded: Recorded,
        now: SystemTime,
    ) -> Self {
        Answer {
            chain: authority.chain(checked),
            issued_at: now,
            not_after_s: checked.validity().not_after_s,
            recorded,
        }
    }

    /// The same certificate, told again.
    pub(crate) fn again(&self, now: SystemTime) -> Self {
        Answer {
            issued_at: now,
            ..self.clone()
        }
    }

    /// How long the certificate holds from when this was answered.
    pub(crate) fn life(&self) -> Duration {
        let ends = UNIX_EPOCH + Duration::from_secs(self.not_after_s);
        ends.duration_since(self.issued_at).unwrap_or_default()
    }
}
