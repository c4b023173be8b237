//! The calls that change something: each ends in a line of the log that names the caller.

use super::refused::Refused;
use crate::authority::IssueError;
use crate::authority_server::AuthorityServer;
use crate::authorize::Grant;
use crate::refusal::Refusal;
use crate::store::Ledger;
use crate::text;
use crate::token::{Terms, Token};
use api::admin::{IssueCall, IssueMade, TokenCall, TokenMade};
use config::SpiffeId;
use std::time::Duration;

/// Makes a join token.
pub(super) async fn token<L: Ledger>(
    server: &AuthorityServer<L>,
    uid: u32,
    body: &[u8],
) -> Result<TokenMade, Refused> {
    let made = make_token(server, uid, body).await;
    made.inspect_err(|refused| tell_refused(uid, "token", refused))
}

async fn make_token<L: Ledger>(
    server: &AuthorityServer<L>,
    uid: u32,
    body: &[u8],
) -> Result<TokenMade, Refused> {
    let call = TokenCall::from_json(body)?;
    let id = SpiffeId::parse(&call.id)?;
    let in_force = server.in_force();
    // A token for what is never granted would only be refused later, far from who made it.
    let (domain, grants) = (in_force.authority.trust_domain(), server.grants());
    Grant::decide(domain, &id, grants.ttl, grants.ttl_max)
        .map_err(|refused| Refusal::from(IssueError::from(refused)))?;
    let terms = Terms::new(id.clone(), Duration::from_secs(call.ttl_s), call.uses)?;
    let token = Token::generate()?;
    let (hash, now) = (token.hash(), server.now());
    let created = server.ledger().create_token(hash, terms, now).await?;
    let (uses, ends) = (call.uses, text::date(created.ends_s));
    tracing::info!(uid, %id, token = %hash, uses, ends, "an operator made a join token");
    Ok(TokenMade {
        token: token.to_text().to_string(),
        ends_unix_s: created.ends_s,
    })
}

/// Issues a certificate for the key of a signing request.
pub(super) async fn issue<L: Ledger>(
    server: &AuthorityServer<L>,
    uid: u32,
    body: &[u8],
) -> Result<IssueMade, Refused> {
    let made = make_certificate(server, uid, body).await;
    made.inspect_err(|refused| tell_refused(uid, "issue", refused))
}

async fn make_certificate<L: Ledger>(
    server: &AuthorityServer<L>,
    uid: u32,
    body: &[u8],
) -> Result<IssueMade, Refused> {
    let call = IssueCall::from_json(body)?;
    let id = SpiffeId::parse(&call.id)?;
    let ttl = call.ttl_s.map(Duration::from_secs);
    let csr = call.csr.as_bytes();
    let bundle = server.trusted().ok_or(Refused::Statement)?;
    let vouched = server.issue_by_operator(uid, &id, csr, ttl).await?;
    let (leaf, recorded) = (vouched.leaf(), vouched.recorded());
    let not_after_s = leaf.validity().not_after_s;
    let (serial, ends) = (leaf.serial(), text::date(not_after_s));
    tracing::info!(uid, %id, %serial, ends, "an operator issued a certificate");
    Ok(IssueMade {
        serial: serial.to_string(),
        index: recorded.index(),
        not_after_unix_s: not_after_s,
        chain: vouched.chain_pem().to_owned(),
        bundle: bundle.to_pem(),
    })
}

fn tell_refused(uid: u32, call: &'static str, refused: &Refused) {
    let (reason, why) = (refused.reason(), refused.to_string());
    tracing::warn!(uid, call, reason, why, "an operator was refused");
}
