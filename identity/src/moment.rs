//! Moments in the three forms that they come in: certificates count seconds since 1970 with a sign, webpki and rustls
//! without, and people read RFC 3339.

use rustls::pki_types::UnixTime;
use std::time::{Duration, SystemTime};

/// The moment so many seconds after 1970, or before; `None` where this machine cannot tell it.
pub(crate) fn from_seconds(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    }
}

/// For rustls and webpki, which know nothing before 1970.
pub(crate) fn to_unix(moment: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(
        moment
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// From rustls and webpki, to the second.
pub(crate) fn from_unix(moment: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(moment.as_secs())
}

/// A moment as people read it: RFC 3339 in UTC, whole seconds.
pub fn rfc3339(moment: SystemTime) -> String {
    use time::format_description::well_known::Rfc3339;
    let seconds = match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |before| -before)
        }
    };
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}
