//! Join tokens: what a workload shows at first contact, and whether it may.
//!
//! In: text that an operator copied, the terms that a token was made with, who holds it now. Out: a [`Token`], its
//! [`TokenHash`], and the decision [`spend`]. Pure but for [`Token::generate`]. Not here: where tokens are kept.
//!
//! 1. A token is 256 random bits; only its SHA-256 is ever kept, and looking up the hash is what compares it.
//! 2. A slip of the pen is told from an unknown token without asking anybody: the text ends in a checksum.
//! 3. Neither text nor bits show in `Debug`, and both are wiped on drop.
//! 4. A token of N uses admits N different keys. A key that it admitted may repeat it until it ends.

use crate::text;
use aws_lc_rs::digest::{SHA256, digest};
use config::SpiffeId;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// What every token begins with, so that scanners of logs and repositories find those that leaked.
pub const TOKEN_PREFIX: &str = "cst_";
/// How long a token lives unless somebody says otherwise.
pub const TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// The longest life of a token: a month, because it is a password while it lives.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most keys that one token admits.
pub const TOKEN_USES_MAX: u32 = 100_000;

const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
const DIGITS: usize = 2 * (SECRET_BYTES + CHECKSUM_BYTES);

/// A join token in the clear.
pub struct Token(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.hash())
    }
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMalformed {
    /// It does not begin like one.
    Prefix,
    /// It has too few or too many digits.
    Length {
        /// How many there are behind the prefix.
        digits: usize,
    },
    /// It has a character that no token has.
    Character {
        /// Which one behind the prefix, from 1.
        position: usize,
    },
    /// It was mistyped.
    Checksum,
}

impl TokenMalformed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "token_malformed"
    }
}

impl fmt::Display for TokenMalformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("join token not readable: ")?;
        match self {
            TokenMalformed::Prefix => write!(f, "it does not begin with `{TOKEN_PREFIX}`")?,
            TokenMalformed::Length { digits } => {
                write!(f, "{digits} digits follow `{TOKEN_PREFIX}`, not {DIGITS}")?;
            }
            TokenMalformed::Character { position } => {
                write!(
                    f,
                    "character {position} behind `{TOKEN_PREFIX}` is no lower-case hex digit"
                )?;
            }
            TokenMalformed::Checksum => f.write_str("its checksum is wrong")?,
        }
        f.write_str("; copy it again, whole")
    }
}
impl std::error::Error for TokenMalformed {}

/// The system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl NoRandomness {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        "randomness"
    }
}
impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no token made: the system gives no random numbers; look at /dev/urandom")
    }
}
impl std::error::Error for NoRandomness {}

impl Token {
    /// A new one, from the system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(secret.as_mut()).map_err(|_| NoRandomness)?;
        Ok(Token(secret))
    }

    /// Reads the text of a token. Blanks around it are ignored: files end in a newline.
    pub fn parse(text: &str) -> Result<Self, TokenMalformed> {
        let digits = text
            .trim()
            .strip_prefix(TOKEN_PREFIX)
            .ok_or(TokenMalformed::Prefix)?
            .as_bytes();
        if let Some(at) = digits.iter().position(|byte| nibble(*byte).is_none()) {
            return Err(TokenMalformed::Character { position: at + 1 });
        }
        if digits.len() != DIGITS {
            return Err(TokenMalformed::Length {
                digits: digits.len(),
            });
        }
        let mut octets = Zeroizing::new([0; SECRET_BYTES + CHECKSUM_BYTES]);
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = pair
                .iter()
                .fold(0, |sum, byte| sum << 4 | nibble(*byte).unwrap_or(0));
        }
        let (secret, sum) = octets.split_at(SECRET_BYTES);
        let mut token = Token(Zeroizing::new([0; SECRET_BYTES]));
        token.0.copy_from_slice(secret);
        if token.checksum() == sum {
            Ok(token)
        } else {
            Err(TokenMalformed::Checksum)
        }
    }

    /// Its text: 76 characters, all of them letters, digits or `_`, so that a double click takes the whole.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + DIGITS));
        text.push_str(TOKEN_PREFIX);
        for octet in self.0.iter().chain(&self.checksum()) {
            for nibble in [octet >> 4, octet & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_ref()).as_ref());
        TokenHash(hash)
    }

    /// Under a label of its own, so that it is not the beginning of the hash that is kept.
    fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let mut labelled = Zeroizing::new([0; 8 + SECRET_BYTES]);
        labelled[..8].copy_from_slice(b"cst sum1");
        labelled[8..].copy_from_slice(self.0.as_ref());
        let mut sum = [0; CHECKSUM_BYTES];
        sum.copy_from_slice(&digest(&SHA256, labelled.as_ref()).as_ref()[..CHECKSUM_BYTES]);
        sum
    }
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// SHA-256 of a token. Knowing it gives nobody anything: a token cannot be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads one back.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        TokenHash(bytes)
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
/// The name of a token for operators: the first eight bytes of its hash.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0[..8]))
    }
}
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self})")
    }
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    id: SpiffeId,
    ttl: Duration,
    uses: u32,
}

