//! How much one side may send to the other; beside each field in the definition stands the same number.
//!
//! In: a request as it was decoded. Out: nothing, or which field is [`OutOfBounds`]. Pure, and costs no look at the contents.
//!
//! 1. A request in its bounds is smaller than [`REQUEST_BYTES_MAX`], which is what a server sets as its decoder's limit.
use crate::ca_v1::{JoinRequest, KeyProof, RenewRequest, WatchRequest, join_request::Evidence};
use std::fmt;

/// A request, encoded: four times what the fullest one needs, for fields that later versions add.
pub const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// A reply, encoded: 64 statements of usual size, or one of the greatest size.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A certificate or a signing request, in DER.
pub const DER_BYTES_MAX: usize = 16 * 1024;
/// A join token, as printed.
pub const TOKEN_BYTES_MAX: usize = 512;
/// The name of an instance.
pub const INSTANCE_BYTES_MAX: usize = 128;
/// Capabilities in a request.
pub const CAPABILITIES_MAX: usize = 16;
/// A capability, or the name of a field.
pub const WORD_BYTES_MAX: usize = 64;
/// A signature of a certificate's key: RSA of 4096 bits fits twice.
pub const PROOF_BYTES_MAX: usize = 1024;
/// A certificate's serial (RFC 5280, 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;
/// What a client can say that it cannot enforce.
pub const UNSUPPORTED_MAX: usize = 16;
/// Why it cannot.
pub const WHY_BYTES_MAX: usize = 256;
/// Certificates in a chain.
pub const CHAIN_MAX: usize = 6;
/// Statements in a reply.
pub const STATEMENTS_MAX: usize = 64;
/// All statements of a reply together, unless one alone is bigger.
pub const STATEMENTS_BYTES_MAX: usize = 3 * 1024 * 1024;
/// A SHA-256.
const HASH_BYTES: usize = 32;

/// A field has more than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// The field's name in the definition.
    pub field: &'static str,
    /// What it has: bytes, or members of a repeated field.
    pub has: usize,
    /// What it may have.
    pub max: usize,
}

impl OutOfBounds {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "out_of_bounds"
    }
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutOfBounds { field, has, max } = self;
        write!(
            f,
            "request refused: `{field}` has {has} where at most {max} are taken; send less"
        )
    }
}

impl std::error::Error for OutOfBounds {}

/// Something whose size is bounded.
pub trait Bounded {
    /// Nothing, or the first field in the order of the definition that has too much.
    fn within_bounds(&self) -> Result<(), OutOfBounds>;
}

impl Bounded for JoinRequest {
    fn within_bounds(&self) -> Result<(), OutOfBounds> {
        at_most("csr", self.csr.len(), DER_BYTES_MAX)?;
        match &self.evidence {
            None => {}
            Some(Evidence::JoinToken(token)) => {
                at_most("join_token", token.len(), TOKEN_BYTES_MAX)?;
            }
        }
        at_most("instance", self.instance.len(), INSTANCE_BYTES_MAX)?;
        capabilities(&self.capabilities)
    }
}

impl Bounded for RenewRequest {
    fn within_bounds(&self) -> Result<(), OutOfBounds> {
        at_most("csr", self.csr.len(), DER_BYTES_MAX)?;
        at_most("instance", self.instance.len(), INSTANCE_BYTES_MAX)?;
        capabilities(&self.capabilities)?;
        self.proof.as_ref().map_or(Ok(()), Bounded::within_bounds)
    }
}

impl Bounded for KeyProof {
    fn within_bounds(&self) -> Result<(), OutOfBounds> {
        at_most("leaf", self.leaf.len(), DER_BYTES_MAX)?;
        at_most("signature", self.signature.len(), PROOF_BYTES_MAX)
    }
}

impl Bounded for WatchRequest {
    fn within_bounds(&self) -> Result<(), OutOfBounds> {
        let unsupported = self.enforced.iter().flat_map(|now| &now.unsupported);
        at_most("unsupported", unsupported.clone().count(), UNSUPPORTED_MAX)?;
        for one in unsupported {
            at_most("what", one.what.len(), WORD_BYTES_MAX)?;
            at_most("why", one.why.len(), WHY_BYTES_MAX)?;
        }
        at_most("leaf_serial", self.leaf_serial.len(), SERIAL_BYTES_MAX)?;
        at_most("instance", self.instance.len(), INSTANCE_BYTES_MAX)?;
        capabilities(&self.capabilities)?;
        at_most("policy_hash", self.policy_hash.len(), HASH_BYTES)
    }
}

fn capabilities(words: &[String]) -> Result<(), OutOfBounds> {
    at_most("capabilities", words.len(), CAPABILITIES_MAX)?;
    words
        .iter()
        .try_for_each(|word| at_most("capabilities", word.len(), WORD_BYTES_MAX))
}

