//! What a CA issued, judged before anything of it is used.
//!
//! In: its reply, the key that was asked for, whom one believes, and who one is. Out: an [`Issued`] that peers would believe
//! now, or [`ReplyRefused`]. Pure: time is an argument.
//!
//! 1. The leaf is of our key, of our trust domain and, in a renewal, of our identity.
//! 2. The chain leads to a root of the statement, and a statement that came along follows from the one that is held.
//! 3. A reply is taken whole or refused whole.

use crate::{
    Bundles, Key, Leaf, Refused, Role, Signature, SignedStatement, StatementRefused, Svid,
    SvidError, Verifier, walk,
};
use api::ca_v1 as wire;
use config::{SpiffeId, TrustDomain};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::time::{Duration, SystemTime};

/// What was issued, good to use.
#[derive(Debug)]
pub struct Issued {
    /// Who we are now.
    pub svid: Svid,
    /// Whom we believe now.
    pub statement: SignedStatement,
    /// When the leaf was issued by the CA's clock, in ms since 1970.
    pub issued_at_unix_ms: i64,
    /// When it ends, in s since 1970.
    pub not_after_unix_s: i64,
}

/// Why nothing of a reply is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyRefused {
    /// Chain and key are no SVID.
    Svid(SvidError),
    /// It is for somebody else than we are.
    OtherIdentity {
        /// Whom.
        found: SpiffeId,
        /// Who we are.
        wanted: SpiffeId,
    },
    /// It is of another trust domain.
    OtherDomain {
        /// For whom.
        found: SpiffeId,
        /// Ours.
        wanted: TrustDomain,
    },
    /// It says that the leaf ends at another time than the leaf does.
    NotAfter,
    /// It says that the leaf was issued at a time when the leaf does not hold.
    IssuedAt,
    /// There is no statement in it, or its statement is not believed.
    Statement(StatementRefused),
    /// No peer would believe the SVID.
    Refused(Refused),
}

impl ReplyRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            ReplyRefused::Svid(why) => why.reason(),
            ReplyRefused::OtherIdentity { .. } => "reply_other_identity",
            ReplyRefused::OtherDomain { .. } => "reply_other_domain",
            ReplyRefused::NotAfter => "reply_not_after",
            ReplyRefused::IssuedAt => "reply_issued_at",
            ReplyRefused::Statement(why) => why.reason(),
            ReplyRefused::Refused(why) => why.reason(),
        }
    }
}

impl fmt::Display for ReplyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the CA issued is not used: ")?;
        match self {
            ReplyRefused::Svid(why) => write!(f, "{why}; look at the CA's log"),
            ReplyRefused::OtherIdentity { found, wanted } => {
                write!(
                    f,
                    "it is for {found}, and this is {wanted}; look at the CA's log"
                )
            }
            ReplyRefused::OtherDomain { found, wanted } => write!(
                f,
                "it is for {found}, which is not in `{wanted}`; check identity.trustDomain and the join token"
            ),
            ReplyRefused::NotAfter => f.write_str(
                "its leaf does not end when the reply says; use one version for sidecar and CA",
            ),
            ReplyRefused::IssuedAt => f.write_str(
                "it says that its leaf was issued when the leaf does not hold; look at the CA's clock and log",
            ),
            ReplyRefused::Statement(why) => why.fmt(f),
            ReplyRefused::Refused(why) => write!(f, "{why}; compare the clocks of both machines"),
        }
    }
}
impl std::error::Error for ReplyRefused {}