/// Why no token is made on such terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsRefused {
    /// It would live too long, or not at all.
    Ttl {
        /// What was asked for.
        ttl: Duration,
    },
    /// It would admit too many keys, or none.
    Uses {
        /// What was asked for.
        uses: u32,
    },
}

impl TermsRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            TermsRefused::Ttl { .. } => "token_ttl",
            TermsRefused::Uses { .. } => "token_uses",
        }
    }
}
impl fmt::Display for TermsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TermsRefused::Ttl { ttl } => write!(
                f,
                "no token made: it would live {} s; choose from 1 s to {} s (30 days)",
                ttl.as_secs_f64(),
                TOKEN_TTL_MAX.as_secs()
            ),
            TermsRefused::Uses { uses } => write!(
                f,
                "no token made: it would admit {uses} keys; choose from 1 to {TOKEN_USES_MAX}"
            ),
        }
    }
}
impl std::error::Error for TermsRefused {}

impl Terms {
    /// For this identity, for so long from its making, for so many different keys.
    pub fn new(id: SpiffeId, ttl: Duration, uses: u32) -> Result<Self, TermsRefused> {
        if ttl < Duration::from_secs(1) || ttl > TOKEN_TTL_MAX {
            return Err(TermsRefused::Ttl { ttl });
        }
        if uses == 0 || uses > TOKEN_USES_MAX {
            return Err(TermsRefused::Uses { uses });
        }
        Ok(Terms { id, ttl, uses })
    }

    /// Whom it admits.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// How long from its making.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How many different keys.
    pub fn uses(&self) -> u32 {
        self.uses
    }
}

/// How a token stands with a key that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing<G> {
    /// The first second, since 1970, in which it is no longer good.
    pub(crate) ends_s: u64,
    pub(crate) uses: u32,
    pub(crate) used: u32,
    /// What this key got for it before.
    pub(crate) before: Option<G>,
}

/// A use that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spend<G> {
    /// The key is new to the token and takes one of its uses.
    First,
    /// The key was admitted before and lost the answer, or asks again.
    Again(G),
}

/// Why a token does not admit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// This CA never made it, or forgot it long after its end.
    Unknown,
    /// It has ended.
    Ended {
        /// When: a second since 1970.
        ended_s: u64,
    },
    /// Other keys have used it as often as it may be.
    Spent {
        /// How many keys that were.
        uses: u32,
    },
    /// It admits another identity.
    Identity {
        /// Which one.
        admits: SpiffeId,
    },
}

impl TokenRefused {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            TokenRefused::Unknown => "token_unknown",
            TokenRefused::Ended { .. } => "token_ended",
            TokenRefused::Spent { .. } => "token_spent",
            TokenRefused::Identity { .. } => "token_identity",
        }
    }
}
impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("join token refused: ")?;
        match self {
            TokenRefused::Unknown => {
                f.write_str("this ca does not know it; make one with `countersign ca token create`")
            }
            TokenRefused::Ended { ended_s } => write!(
                f,
                "it ended at {}; make a new one with `countersign ca token create`",
                text::date(*ended_s)
            ),
            TokenRefused::Spent { uses } => write!(
                f,
                "{uses} other key(s) used it up; make a new one, and find out who used this one if it was not yours"
            ),
            TokenRefused::Identity { admits } => {
                write!(
                    f,
                    "it admits {admits}; make one for the identity that is asked for"
                )
            }
        }
    }
}
impl std::error::Error for TokenRefused {}

/// Whether a token admits a key at this second.
pub(crate) fn spend<G>(standing: Standing<G>, now_s: u64) -> Result<Spend<G>, TokenRefused> {
    let Standing {
        ends_s,
        uses,
        used,
        before,
    } = standing;
    if now_s >= ends_s {
        return Err(TokenRefused::Ended { ended_s: ends_s });
    }
    match before {
        Some(before) => Ok(Spend::Again(before)),
        None if used < uses => Ok(Spend::First),
        None => Err(TokenRefused::Spent { uses }),
    }
}

#[cfg(test)]
mod tests;
