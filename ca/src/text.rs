//! Values as an operator reads them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Lower-case hex without separators.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A second since 1970 as `2026-11-24T15:00:00Z`.
pub fn date(unix_s: u64) -> String {
    i64::try_from(unix_s)
        .ok()
        .and_then(|unix_s| OffsetDateTime::from_unix_timestamp(unix_s).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix_s} s after 1970"))
}
