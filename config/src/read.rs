//! A reader over the tree that never stops at the first mistake.
//!
//! In: a [`Node`] and the [`Element`] that describes it. Out: values, or [`Noted`]: proof that a finding was made.
//!
//! 1. A value is missing only where a finding says why: nothing but [`Notes::note`] makes a [`Noted`].
//! 2. Reading one key says nothing about another: take all keys first, then use `?`.

use crate::describe::{About, Element, Need, Shape};
use crate::yaml::{self, Content, Node, Place, shown};
use crate::{Finding, Findings, NameError};
use serde_json::Value as Json;
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
    fn new(file: &Path) -> Self {
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

    /// A path of the document: relative ones start from its folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn into_findings(self) -> Findings {
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
    let value = tree.map(|root| {
        read(&Value {
            node: &root,
            at: String::new(),
            notes: &notes,
        })
    });
    match value {
        Some(Ok(value)) if notes.found.borrow().is_empty() => Ok(value),
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
    look(&Value {
        node: &root,
        at: String::new(),
        notes: &notes,
    })
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

/// Something in the document, where it stands, and where to write down what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Value<'d> {
    pub(crate) node: &'d Node,
    pub(crate) at: String,
    pub(crate) notes: &'d Notes,
}

impl<'d> Value<'d> {
    pub(crate) fn note(&self, what: impl Into<String>, help: impl Into<String>) -> Noted {
        self.notes.note(self.node.place, &self.at, what, help)
    }

    /// Of another kind than wanted. What was refused already is not mentioned twice.
    pub(crate) fn wrong_kind(&self, wanted: &str) -> Noted {
        match &self.node.content {
            Content::Refused => Noted(()),
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

    /// What stands behind a key, if it is there (or has a default) and reads without a finding; notes nothing.
    /// For checks that span several keys: a mistake in one must not hide a mistake in another.
    pub(crate) fn peek<F: Form>(&self, key: &Key<F>) -> Option<F::Value> {
        match self.get(key.about.name) {
            Some(value) => value.read_quietly::<F>(&key.about),
            None => key.fallback(),
        }
    }

    /// This value, if it reads without a finding; notes nothing.
    pub(crate) fn quietly<F: Form>(&self) -> Option<F::Value> {
        self.read_quietly::<F>(&Key::<F>::new("", "").about)
    }

    fn read_quietly<F: Form>(&self, about: &About) -> Option<F::Value> {
        let notes = Notes::new(&self.notes.file);
        let read = F::read(
            &Value {
                node: self.node,
                at: String::new(),
                notes: &notes,
            },
            about,
        );
        read.ok().filter(|_| notes.found.borrow().is_empty())
    }

    /// Whether this is exactly that text.
    pub(crate) fn is_text(&self, wanted: &str) -> bool {
        matches!(&self.node.content, Content::Scalar { text, .. } if text == wanted)
    }

    /// The keys of a mapping, after noting those that `element` does not know or that are not built yet.
    pub(crate) fn fields(&self, element: &'static Element) -> Read<Fields<'d>> {
        let Content::Map(entries) = &self.node.content else {
            let keys: Vec<_> = element
                .keys
                .iter()
                .filter(|about| about.need != Need::NotYet)
                .map(|about| about.name)
                .collect();
            return Err(self.wrong_kind(&format!("a mapping with {}", keys.join(", "))));
        };
        let mut noted = Vec::new();
        for entry in entries {
            let at = below(&self.at, &entry.key);
            match element.key(&entry.key) {
                Some(About {
                    name,
                    need: Need::NotYet,
                    ..
                }) => {
                    noted.push((
                        *name,
                        self.notes
                            .note(entry.place, &at, "not supported yet", "remove it"),
                    ));
                }
                Some(_) => {}
                None => {
                    let meant = element.nearest(&entry.key);
                    let help = match meant {
                        Some(about) => format!("did you mean `{}`?", about.name),
                        None => format!(
                            "known here: {}",
                            element
                                .keys
                                .iter()
                                .map(|about| about.name)
                                .collect::<Vec<_>>()
                                .join(", ")
                        ),
                    };
                    let proof = self.notes.note(
                        entry.place,
                        &self.at,
                        format!("unknown key {}", shown(&entry.key)),
                        help,
                    );
                    noted.extend(meant.map(|about| (about.name, proof)));
                }
            }
        }
        Ok(Fields {
            of: self.clone(),
            element,
            noted,
            taken: RefCell::default(),
        })
    }
}

/// The keys of one mapping.
#[derive(Debug)]
pub(crate) struct Fields<'d> {
    of: Value<'d>,
    element: &'static Element,
    /// Keys whose absence a finding already explains: misspelt, or replaced by one that is not built yet.
    noted: Vec<(&'static str, Noted)>,
    taken: RefCell<Vec<&'static str>>,
}

impl Fields<'_> {
    /// A key that is required or has a default.
    pub(crate) fn take<F: Form>(&self, key: &Key<F>) -> Read<F::Value> {
        match (self.maybe(key)?, key.about.need) {
            (Some(value), _) => Ok(value),
            (None, Need::Default { text, .. }) => default(key, text, &self.of),
            (None, _) => Err(self.missing(&key.about)),
        }
    }

    /// A key that may be absent.
    pub(crate) fn maybe<F: Form>(&self, key: &Key<F>) -> Read<Option<F::Value>> {
        debug_assert!(
            self.element.key(key.about.name).is_some(),
            "{} does not describe {}",
            self.element.name,
            key.about.name
        );
        self.taken.borrow_mut().push(key.about.name);
        match self.of.get(key.about.name) {
            Some(value) => F::read(&value, &key.about).map(Some),
            None => Ok(None),
        }
    }

    /// A key whose value is refused for a reason that its form does not know.
    pub(crate) fn refuse<F: Form>(
        &self,
        key: &Key<F>,
        value: &Value<'_>,
        what: &str,
        help: &str,
    ) -> Read<F::Value> {
        self.taken.borrow_mut().push(key.about.name);
        Err(value.note(what, help))
    }

    /// Notes if none of the element's `any_of` is there.
    pub(crate) fn any(&self) -> Read<()> {
        let any_of = self.element.any_of;
        if any_of.is_empty() || any_of.iter().any(|name| self.of.get(name).is_some()) {
            return Ok(());
        }
        let explained = self.noted.iter().find(|(name, _)| any_of.contains(name));
        Err(explained.map_or_else(
            || {
                self.of.note(
                    format!("none of `{}` is there", any_of.join("`, `")),
                    "add at least one",
                )
            },
            |(_, proof)| *proof,
        ))
    }

    fn missing(&self, about: &About) -> Noted {
        let explained = |name: &str| name == about.name || about.instead.contains(&name);
        let help = if about.example.is_empty() {
            about.doc.to_string()
        } else {
            format!("add `{}: {}`", about.name, about.example)
        };
        match self.noted.iter().find(|(name, _)| explained(name)) {
            Some((_, proof)) => *proof,
            None => self.of.note(format!("`{}` is missing", about.name), help),
        }
    }
}

/// Every described key is read, or the description lies: checked wherever tests run.
#[cfg(debug_assertions)]
impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let taken = self.taken.borrow();
        for about in self
            .element
            .keys
            .iter()
            .filter(|about| about.need != Need::NotYet)
        {
            debug_assert!(
                std::thread::panicking() || taken.contains(&about.name),
                "{} never reads {}",
                self.element.name,
                about.name
            );
        }
    }
}

/// Reads a default as if it had been written where its mapping stands.
fn default<F: Form>(key: &Key<F>, text: &str, of: &Value<'_>) -> Read<F::Value> {
    let at = below(&of.at, key.about.name);
    match yaml::read(text).0 {
        Some(mut node) => {
            replant(&mut node, of.node.place);
            F::read(
                &Value {
                    node: &node,
                    at,
                    notes: of.notes,
                },
                &key.about,
            )
        }
        None => Err(of.note(
            format!("the default of `{}` does not read", key.about.name),
            "write it out",
        )),
    }
}

fn replant(node: &mut Node, place: Place) {
    node.place = place;
    match &mut node.content {
        Content::List(items) => items.iter_mut().for_each(|item| replant(item, place)),
        Content::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| replant(&mut entry.value, place)),
        Content::Scalar { .. } | Content::Refused => {}
    }
}

