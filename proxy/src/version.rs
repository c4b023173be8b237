//! Which version of HTTP a hop speaks.

use crate::metered::Metered;
use daemon::drain::Draining;
use std::time::Duration;

/// What the client spoke, end to end: a hop never translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The connection preface of HTTP/2 (RFC 9113 §3.4): no HTTP/1 request begins with it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Who sends two bytes and then nothing is looked at less and less often: a crowd of them must cost nothing.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(250);

impl Version {
    /// The same as [`Version::spoken`], until the drain starts.
    pub(crate) async fn spoken_unless(
        socket: &Metered,
        within: Duration,
        stop: &Draining,
    ) -> Option<Version> {
        tokio::select! {
            version = Version::spoken(socket, within) => version,
            () = stop.started() => None,
        }
    }
    /// Which version is spoken in clear text, by the first bytes, left in the socket; `None` when it leaves or stays silent.
    ///
    /// The first byte decides in almost every case: only `P` (POST, PUT, PATCH, PROPFIND, PRI) asks for a second look.
    pub(crate) async fn spoken(socket: &Metered, within: Duration) -> Option<Version> {
        let mut seen = [0; PREFACE.len()];
        let deadline = tokio::time::Instant::now() + within;
        let mut pause = PAUSE_MIN;
        loop {
            let count = tokio::time::timeout_at(deadline, socket.peek(&mut seen))
                .await
                .ok()?
                .ok()?;
            match &seen[..count] {
                [] => return None,
                bytes if !PREFACE.starts_with(bytes) => return Some(Version::Http1),
                // "PR" is enough to rule out every method in use but PROPFIND and PROPPATCH, whose third byte differs.
                bytes if bytes.len() >= 3 => return Some(Version::Http2),
                // One or two bytes came alone. Readiness does not fire again for bytes that were only peeked at.
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSE_MAX);
            if tokio::time::Instant::now() >= deadline {
                return None;
            }
        }
    }
}
