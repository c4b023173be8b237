//! `/logging` on the admin socket: what the process writes to its log, looked at and set while it runs.
//!
//! In: GET, or PUT and POST with a filter as text. Out: the filter in force. The log itself is the process's; this only asks it.
//!
//! 1. Whoever sets it is in the log with their uid, under the filter before or, where that is silent, under the new one.

use bytes::Bytes;
use daemon::admin::User;
use daemon::pages::Page;
use http::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;

/// What decides which lines a process logs.
pub trait LogFilter: Send + Sync {
    /// As it was set.
    fn text(&self) -> String;
    /// In force from now on; the error says what is wrong with it and what to write.
    fn set(&self, text: &str) -> Result<(), String>;
}

/// Far more than all our crates with a level each.
const FILTER_BYTES_MAX: usize = 1024;

/// The filter of this process's log, if it has one that may be set.
pub(crate) struct Logging(Option<Arc<dyn LogFilter>>);

impl Logging {
    /// By this filter.
    pub(crate) fn of(filter: Option<Arc<dyn LogFilter>>) -> Self {
        Self(filter)
    }
    /// The page.
    pub(crate) fn page(&self, call: &http::Request<Bytes>, by: User) -> Page {
        let Some(filter) = &self.0 else {
            let why = "the log of this process is not filtered here";
            return Page::text(StatusCode::NOT_FOUND, why);
        };
        if matches!(*call.method(), Method::PUT | Method::POST)
            && let Err(why) = set(&**filter, call.body(), by)
        {
            return Page::text(StatusCode::BAD_REQUEST, why);
        }
        Page::json(format!("{:#}\n", json!({ "filter": filter.text() })))
    }
}

fn set(filter: &dyn LogFilter, body: &[u8], by: User) -> Result<(), String> {
    if body.len() > FILTER_BYTES_MAX {
        return Err(format!(
            "a filter has at most {FILTER_BYTES_MAX} bytes, and this has {}",
            body.len()
        ));
    }
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| "a filter is text, and this is no UTF-8".to_owned())?;
    let (before, after) = (filter.text(), text.trim());
    filter.set(after)?;
    if tracing::enabled!(tracing::Level::WARN) {
        tell(&before, after, by);
        return Ok(());
    }
    // Where the new filter is silent the one before tells.
    filter.set(&before)?;
    tell(&before, after, by);
    filter.set(after)
}

fn tell(before: &str, after: &str, by: User) {
    tracing::warn!(
        uid = by.uid,
        before,
        after,
        "the log has another filter, as was asked over the admin socket"
    );
}
