//! Paths of the file system.

use crate::NameError;
use crate::describe::{About, Shape};
use crate::key::Form;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// A path of the file system; relative ones start from the document's folder.
pub(crate) struct File;

impl Form for File {
    type Value = PathBuf;
    const SHAPE: Shape = Shape::Text {
        wanted: "the path of a file or folder",
        pattern: "",
    };
    fn read(value: &Value<'_>, _: &About) -> Read<PathBuf> {
        value
            .parse("the path of a file or folder", check_path)
            .map(|text| value.notes.resolve(&text))
    }
    fn show(path: &PathBuf) -> Json {
        path_text(path).into()
    }
}

pub(crate) fn check_path(text: &str) -> Result<String, NameError> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(NameError {
            why: format!("`{}` is not allowed in a path", c.escape_default()),
        }),
        None if text.is_empty() => Err(NameError {
            why: "is empty".into(),
        }),
        None => Ok(text.into()),
    }
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
