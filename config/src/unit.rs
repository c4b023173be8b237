//! Durations (`10s`, `1h30m`, `250ms`), sizes (`64KiB`) and rates.
use crate::NameError;
use std::time::Duration;

/// Reads `250ms`, `10s`, `5m`, `1h`, `7d` or a sum of them such as `1h30m`. A bare number is refused.
pub fn duration(_text: &str) -> Result<Duration, NameError> {
    todo!()
}
/// Reads `512`, `64KiB`, `1MiB`; bytes.
pub fn size(_text: &str) -> Result<u64, NameError> {
    todo!()
}
