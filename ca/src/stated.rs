//! The first statement about the roots, which all that follow stand on.
//!
//! In: an authority with the keys of all its roots, as it is made. Out: a statement that names every root and that every root
//! signed: who trusts any of them believes it. Pure.
//!
//! 1. It is dated by the root, not by the clock: the same authority states the same, whenever it is asked.
//! 2. A root that does not sign is not stated: everybody would refuse the whole.

use crate::authority::{Authority, Root};
use crate::template::BACKDATED_S;
use identity::{FirstContact, Key, KeyError, SignedStatement, Statement, StatementRefused};
use std::fmt;

/// Why there is no first statement.
#[derive(Debug)]
pub enum NotStated {
    /// A root's key is not here.
    KeyAway,
    /// It could not be made, or what was found does not speak for this authority.
    Refused(StatementRefused),
    /// A root could not sign.
    Sign(KeyError),
}

impl NotStated {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            NotStated::KeyAway => "root_away",
            NotStated::Refused(refused) => refused.reason(),
            NotStated::Sign(error) => error.reason(),
        }
    }
}

impl fmt::Display for NotStated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the first statement about the roots is not made: ")?;
        match self {
            NotStated::KeyAway => {
                f.write_str("a root's key is away; put it back for the first start")
            }
            NotStated::Refused(refused) => refused.fmt(f),
            NotStated::Sign(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotStated {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotStated::KeyAway => None,
            NotStated::Refused(refused) => Some(refused),
            NotStated::Sign(error) => Some(error),
        }
    }
}

/// States whom to trust, signed by every root.
pub(crate) fn first_statement(authority: &Authority) -> Result<SignedStatement, NotStated> {
    let roots = [Some(authority.root()), authority.standby()];
    let keys: Option<Vec<&Key>> = roots.into_iter().flatten().map(Root::key).collect();
    let keys = keys.ok_or(NotStated::KeyAway)?;
    let began_s = authority.root().certificate().validity().not_before_s;
    let made_s = began_s.saturating_add(BACKDATED_S);
    let sequence = identity::next_sequence(None, made_s);
    let first = Statement::new(authority.bundle(), sequence, made_s).map_err(NotStated::Refused)?;
    let signed = SignedStatement::sign(first, &keys).map_err(NotStated::Sign)?;
    speaks_for(authority, &signed)?;
    Ok(signed)
}

/// Whether everybody who trusts this authority's roots, or any one of them, believes it as the first.
pub(crate) fn speaks_for(authority: &Authority, first: &SignedStatement) -> Result<(), NotStated> {
    let bundle = authority.bundle();
    let domain = bundle.trust_domain();
    let any = bundle.fingerprints().into_iter();
    let any = any.map(|one| FirstContact::Fingerprint(domain.clone(), one));
    for contact in any.chain([FirstContact::Bundle(bundle.clone())]) {
        let walked = contact.walk(std::slice::from_ref(first));
        walked.map_err(NotStated::Refused)?;
    }
    Ok(())
}