fn at_most(field: &'static str, has: usize, max: usize) -> Result<(), OutOfBounds> {
    if has > max {
        Err(OutOfBounds { field, has, max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca_v1::{Enforced, Unsupported};
    use prost::Message;

    /// The fullest requests that are taken.
    fn join() -> JoinRequest {
        JoinRequest {
            csr: vec![0; DER_BYTES_MAX],
            evidence: Some(Evidence::JoinToken("t".repeat(TOKEN_BYTES_MAX))),
            instance: "i".repeat(INSTANCE_BYTES_MAX),
            capabilities: vec!["c".repeat(WORD_BYTES_MAX); CAPABILITIES_MAX],
        }
    }

    fn renew() -> RenewRequest {
        RenewRequest {
            csr: vec![0; DER_BYTES_MAX],
            instance: "i".repeat(INSTANCE_BYTES_MAX),
            capabilities: vec!["c".repeat(WORD_BYTES_MAX); CAPABILITIES_MAX],
            proof: Some(KeyProof {
                leaf: vec![0; DER_BYTES_MAX],
                made_at_unix_ms: i64::MIN,
                signature: vec![0; PROOF_BYTES_MAX],
            }),
        }
    }

    fn watch() -> WatchRequest {
        let unsupported = Unsupported {
            what: "w".repeat(WORD_BYTES_MAX),
            wanted: u64::MAX,
            why: "y".repeat(WHY_BYTES_MAX),
        };
        WatchRequest {
            enforced: Some(Enforced {
                statement_sequence: u64::MAX,
                revocation_epoch: u64::MAX,
                unsupported: vec![unsupported; UNSUPPORTED_MAX],
            }),
            leaf_serial: vec![0; SERIAL_BYTES_MAX],
            instance: "i".repeat(INSTANCE_BYTES_MAX),
            capabilities: vec!["c".repeat(WORD_BYTES_MAX); CAPABILITIES_MAX],
            policy_hash: vec![0; HASH_BYTES],
        }
    }

    fn check_fits(request: &(impl Bounded + Message)) {
        assert_eq!(request.within_bounds(), Ok(()));
        assert!(
            request.encoded_len() < REQUEST_BYTES_MAX,
            "{}",
            request.encoded_len()
        );
    }

    #[test]
    fn the_fullest_request_fits_what_a_server_reads() {
        check_fits(&join());
        check_fits(&renew());
        check_fits(&watch());
    }

    /// One more of something than is taken is refused by the field's name.
    fn check<R: Bounded>(mut full: R, grow: impl FnOnce(&mut R), field: &'static str, max: usize) {
        grow(&mut full);

        let has = max + 1;
        assert_eq!(full.within_bounds(), Err(OutOfBounds { field, has, max }));
    }

    #[test]
    fn one_more_than_is_taken_is_refused_by_name() {
        check(join(), |r| r.csr.push(0), "csr", DER_BYTES_MAX);
        let token = Evidence::JoinToken("t".repeat(TOKEN_BYTES_MAX + 1));
        check(
            join(),
            |r| r.evidence = Some(token),
            "join_token",
            TOKEN_BYTES_MAX,
        );
        check(
            join(),
            |r| r.instance.push('i'),
            "instance",
            INSTANCE_BYTES_MAX,
        );
        check(
            join(),
            |r| r.capabilities.push(String::new()),
            "capabilities",
            CAPABILITIES_MAX,
        );
        check(
            join(),
            |r| r.capabilities[3].push('c'),
            "capabilities",
            WORD_BYTES_MAX,
        );

        check(renew(), |r| r.csr.push(0), "csr", DER_BYTES_MAX);
        check(
            renew(),
            |r| r.instance.push('i'),
            "instance",
            INSTANCE_BYTES_MAX,
        );
        check(
            renew(),
            |r| r.capabilities[0].push('c'),
            "capabilities",
            WORD_BYTES_MAX,
        );
        let grow = |r: &mut RenewRequest| r.proof.iter_mut().for_each(|p| p.leaf.push(0));
        check(renew(), grow, "leaf", DER_BYTES_MAX);
        let grow = |r: &mut RenewRequest| r.proof.iter_mut().for_each(|p| p.signature.push(0));
        check(renew(), grow, "signature", PROOF_BYTES_MAX);

        let enforced = |grow: fn(&mut Vec<Unsupported>)| {
            move |r: &mut WatchRequest| r.enforced.iter_mut().for_each(|e| grow(&mut e.unsupported))
        };
        let one_more = enforced(|all| all.push(Unsupported::default()));
        check(watch(), one_more, "unsupported", UNSUPPORTED_MAX);
        check(
            watch(),
            enforced(|all| all[15].what.push('w')),
            "what",
            WORD_BYTES_MAX,
        );
        check(
            watch(),
            enforced(|all| all[0].why.push('y')),
            "why",
            WHY_BYTES_MAX,
        );
        check(
            watch(),
            |r| r.leaf_serial.push(0),
            "leaf_serial",
            SERIAL_BYTES_MAX,
        );
        check(
            watch(),
            |r| r.instance.push('i'),
            "instance",
            INSTANCE_BYTES_MAX,
        );
        check(
            watch(),
            |r| r.policy_hash.push(0),
            "policy_hash",
            HASH_BYTES,
        );
    }
}
