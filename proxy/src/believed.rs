//! Somebody at the other end of something open, who was believed when it was opened.
//!
//! In: the chain that they showed, and who believed it: a generation of identity, or, of a server outside the mesh, a name and
//! roots. Out: whether those of now believe it too, judged as of the last moment at which its leaf was good. One connection has
//! one, whoever shares it.

use crate::over::Over;
use identity::{Generation, Outside, Role};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Somebody who was believed.
pub(crate) struct Believed {
    /// What they showed, leaf first.
    chain: Vec<CertificateDer<'static>>,
    not_after: SystemTime,
    by: By,
    /// The last [`trust`](crate::snapshot::Snapshot::trust) under which they were believed again; 0: nobody asked.
    trust: AtomicU64,
}

/// By whom.
enum By {
    /// By this generation, in this role.
    Mesh(Role, Arc<Generation>),
    /// By their name and these roots.
    Outside(Arc<Outside>),
}

impl Believed {
    /// Somebody whose `chain`, whose leaf ends at `not_after`, this generation believes.
    pub(crate) fn by(
        generation: &Arc<Generation>,
        role: Role,
        chain: Vec<CertificateDer<'static>>,
        not_after: SystemTime,
    ) -> Self {
        Self {
            chain,
            not_after,
            by: By::Mesh(role, generation.clone()),
            trust: AtomicU64::new(0),
        }
    }
    /// A server outside the mesh whose `chain`, whose leaf ends at `not_after`, is believed so.
    pub(crate) fn outside(
        outside: &Arc<Outside>,
        chain: Vec<CertificateDer<'static>>,
        not_after: SystemTime,
    ) -> Self {
        Self {
            chain,
            not_after,
            by: By::Outside(outside.clone()),
            trust: AtomicU64::new(0),
        }
    }
    /// Judges them again where others are believed now: by this generation, whose `trust` that is; outside the mesh by what its
    /// service is believed by now, if it is one of those.
    pub(crate) fn still(
        &self,
        identity: &Arc<Generation>,
        trust: u64,
        outside: Option<&Arc<Outside>>,
    ) -> Result<(), Over> {
        let judged = match (&self.by, outside) {
            (By::Mesh(..), _) if self.trust.load(Ordering::Relaxed) == trust => return Ok(()),
            (By::Mesh(_, by), _) if Arc::ptr_eq(by, identity) => Ok(()),
            (By::Mesh(role, _), _) => identity.judge_open(&self.chain, *role, self.not_after),
            (By::Outside(by), Some(now)) if by != now => {
                let at = SystemTime::now().min(self.not_after);
                now.judge(&self.chain, at).map(drop)
            }
            // That a service is no longer secured so is asked by who asks for its service.
            (By::Outside(_), _) => return Ok(()),
        };
        judged.map_err(|refused| Over::disbelieved(&refused))?;
        self.trust.store(trust, Ordering::Relaxed);
        Ok(())
    }
}
