//! `POST /token`.

use super::fields::{Fields, Malformed};
use serde_json::json;
use std::fmt;

/// Make a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCall {
    /// Whom it is to admit: a SPIFFE ID.
    pub id: String,
    /// How long it is good, in seconds.
    pub ttl_s: u64,
    /// How many keys it admits.
    pub uses: u32,
}

impl TokenCall {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"id": self.id, "ttl_s": self.ttl_s, "uses": self.uses}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        fields.only(&["id", "ttl_s", "uses"])?;
        Ok(TokenCall {
            id: fields.text("id")?,
            ttl_s: fields.number("ttl_s")?,
            uses: u32::try_from(fields.number("uses")?).map_err(|_| Malformed::Field("uses"))?,
        })
    }
}

/// A join token was made.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenMade {
    /// The token: whoever has it may join.
    pub token: String,
    /// The first second, since 1970, in which it is no longer good.
    pub ends_unix_s: u64,
}

impl fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMade")
            .field("token", &format_args!("…"))
            .field("ends_unix_s", &self.ends_unix_s)
            .finish()
    }
}

impl TokenMade {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"token": self.token, "ends_unix_s": self.ends_unix_s}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(TokenMade {
            token: fields.text("token")?,
            ends_unix_s: fields.number("ends_unix_s")?,
        })
    }
}
