//! `GET /bundle`: whose answer is no JSON of this interface but a document for others.

use super::fields::{Malformed, query};

/// In which form the roots are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BundleCall {
    /// Certificates in PEM.
    #[default]
    Pem,
    /// A SPIFFE bundle: a JWKS with a sequence.
    Spiffe,
}

impl BundleCall {
    /// The path and query.
    pub fn to_target(self) -> &'static str {
        match self {
            BundleCall::Pem => "/bundle",
            BundleCall::Spiffe => "/bundle?format=spiffe",
        }
    }

    /// From a query.
    pub fn from_query(text: Option<&str>) -> Result<Self, Malformed> {
        let [format] = query(text, ["format"])?;
        match format.as_deref() {
            None | Some("pem") => Ok(BundleCall::Pem),
            Some("spiffe") => Ok(BundleCall::Spiffe),
            Some(_) => Err(Malformed::Field("format")),
        }
    }
}
