//! Who the caller is, by what it shows.
//!
//! In: a join token and the key that it is shown for, or the verified peer of the connection. Out: [`Attested`], which only
//! this module makes. No side effect: a token is spent when the certificate is recorded, in one transaction with it.

use crate::record::KeyHash;
use crate::refusal::Refusal;
use crate::store::Ledger;
use crate::template::Serial;
use crate::token::{Token, TokenHash};
use config::SpiffeId;
use identity::Peer;
use std::time::SystemTime;

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
    Certificate { parent: Serial, sha256: [u8; 32] },
}

/// The attestor of tokens.
pub(crate) const JOIN_TOKEN: &str = "join_token";
/// The attestor of renewals over mTLS.
pub(crate) const CURRENT_SVID: &str = "current_svid";

impl Attested {
    /// By a token, which would admit this key now.
    pub(crate) async fn by_token(
        ledger: &impl Ledger,
        text: &str,
        key: KeyHash,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let token = Token::parse(text)?.hash();
        let admits = ledger.look_up(token, key, now).await?;
        Ok(Attested {
            id: admits.id,
            by: By::Token(token),
        })
    }

    /// By the certificate of the connection, which was verified for this very call.
    pub(crate) fn by_certificate(peer: &Peer) -> Result<Self, Refusal> {
        let parent = serial(&peer.serial).ok_or(Refusal::ForeignSerial)?;
        Ok(Attested {
            id: peer.id.clone(),
            by: By::Certificate {
                parent,
                sha256: peer.leaf_sha256,
            },
        })
    }

    /// Whose certificate may be issued.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// What it was shown by.
    pub(crate) fn by(&self) -> By {
        self.by
    }
}

/// From lower-case hex.
fn serial(hex: &str) -> Option<Serial> {
    let octets: Option<Vec<u8>> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect();
    Serial::from_octets(&octets?)
}