impl Issued {
    /// Judges a reply. `held` is what we believe, `wanted` who we are if we already are somebody.
    pub fn of(
        reply: wire::IssueReply,
        key: Key,
        held: &SignedStatement,
        wanted: Option<&SpiffeId>,
        now: UnixTime,
    ) -> Result<Self, ReplyRefused> {
        let chain = reply.chain.into_iter().map(CertificateDer::from).collect();
        let svid = Svid::new(chain, key).map_err(ReplyRefused::Svid)?;
        let bundle = held.statement().bundle();
        check_identity(&svid.leaf().id, bundle.trust_domain(), wanted)?;
        let not_after = u64::try_from(reply.not_after_unix_s)
            .map(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        if not_after != Ok(Some(svid.leaf().not_after)) {
            return Err(ReplyRefused::NotAfter);
        }
        let came = reply
            .statement
            .ok_or(StatementRefused::EmptyChain)
            .and_then(statement_from_wire)
            .map_err(ReplyRefused::Statement)?;
        let statement = walk(held, &[came]).map_err(ReplyRefused::Statement)?;
        let verifier = Verifier::new(Bundles::of(statement.statement().bundle().clone()));
        for role in [Role::Client, Role::Server] {
            verifier
                .verify(svid.chain(), role, now)
                .map_err(ReplyRefused::Refused)?;
        }
        // From here the life is counted: a word of another time would have the leaf renewed without end, or never.
        if !holds_at(svid.leaf(), reply.issued_at_unix_ms) {
            return Err(ReplyRefused::IssuedAt);
        }
        Ok(Issued {
            svid,
            statement,
            issued_at_unix_ms: reply.issued_at_unix_ms,
            not_after_unix_s: reply.not_after_unix_s,
        })
    }
}

fn holds_at(leaf: &Leaf, unix_ms: i64) -> bool {
    u64::try_from(unix_ms)
        .ok()
        .and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
        .is_some_and(|moment| leaf.not_before <= moment && moment < leaf.not_after)
}

fn check_identity(
    found: &SpiffeId,
    domain: &TrustDomain,
    wanted: Option<&SpiffeId>,
) -> Result<(), ReplyRefused> {
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        return Err(ReplyRefused::OtherIdentity {
            found: found.clone(),
            wanted: wanted.clone(),
        });
    }
    match found.is_in(domain) {
        true => Ok(()),
        false => Err(ReplyRefused::OtherDomain {
            found: found.clone(),
            wanted: domain.clone(),
        }),
    }
}

/// Reads a statement as the wire has it.
pub fn statement_from_wire(
    statement: wire::Statement,
) -> Result<SignedStatement, StatementRefused> {
    let signatures = statement
        .signatures
        .into_iter()
        .map(|given| {
            Ok(Signature {
                root_key_id: given
                    .root_key_id
                    .try_into()
                    .map_err(|_| StatementRefused::Signatures)?,
                signature: given.signature,
            })
        })
        .collect::<Result<_, _>>()?;
    SignedStatement::from_parts(statement.body, signatures)
}

