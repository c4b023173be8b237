//! A sidecar's access log, read as an operator would: lines that came since a moment.

use super::folder::{Folder, Who};
use super::observe::Broken;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// A line is written when its exchange is over, a moment after the caller has the answer.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// An access log from a moment on.
pub(crate) struct Journal {
    whose: &'static str,
    path: PathBuf,
    from: usize,
}

impl Journal {
    /// Of somebody's sidecar, from now on.
    pub(crate) fn from_now(folder: &Folder, who: Who) -> Self {
        let path = folder.file(who, "access.log");
        let from = std::fs::read(&path).map_or(0, |text| text.len());
        Journal {
            whose: who.name(),
            path,
            from,
        }
    }
    /// The first line that is `wanted`; without it, the log does not tell of `what`.
    pub(crate) async fn line(
        &self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Broken> {
        let look = async {
            loop {
                if let Some(line) = self.lines().into_iter().find(&wanted) {
                    return line;
                }
                // A file tells nobody that it grew.
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let found = tokio::time::timeout(WRITTEN_WITHIN, look).await;
        found.map_err(|_| Broken::Untold {
            whose: self.whose,
            what: what.to_owned(),
        })
    }
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let new = text.get(self.from..).unwrap_or_default();
        // A line that is half written is none yet.
        new.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// A field of a line; empty if it is not there.
pub(crate) fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}
