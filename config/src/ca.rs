//! The CA's document.
use crate::{Findings, TrustDomain};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A valid CA document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// The trust domain it speaks for.
    pub trust_domain: TrustDomain,
    /// Where keys and state lie.
    pub dir: PathBuf,
    /// How long a leaf lives when nobody asks for another time.
    pub leaf_ttl: Duration,
    /// The longest that anyone may ask for.
    pub leaf_ttl_max: Duration,
}
impl Ca {
    /// Reads the text of a document; `file` is what findings name and what relative paths start from.
    pub fn parse(_text: &str, _file: &Path) -> Result<Self, Findings> {
        todo!()
    }
    /// Reads a file.
    pub fn load(_file: &Path) -> Result<Self, Findings> {
        todo!()
    }
}
