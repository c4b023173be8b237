//! What was found in one document so far, and the text of a file to look into.
//!
//! In: mistakes and their places. Out: [`Findings`] in the order of the file, and for each mistake a [`Noted`].
//!
//! 1. Only [`Notes`] makes a [`Noted`], and only for what a finding or a fault of the tree explains.

use crate::yaml::{self, Place};
use crate::{Finding, Findings};
use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Proof that a finding says why there is no value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted(());

/// A value, or proof that a finding says why there is none.
pub(crate) type Read<T> = Result<T, Noted>;

/// More are not written down: whoever has these has enough to do.
const FINDINGS_MAX: usize = 100;

/// What was found in one document so far.
#[derive(Debug)]
pub(crate) struct Notes {
    file: Arc<PathBuf>,
    found: RefCell<Vec<Finding>>,
    left_out: Cell<usize>,
}

impl Notes {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: Arc::new(file.to_path_buf()),
            found: RefCell::default(),
            left_out: Cell::new(0),
        }
    }

    /// Writes a finding down.
    pub(crate) fn note(
        &self,
        place: Place,
        at: &str,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Noted {
        let mut found = self.found.borrow_mut();
        if found.len() < FINDINGS_MAX {
            let (what, help) = (what.into(), help.into());
            found.push(Finding {
                file: self.file.clone(),
                line: place.line,
                column: place.column,
                at: at.into(),
                what,
                help,
            });
        } else {
            self.left_out.set(self.left_out.get() + 1);
        }
        Noted(())
    }

    /// For [`yaml::Content::Refused`]: the fault that refused it is its finding.
    pub(crate) fn refused_by_tree(&self) -> Noted {
        Noted(())
    }

    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Whether further findings are only counted: what would help with them need not be worked out.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().len() >= FINDINGS_MAX
    }

    /// The file as the user named it.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// A path of the document: relative ones start from its folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    pub(crate) fn into_findings(self) -> Findings {
        let mut found = self.found.into_inner();
        found.sort_by_key(|finding| (finding.line, finding.column));
        if self.left_out.get() > 0 {
            let what = format!("{} more findings are not shown", self.left_out.get());
            found.push(Finding {
                file: self.file,
                line: 0,
                column: 0,
                at: String::new(),
                what,
                help: "mend these first".into(),
            });
        }
        Findings(found)
    }
}

/// The text of a file, or why there is none as a finding about the whole file. Never more than a document may hold.
pub fn text_of(file: &Path) -> Result<String, Finding> {
    let about_file = |what: String, help: &str| Finding {
        file: Arc::new(file.to_path_buf()),
        line: 0,
        column: 0,
        at: String::new(),
        what,
        help: help.into(),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| {
            open.take(yaml::DOCUMENT_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|error| {
            about_file(
                format!("cannot be read: {error}"),
                "check the path and its permissions",
            )
        })?;
    if bytes.len() > yaml::DOCUMENT_BYTES_MAX {
        return Err(about_file("is larger than 1 MiB".into(), "split it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        Finding {
            line,
            column: 1,
            ..about_file("is not UTF-8 from here on".into(), "save it as UTF-8")
        }
    })
}
