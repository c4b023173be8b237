//! What a CA signs and answers with now: the authority, and a certificate of its own.
//!
//! In: an authority and the time. Out: one value that is swapped whole; calls under way go on with the one they began with.

use crate::authority::Authority;
use crate::server_error::ServerError;
use identity::{Alpn, Bundles, Generation};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;

/// How long the CA's own certificate lives: it renews itself at half of that.
const OWN_TTL: Duration = Duration::from_secs(60 * 60);
/// What signs and answers now.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) authority: Arc<Authority>,
    pub(crate) own: Generation,
    pub(crate) tls: Arc<ServerConfig>,
}

/// When certificates end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The one that the CA answers with.
    pub own: SystemTime,
    /// The one that signs.
    pub issuer: SystemTime,
    /// The one that everybody trusts.
    pub root: SystemTime,
}

impl InForce {
    /// This authority with a certificate of its own, made now; `number` tells it from the others of this process.
    pub(crate) fn begin(
        authority: Arc<Authority>,
        number: u64,
        now: SystemTime,
    ) -> Result<Self, ServerError> {
        let svid = authority.own_svid(OWN_TTL, now)?;
        let own = Generation::new(number, svid, Bundles::of(authority.bundle().clone()))?;
        let tls = Arc::new(own.server_for_strangers(Alpn::Http2));
        Ok(InForce {
            authority,
            own,
            tls,
        })
    }

    /// The key identifier of the issuer.
    pub(crate) fn issuer_id(&self) -> [u8; 20] {
        self.authority.issuer().certificate().key().id()
    }

    /// Whether its own certificate is past half of its life, or not begun because the clock was ahead.
    pub(crate) fn own_due(&self, now: SystemTime) -> bool {
        let leaf = self.own.svid().leaf();
        let life = leaf.not_after.duration_since(leaf.not_before);
        now < leaf.not_before || now >= leaf.not_before + life.unwrap_or_default() / 2
    }

    /// When what is used ends.
    pub(crate) fn ends(&self) -> Ends {
        let authority = &self.authority;
        Ends {
            own: self.own.svid().leaf().not_after,
            issuer: authority.issuer().certificate().validity().not_after(),
            root: authority.root().certificate().validity().not_after(),
        }
    }

    /// Says so on the metrics page.
    pub(crate) fn tell(&self, metrics: &CaMetrics) {
        let ends = self.ends();
        metrics.set_expiry("leaf", ends.own);
        metrics.set_expiry("issuer", ends.issuer);
        metrics.set_expiry("root", ends.root);
    }
}
