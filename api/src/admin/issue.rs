//! `POST /issue`.

use super::fields::{Fields, Malformed};
use serde_json::json;

/// Issue a certificate for the key of a signing request. The key itself stays with who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueCall {
    /// Whom it is to name: a SPIFFE ID.
    pub id: String,
    /// The signing request, PKCS#10 in PEM; nothing is taken from it but its key.
    pub csr: String,
    /// How long it is to live, in seconds; `None` for as long as this CA's leaves live.
    pub ttl_s: Option<u64>,
}

impl IssueCall {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"id": self.id, "csr": self.csr, "ttl_s": self.ttl_s}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        fields.only(&["id", "csr", "ttl_s"])?;
        Ok(IssueCall {
            id: fields.text("id")?,
            csr: fields.text("csr")?,
            ttl_s: fields.optional("ttl_s", Fields::number)?,
        })
    }
}

/// A certificate was issued, and stands in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueMade {
    /// Its serial in lower-case hexadecimal.
    pub serial: String,
    /// Its place in the record.
    pub index: u64,
    /// Its end, in seconds since 1970.
    pub not_after_unix_s: u64,
    /// The leaf, then the issuer, in PEM.
    pub chain: String,
    /// The roots to trust, in PEM.
    pub bundle: String,
}

impl IssueMade {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({
            "serial": self.serial, "index": self.index, "not_after_unix_s": self.not_after_unix_s,
            "chain": self.chain, "bundle": self.bundle,
        })
        .to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(IssueMade {
            serial: fields.text("serial")?,
            index: fields.number("index")?,
            not_after_unix_s: fields.number("not_after_unix_s")?,
            chain: fields.text("chain")?,
            bundle: fields.text("bundle")?,
        })
    }
}
