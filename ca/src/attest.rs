//! Who the caller is, by what it shows.
//!
//! In: a join token and the key that it is shown for, the verified peer of the connection, or an ended certificate and the proof
//! of its key. Out: [`Attested`], which only this module makes. No side effect: a token is spent when the certificate is
//! recorded, in one transaction with it.

use crate::call::Caller;
use crate::proof::Proof;
use crate::record::KeyHash;
use crate::refusal::Refusal;
use crate::shown::ShownLeaf;
use crate::store::Ledger;
use crate::template::Serial;
use crate::token::TokenHash;
use crate::turns::Rank;
use config::SpiffeId;
use std::time::{Duration, SystemTime};

/// An identity that the caller has shown to be its own.
#[derive(Debug)]
pub(crate) struct Attested {
    id: SpiffeId,
    by: By,
}

/// What it was shown by, as the record needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Token(TokenHash),
    /// A certificate, shown in TLS or, in grace, by proof of its key.
    Leaf {
        parent: Serial,
        key: KeyHash,
        ends_s: u64,
        in_grace: bool,
        evidence: [u8; 32],
    },
}

/// The attestor of tokens.
pub(crate) const JOIN_TOKEN: &str = "join_token";
/// The attestor of renewals over mTLS.
pub(crate) const CURRENT_SVID: &str = "current_svid";
/// The attestor of renewals after a certificate's end.
pub(crate) const KEY_PROOF: &str = "key_proof";

impl Attested {
    /// By a token, which would admit this key now.
    pub(crate) async fn by_token(
        ledger: &impl Ledger,
        token: TokenHash,
        key: KeyHash,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let admits = ledger.look_up(token, key, now).await?;
        Ok(Attested {
            id: admits.id,
            by: By::Token(token),
        })
    }

    /// By the certificate of the connection, which was verified for this very call.
    pub(crate) fn by_certificate(caller: &Caller<'_>) -> Self {
        Self::by_leaf(caller.leaf, false, caller.peer.leaf_sha256)
    }

    /// By a certificate that has ended, and its key.
    pub(crate) async fn by_proof(
        ledger: &impl Ledger,
        proof: &Proof<'_>,
        csr: &[u8],
        grace: Duration,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let claimed = proof.claim(grace, now)?;
        let recorded = ledger.show(claimed.serial).await;
        let recorded = recorded.map_err(|fault| Refusal::Record(fault.into()))?;
        proof.check(&claimed, recorded.as_ref(), csr, grace, now)?;
        Ok(Self::by_leaf(&claimed, true, proof.evidence(csr)))
    }

    fn by_leaf(leaf: &ShownLeaf, in_grace: bool, evidence: [u8; 32]) -> Self {
        Attested {
            id: leaf.id.clone(),
            by: By::Leaf {
                parent: leaf.serial,
                key: leaf.key_hash(),
                ends_s: leaf.validity.not_after_s,
                in_grace,
                evidence,
            },
        }
    }

    /// Whose certificate may be issued.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// What it was shown by.
    pub(crate) fn by(&self) -> By {
        self.by
    }

    /// The certificate to renew, and its key.
    pub(crate) fn parent(&self) -> Option<(Serial, KeyHash)> {
        match self.by {
            By::Token(_) => None,
            By::Leaf { parent, key, .. } => Some((parent, key)),
        }
    }

    /// How urgent it is.
    pub(crate) fn rank(&self) -> Rank {
        match self.by {
            By::Token(_) => Rank::Join,
            By::Leaf { ends_s, .. } => Rank::Renewal { ends_s },
        }
    }
}