fn below(at: &str, key: &str) -> String {
    let plain = key.len() <= 64 && key.chars().all(|c| c.is_alphanumeric());
    let key = if plain { key.into() } else { shown(key) };
    if at.is_empty() {
        key
    } else {
        format!("{at}.{key}")
    }
}

/// How a value is read from a document and written into one; the type says which form a key has.
pub(crate) trait Form {
    /// What is read.
    type Value;
    /// What the schema and the reference say of it.
    const SHAPE: Shape;
    /// Reads one.
    fn read(value: &Value<'_>, about: &About) -> Read<Self::Value>;
    /// Writes one so that it reads back.
    fn show(value: &Self::Value) -> Json;
}

/// A key whose value has the form `F`. It is stated once, as a constant beside the noun that it belongs to.
pub(crate) struct Key<F> {
    pub(crate) about: About,
    form: std::marker::PhantomData<fn() -> F>,
}

impl<F: Form> Key<F> {
    /// A required key.
    pub(crate) const fn new(name: &'static str, doc: &'static str) -> Self {
        let about = About {
            name,
            doc,
            shape: F::SHAPE,
            need: Need::Required,
            typical: false,
            example: "",
            range: None,
            instead: &[],
        };
        Self {
            about,
            form: std::marker::PhantomData,
        }
    }

