//! What any call may be answered.

use super::fields::{Fields, Malformed};
use serde_json::json;

/// The answer is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A label that never changes.
    pub error: String,
    /// What went wrong: why; what to do.
    pub message: String,
}

impl Refusal {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"error": self.error, "message": self.message}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(Refusal {
            error: fields.text("error")?,
            message: fields.text("message")?,
        })
    }
}
