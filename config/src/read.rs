//! A reader over the tree that never stops at the first mistake.
//!
//! In: a [`Node`]. Out: text, items and values of keys, or [`crate::notes::Noted`]: proof that a finding says why not.
//! Not here: what keys there are ([`crate::key`]).

use crate::notes::{Noted, Notes, Read};
use crate::yaml::{self, Content, Node, is_bool, is_nothing, is_number, shown};
use crate::{Findings, NameError};
use std::path::Path;

/// Reads a whole document: every fault of its text, whatever `read` notes, and its value only if there is nothing.
pub(crate) fn document<T>(
    text: &str,
    file: &Path,
    read: impl FnOnce(&Value<'_>) -> Read<T>,
) -> Result<T, Findings> {
    let notes = Notes::new(file);
    let (tree, faults) = yaml::read(text);
    for fault in faults {
        notes.note(fault.place, "", fault.what, fault.help);
    }
    let value = tree.map(|root| read(&Value::alone(&root, &notes)));
    match value {
        Some(Ok(value)) if notes.is_clean() => Ok(value),
        _ => Err(notes.into_findings()),
    }
}

/// Looks at one thing in a document, whatever else is wrong with it.
pub(crate) fn glance<T>(
    text: &str,
    file: &Path,
    look: impl FnOnce(&Value<'_>) -> Option<T>,
) -> Option<T> {
    let (notes, root) = (Notes::new(file), yaml::read(text).0?);
    look(&Value::alone(&root, &notes))
}

/// Something in the document, where it stands, and where to write down what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Value<'d> {
    pub(crate) node: &'d Node,
    pub(crate) at: String,
    pub(crate) notes: &'d Notes,
}

impl<'d> Value<'d> {
    /// A document, or a value of which nobody needs to know where it stands.
    pub(crate) fn alone(node: &'d Node, notes: &'d Notes) -> Self {
        Self {
            node,
            at: String::new(),
            notes,
        }
    }

    pub(crate) fn note(&self, what: impl Into<String>, help: impl Into<String>) -> Noted {
        self.notes.note(self.node.place, &self.at, what, help)
    }

    /// Of another kind than wanted. What was refused already is not mentioned twice.
    pub(crate) fn wrong_kind(&self, wanted: &str) -> Noted {
        match &self.node.content {
            Content::Refused => self.notes.refused_by_tree(),
            Content::Scalar { text, plain: true } if is_nothing(text) => {
                self.note("has no value", format!("wanted {wanted}"))
            }
            _ => self.note(format!("is {}", self.kind()), format!("wanted {wanted}")),
        }
    }

    fn kind(&self) -> String {
        match &self.node.content {
            Content::Scalar { text, plain: true } if is_nothing(text) => "nothing".into(),
            Content::Scalar { text, plain: true } if is_bool(text) => {
                format!("the truth value {}", shown(text))
            }
            Content::Scalar { text, plain: true } if is_number(text) => {
                format!("the number {}", shown(text))
            }
            Content::Scalar { text, .. } => format!("the text {}", shown(text)),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a mapping".into(),
            Content::Refused => "refused".into(),
        }
    }

    /// Text: quoted, or plain where YAML takes it for nothing else (YAML 1.2.2 §10.3).
    pub(crate) fn text(&self, wanted: &str) -> Read<&'d str> {
        match &self.node.content {
            Content::Scalar { text, plain }
                if !*plain || !(is_nothing(text) || is_bool(text) || is_number(text)) =>
            {
                Ok(text)
            }
            Content::Scalar { text, .. } if !is_nothing(text) => Err(self.note(
                format!("is {}", self.kind()),
                format!("wanted {wanted}; quote it if it is meant as text"),
            )),
            _ => Err(self.wrong_kind(wanted)),
        }
    }

    /// A plain scalar, or a quoted one.
    pub(crate) fn scalar(&self, wanted: &str) -> Read<&'d str> {
        match &self.node.content {
            Content::Scalar { text, plain } if !(*plain && is_nothing(text)) => Ok(text),
            _ => Err(self.wrong_kind(wanted)),
        }
    }

    /// Text of a grammar.
    pub(crate) fn parse<T>(
        &self,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Read<T> {
        let text = self.text(wanted)?;
        parse(text).map_err(|error| {
            self.note(
                format!("{}: {error}", shown(text)),
                format!("wanted {wanted}"),
            )
        })
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Read<Vec<Value<'d>>> {
        let Content::List(items) = &self.node.content else {
            return Err(self.wrong_kind("a list"));
        };
        let item = |(n, node)| Value {
            node,
            at: format!("{}[{n}]", self.at),
            notes: self.notes,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The value of a key, whatever it is.
    pub(crate) fn get(&self, key: &str) -> Option<Value<'d>> {
        Some(Value {
            node: self.node.get(key)?,
            at: below(&self.at, key),
            notes: self.notes,
        })
    }

    /// The items of the list behind a key; none if there is no such list.
    pub(crate) fn each(&self, key: &str) -> Vec<Value<'d>> {
        match self.get(key) {
            Some(list) if matches!(list.node.content, Content::List(_)) => {
                list.items().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Whether this is a single value, and not nothing.
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(&self.node.content, Content::Scalar { text, plain } if !(*plain && is_nothing(text)))
    }

    /// Whether this is exactly that text.
    pub(crate) fn is_text(&self, wanted: &str) -> bool {
        matches!(&self.node.content, Content::Scalar { text, .. } if text == wanted)
    }
}

/// The place of a key in the mapping at `at`.
pub(crate) fn below(at: &str, key: &str) -> String {
    let plain = key.len() <= 64 && key.chars().all(|c| c.is_alphanumeric());
    let key = if plain { key.into() } else { shown(key) };
    if at.is_empty() {
        key
    } else {
        format!("{at}.{key}")
    }
}
