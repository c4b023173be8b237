//! From what is held to the newest statement, only forward.

use super::{CHAIN_STATEMENTS_MAX, SignedStatement, StatementRefused};
use crate::Bundle;
use crate::certificate::sha256;
use config::TrustDomain;

/// What is trusted before any statement is held.
#[derive(Clone, Debug)]
pub enum FirstContact {
    /// These roots.
    Bundle(Bundle),
    /// The root whose DER has this SHA-256, in this trust domain.
    Fingerprint(TrustDomain, [u8; 32]),
}

impl FirstContact {
    /// Whose roots they are.
    pub fn trust_domain(&self) -> &TrustDomain {
        match self {
            FirstContact::Bundle(bundle) => bundle.trust_domain(),
            FirstContact::Fingerprint(trust_domain, _) => trust_domain,
        }
    }

    /// The newest statement of a chain that leads from here, oldest first. It begins at the first one that names all that is
    /// trusted here, so that nobody who trusts a new root is shown a time before it.
    pub fn walk(&self, chain: &[SignedStatement]) -> Result<SignedStatement, StatementRefused> {
        check_length(chain)?;
        let mut refused = None;
        for (at, first) in chain.iter().enumerate() {
            match self.believes(first) {
                Ok(()) => return walk(first, &chain[at + 1..]),
                // What speaks of a time before our trust is passed over; the first other reason is the one to tell.
                Err(StatementRefused::NoneIncludesTrusted) => {}
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        Err(refused.unwrap_or(match chain {
            [] => StatementRefused::EmptyChain,
            _ => StatementRefused::NoneIncludesTrusted,
        }))
    }

    fn believes(&self, first: &SignedStatement) -> Result<(), StatementRefused> {
        check_domain(first, self.trust_domain())?;
        let stated = first.statement().bundle().roots();
        let trusted: Vec<&[u8]> = match self {
            FirstContact::Bundle(bundle) => {
                let missing = |root| !stated.contains(root);
                if bundle.roots().iter().any(missing) {
                    return Err(StatementRefused::NoneIncludesTrusted);
                }
                bundle.roots().iter().map(AsRef::as_ref).collect()
            }
            FirstContact::Fingerprint(_, wanted) => stated
                .iter()
                .map(AsRef::as_ref)
                .filter(|root| sha256(root) == *wanted)
                .collect(),
        };
        match trusted.is_empty() {
            true => Err(StatementRefused::NoneIncludesTrusted),
            false => first.believed_with(trusted),
        }
    }
}

/// The newest statement of a chain that leads from `held`, oldest first; `held` itself if there is none newer. What is older
/// than `held` is passed over; anything else that does not follow refuses the whole chain.
pub fn walk(
    held: &SignedStatement,
    chain: &[SignedStatement],
) -> Result<SignedStatement, StatementRefused> {
    check_length(chain)?;
    let start = held.statement().sequence();
    let mut newest = held;
    let mut before = None;
    for next in chain {
        let found = next.statement().sequence();
        if let Some(held) = before.replace(found).filter(|before| *before >= found) {
            return Err(StatementRefused::Backward { found, held });
        }
        check_domain(next, held.statement().bundle().trust_domain())?;
        if found < start {
            continue;
        }
        if found == start {
            match next.body() == held.body() {
                true => continue,
                false => return Err(StatementRefused::Forked { sequence: found }),
            }
        }
        next.believed_with(
            newest
                .statement()
                .bundle()
                .roots()
                .iter()
                .map(AsRef::as_ref),
        )?;
        newest = next;
    }
    Ok(newest.clone())
}

fn check_length(chain: &[SignedStatement]) -> Result<(), StatementRefused> {
    match chain.len() {
        statements if statements > CHAIN_STATEMENTS_MAX => {
            Err(StatementRefused::TooMany { statements })
        }
        _ => Ok(()),
    }
}

fn check_domain(next: &SignedStatement, wanted: &TrustDomain) -> Result<(), StatementRefused> {
    let found = next.statement().bundle().trust_domain();
    match found == wanted {
        true => Ok(()),
        false => Err(StatementRefused::OtherDomain {
            found: found.to_string(),
            wanted: wanted.to_string(),
        }),
    }
}
