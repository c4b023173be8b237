//! Whether a process of this machine may call: `outbound[].allowUids`.
//!
//! In: the kernel's word for who connected, and the snapshot in force. Out: yes, or who it was. It is asked of every request
//! and of every snapshot, so that a user who is taken off the list ends with the reload.
//!
//! 1. Where users are named, who is no known user of this machine may not call.

use crate::answer::{Cause, Refusal};
use crate::over::Over;
use crate::snapshot::Snapshot;
use crate::which::Which;
use daemon::socket::Peer;
use std::fmt;

/// A label that never changes.
pub(crate) const UID_NOT_ALLOWED: &str = "uid_not_allowed";

/// Somebody who may not call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAllowed {
    from: Peer,
}

impl NotAllowed {
    /// The answer for what it asked.
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::unsent(Cause::PolicyDenied, UID_NOT_ALLOWED).explained(self)
    }
    /// Why what it opened when it might ends.
    pub(crate) fn over(self) -> Over {
        Over::because(UID_NOT_ALLOWED, self.to_string())
    }
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is none of this listener's allowUids", self.from)
    }
}

impl std::error::Error for NotAllowed {}

/// Whether whoever is at the other end may use this outbound listener.
pub(crate) fn may_call(
    snapshot: &Snapshot,
    listener: &Which,
    from: Peer,
) -> Result<(), NotAllowed> {
    let outbound = snapshot.outbound(listener);
    let Some(uids) = outbound.and_then(|outbound| outbound.allow_uids.as_ref()) else {
        return Ok(());
    };
    match from {
        Peer::Unix { uid, .. } if uids.contains(&uid) => Ok(()),
        Peer::Unix { .. } | Peer::Tcp(_) => Err(NotAllowed { from }),
    }
}