/// Writes a statement as the wire has it.
pub fn statement_to_wire(statement: &SignedStatement) -> wire::Statement {
    wire::Statement {
        body: statement.body().to_vec(),
        signatures: statement
            .signatures()
            .iter()
            .map(|given| wire::Signature {
                root_key_id: given.root_key_id.to_vec(),
                signature: given.signature.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Bundle, Statement};
    use mint::Authority;

    const ORDERS: &str = "spiffe://shop.example/orders";

    fn signed(sequence: u64, roots: &[&Authority], by: &[&Authority]) -> SignedStatement {
        let domain = TrustDomain::parse(&roots[0].trust_domain).unwrap();
        let ders = roots
            .iter()
            .map(|root| CertificateDer::from(root.root.clone()));
        let bundle = Bundle::from_roots(domain, ders.collect()).unwrap();
        let keys: Vec<Key> = by.iter().map(|root| key_of(&root.key)).collect();
        let keys: Vec<&Key> = keys.iter().collect();
        SignedStatement::sign(Statement::new(&bundle, sequence, 5).unwrap(), &keys).unwrap()
    }

    fn key_of(key: &mint::Key) -> Key {
        Key::from_pkcs8(&key.pkcs8()).unwrap()
    }

    /// A reply with this leaf, and the key that belongs to it.
    fn reply(svid: &mint::Svid, statement: &SignedStatement) -> (wire::IssueReply, Key) {
        let not_after = Leaf::parse(&svid.chain[0]).unwrap().not_after;
        let end = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let reply = wire::IssueReply {
            chain: svid.chain.clone(),
            statement: Some(statement_to_wire(statement)),
            issued_at_unix_ms: mint::now_s() * 1000,
            not_after_unix_s: i64::try_from(end.as_secs()).unwrap(),
            log_index: 0,
        };
        (reply, key_of(&svid.key))
    }

    fn judge(
        (reply, key): (wire::IssueReply, Key),
        held: &SignedStatement,
    ) -> Result<u64, &'static str> {
        let orders = SpiffeId::parse(ORDERS).unwrap();
        Issued::of(reply, key, held, Some(&orders), UnixTime::now())
            .map(|issued| issued.statement.statement().sequence())
            .map_err(|why| why.reason())
    }

    #[test]
    fn a_reply_is_used_when_a_peer_would_believe_it() {
        let root = Authority::root("shop.example");
        let held = signed(5, &[&root], &[&root]);
        let leaf = root.issuer().leaf(ORDERS);
        assert_eq!(judge(reply(&leaf, &held), &held), Ok(5));
        assert_eq!(
            judge(reply(&leaf, &signed(6, &[&root], &[&root])), &held),
            Ok(6)
        );
        // An older statement changes nothing, and hides nothing.
        assert_eq!(
            judge(reply(&leaf, &signed(4, &[&root], &[&root])), &held),
            Ok(5)
        );
    }

    #[test]
    fn a_new_root_is_believed_only_by_statement() {
        let (old, new) = (
            Authority::root("shop.example"),
            Authority::root("shop.example"),
        );
        let held = signed(5, &[&old], &[&old]);
        let leaf = new.issuer().leaf(ORDERS);
        let check = |by: &[&Authority], expected| {
            assert_eq!(
                judge(reply(&leaf, &signed(6, &[&old, &new], by)), &held),
                expected
            );
        };
        check(&[&old, &new], Ok(6));
        check(&[&new], Err("statement_not_by_held_root"));
        check(&[&old], Err("statement_not_by_added_root"));
        assert_eq!(judge(reply(&leaf, &held), &held), Err("unknown_issuer"));
    }

    #[test]
    fn what_is_not_ours_or_not_good_is_refused_with_its_own_reason() {
        let root = Authority::root("shop.example");
        let held = signed(5, &[&root], &[&root]);
        let issuer = root.issuer();
        let good = || reply(&issuer.leaf(ORDERS), &held);

        let other = issuer.leaf("spiffe://shop.example/payments");
        assert_eq!(
            judge(reply(&other, &held), &held),
            Err("reply_other_identity")
        );
        assert_eq!(
            judge((good().0, Key::generate().unwrap()), &held),
            Err("key_mismatch")
        );
        let ended = issuer.leaf_with(ORDERS, |draft| draft.not_after = mint::now_s() - 1);
        assert_eq!(judge(reply(&ended, &held), &held), Err("expired"));

        let changed = |change: fn(&mut wire::IssueReply)| {
            let (mut reply, key) = good();
            change(&mut reply);
            judge((reply, key), &held)
        };
        assert_eq!(changed(|reply| reply.chain.clear()), Err("svid_empty"));
        assert_eq!(
            changed(|reply| reply.not_after_unix_s += 1),
            Err("reply_not_after")
        );
        assert_eq!(
            changed(|reply| reply.not_after_unix_s = -1),
            Err("reply_not_after")
        );
        // Of either, no life could be told: the leaf would be renewed never, or without end.
        for issued_at_unix_ms in [i64::MIN, -1, 0, i64::MAX] {
            let (mut reply, key) = good();
            reply.issued_at_unix_ms = issued_at_unix_ms;
            assert_eq!(judge((reply, key), &held), Err("reply_issued_at"));
        }
        let end = |reply: &mut wire::IssueReply| {
            reply.issued_at_unix_ms = reply.not_after_unix_s * 1000;
        };
        assert_eq!(changed(end), Err("reply_issued_at"));
        assert_eq!(
            changed(|reply| reply.statement = None),
            Err("statement_chain_empty")
        );
        assert_eq!(
            changed(|reply| reply.statement.as_mut().unwrap().signatures[0]
                .root_key_id
                .truncate(20)),
            Err("statement_signatures")
        );
    }

    #[test]
    fn a_first_certificate_may_be_anybodys_in_our_domain_and_nobodys_else() {
        let (ours, other) = (
            Authority::root("shop.example"),
            Authority::root("other.example"),
        );
        let held = signed(5, &[&ours], &[&ours]);
        let judge = |(reply, key)| {
            Issued::of(reply, key, &held, None, UnixTime::now())
                .map(|issued| issued.svid.leaf().id.to_string())
                .map_err(|why| why.reason())
        };
        assert_eq!(
            judge(reply(&ours.issuer().leaf(ORDERS), &held)),
            Ok(ORDERS.to_owned())
        );
        let foreign = other.issuer().leaf("spiffe://other.example/orders");
        assert_eq!(judge(reply(&foreign, &held)), Err("reply_other_domain"));
    }
}
