//! The newest statement about the roots, or the first.
//!
//! In: what is kept, what `ca init` left, and the authority with its root's key. Out: a statement that is kept. Only the first is
//! ever made here.
//!
//! 1. What is stated names the root that this authority signs under: a CA with the record of another does not start.

use crate::authority::Authority;
use crate::dir::Dir;
use crate::server_error::ServerError;
use crate::stated::{first_statement, speaks_for};
use crate::store::{self, Ledger, StatementSignature, StoredStatement};
use identity::{SignedStatement, StatementRefused};

/// The newest statement that is kept, or the first: that of the folder, or of an older folder without one, made now.
pub(crate) async fn newest_statement(
    ledger: &impl Ledger,
    dir: &Dir,
    authority: &Authority,
) -> Result<StoredStatement, ServerError> {
    let mut newest: Option<StoredStatement> = None;
    loop {
        let from = newest
            .as_ref()
            .map_or(0, |kept| kept.sequence.saturating_add(1));
        let page = ledger.statements(from, store::LIST_MAX).await;
        match page.map_err(store::Refused::from)?.pop() {
            Some(kept) => newest = Some(kept),
            None => break,
        }
    }
    if let Some(newest) = newest {
        let stated = signed(&newest).ok_or(StatementRefused::Encoding)?;
        let root = authority.root().certificate().der();
        return match stated.statement().bundle().roots().contains(root) {
            true => Ok(newest),
            false => Err(ServerError::OtherRoots),
        };
    }
    let first = match dir.first_statement()? {
        Some(first) => first,
        None => first_statement(authority)?,
    };
    speaks_for(authority, &first)?;
    let first = stored(&first);
    ledger.append_statement(first.clone()).await?;
    Ok(first)
}

/// As the record keeps it.
pub(crate) fn stored(signed: &SignedStatement) -> StoredStatement {
    let signatures = signed.signatures().iter().map(|given| StatementSignature {
        root_key_id: given.root_key_id.to_vec(),
        signature: given.signature.clone(),
    });
    StoredStatement {
        sequence: signed.statement().sequence(),
        body: signed.body().to_vec(),
        signatures: signatures.collect(),
    }
}

/// As it was signed; `None` if what is kept cannot be read any more.
pub(crate) fn signed(kept: &StoredStatement) -> Option<SignedStatement> {
    let signatures = kept.signatures.iter().map(|kept| {
        Some(identity::Signature {
            root_key_id: kept.root_key_id.as_slice().try_into().ok()?,
            signature: kept.signature.clone(),
        })
    });
    let signatures = signatures.collect::<Option<Vec<_>>>()?;
    SignedStatement::from_parts(kept.body.clone(), signatures).ok()
}