    /// Absent means this text, for this reason.
    pub(crate) const fn default(mut self, text: &'static str, because: &'static str) -> Self {
        self.about.need = Need::Default { text, because };
        self
    }

    /// Absent means what the doc says.
    pub(crate) const fn optional(mut self) -> Self {
        self.about.need = Need::Optional;
        self
    }

    /// Nearly always written.
    pub(crate) const fn typical(mut self) -> Self {
        self.about.typical = true;
        self
    }

    pub(crate) const fn example(mut self, example: &'static str) -> Self {
        self.about.example = example;
        self
    }

    pub(crate) const fn between(mut self, least: &'static str, most: &'static str) -> Self {
        self.about.range = Some((least, most));
        self
    }

    /// Its absence needs no finding where one of these stands: they have their own.
    pub(crate) const fn instead(mut self, names: &'static [&'static str]) -> Self {
        self.about.instead = names;
        self
    }

    /// What its absence means, if that is a value.
    pub(crate) fn fallback(&self) -> Option<F::Value> {
        let Need::Default { text, .. } = self.about.need else {
            return None;
        };
        let (notes, node) = (Notes::new(Path::new("")), yaml::read(text).0?);
        F::read(
            &Value {
                node: &node,
                at: String::new(),
                notes: &notes,
            },
            &self.about,
        )
        .ok()
    }

    /// The key and its value, as they are printed.
    pub(crate) fn show(&self, value: &F::Value) -> (String, Json) {
        (self.about.name.into(), F::show(value))
    }
}

/// A key whose feature is not built yet.
pub(crate) const fn not_yet(name: &'static str, example: &'static str, doc: &'static str) -> About {
    About {
        name,
        doc,
        shape: Shape::Later,
        need: Need::NotYet,
        typical: false,
        example,
        range: None,
        instead: &[],
    }
}

pub(crate) fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(crate) fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok()
        || ["0x", "0o"].iter().any(|prefix| {
            digits
                .strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()))
        })
        || matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}
