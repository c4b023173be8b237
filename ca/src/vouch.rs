//! A certificate on an operator's word.
//!
//! In: an authority and its record, whom an operator names, and a signing request. Out: [`Vouched`], or a [`Refusal`]. The word
//! stands where else a token or a certificate is shown; every stage behind that is the same, reserved names included. Whether
//! this user is an operator was judged before.
//!
//! 1. A [`Vouched`] is made only of what is recorded, with the uid that wanted it.

use crate::authority::{Authority, IssueError};
use crate::authorize::Grant;
use crate::check::Checked;
use crate::csr::Csr;
use crate::record::{Leaf, sha256};
use crate::refusal::Refusal;
use crate::store::{Ledger, OperatorRecord, Recorded};
use config::SpiffeId;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The attestor of what operators want.
pub(crate) const OPERATOR: &str = "operator";

/// What an operator wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whom the certificate is to name.
    pub id: &'a SpiffeId,
    /// A signing request, PEM or DER: nothing is taken from it but its key.
    pub csr: &'a [u8],
    /// How long it is to live.
    pub ttl: Duration,
    /// The longest that is granted.
    pub ttl_max: Duration,
    /// Which user of this machine the operator is.
    pub uid: u32,
}

/// A certificate that stands in the record on an operator's word.
#[derive(Debug)]
pub struct Vouched {
    leaf: Checked,
    chain_pem: String,
    recorded: Recorded,
}

impl Vouched {
    /// The certificate.
    pub fn leaf(&self) -> &Checked {
        &self.leaf
    }

    /// The leaf, then the issuer, in PEM.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// Its place in the record.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }
}

/// From an operator's word to a certificate in the record.
pub async fn vouch(
    authority: &Authority,
    ledger: &impl Ledger,
    wanted: &Wanted<'_>,
    now: SystemTime,
) -> Result<Vouched, Refusal> {
    let csr = Csr::from_pem_or_der(wanted.csr)?;
    let domain = authority.trust_domain();
    let grant = Grant::decide(domain, wanted.id, wanted.ttl, wanted.ttl_max);
    let grant = grant.map_err(IssueError::from)?;
    let leaf = authority.certify_granted(&csr, &grant, now)?;
    let now_s = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let record = OperatorRecord {
        uid: wanted.uid,
        evidence: sha256(wanted.csr),
        leaf: Leaf::made(&leaf, authority, &grant, &csr, now_s),
    };
    let recorded = ledger.issue(record).await?;
    Ok(Vouched {
        chain_pem: authority.chain_pem(&leaf),
        leaf,
        recorded,
    })
}
