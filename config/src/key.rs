//! Keys: each stated once, read and shown by its form.
//!
//! In: a [`Value`] and the [`Element`] that describes it. Out: values of a form, or [`Noted`]; unknown, missing and not yet
//! supported keys are noted on the way.
//!
//! 1. A value is missing only where a finding says why.
//! 2. Reading one key says nothing about another: take all keys first, then use `?`.
//! 3. A default reads as if it had been written.

use crate::describe::{About, Element, Need, Shape};
use crate::notes::{Noted, Notes, Read};
use crate::read::{Value, below};
use crate::yaml::{self, Content, Entry, Node, Place, shown};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::path::Path;

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
            one_of: &[],
            with: "",
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

    /// Exactly one of these is written, and it is among them.
    pub(crate) const fn one_of(mut self, names: &'static [&'static str]) -> Self {
        self.about.one_of = names;
        self
    }

    /// It may not stand without this key.
    pub(crate) const fn with(mut self, name: &'static str) -> Self {
        self.about.with = name;
        self
    }

    /// What its absence means, if that is a value.
    pub(crate) fn fallback(&self) -> Option<F::Value> {
        let Need::Default { text, .. } = self.about.need else {
            return None;
        };
        let (notes, node) = (Notes::new(Path::new("")), yaml::read(text).0?);
        F::read(&Value::alone(&node, &notes), &self.about).ok()
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
        one_of: &[],
        with: "",
    }
}

impl<'d> Value<'d> {
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
        let notes = Notes::new(self.notes.file());
        let read = F::read(&Value::alone(self.node, &notes), about);
        read.ok().filter(|_| notes.is_clean())
    }

    /// The keys of a mapping, after noting those that `element` does not know or that are not built yet.
    pub(crate) fn fields(&self, element: &'static Element) -> Read<Fields<'d>> {
        let Content::Map(entries) = &self.node.content else {
            let built = element
                .keys
                .iter()
                .filter(|about| about.need != Need::NotYet);
            return Err(self.wrong_kind(&format!("a mapping with {}", names(built))));
        };
        let mut noted = Vec::new();
        for entry in entries {
            match element.key(&entry.key) {
                Some(about) if about.need == Need::NotYet => {
                    let at = below(&self.at, &entry.key);
                    let proof = self
                        .notes
                        .note(entry.place, &at, "not supported yet", "remove it");
                    noted.push((about.name, proof));
                }
                Some(_) => {}
                None => {
                    let (meant, proof) = self.unknown(entry, element);
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

    /// Notes a key that `element` does not know, and tells which was probably meant.
    fn unknown(&self, entry: &Entry, element: &'static Element) -> (Option<&'static About>, Noted) {
        if self.notes.is_full() {
            return (
                None,
                self.notes.note(entry.place, &self.at, "unknown key", ""),
            );
        }
        let meant = element.nearest(&entry.key);
        let help = match meant {
            Some(about) => format!("did you mean `{}`?", about.name),
            None => format!("known here: {}", names(element.keys.iter())),
        };
        let what = format!("unknown key {}", shown(&entry.key));
        (meant, self.notes.note(entry.place, &self.at, what, help))
    }
}

fn names<'a>(keys: impl Iterator<Item = &'a About>) -> String {
    keys.map(|about| about.name).collect::<Vec<_>>().join(", ")
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

    /// Which of several keys is written; notes if it is not exactly one. What stands behind it is not read.
    pub(crate) fn which(&self, one_of: &[&'static str]) -> Read<&'static str> {
        let written: Vec<_> = one_of
            .iter()
            .filter_map(|name| Some((*name, self.of.get(name)?)))
            .collect();
        match written.as_slice() {
            [(name, _)] => Ok(name),
            [] => Err(self.none_of(one_of)),
            [(one, first), (two, second), ..] => {
                let (later, name, other) = match first.node.place > second.node.place {
                    true => (first, one, two),
                    false => (second, two, one),
                };
                Err(later.note(
                    format!("`{name}` stands beside `{other}`"),
                    "keep one of the two",
                ))
            }
        }
    }

    /// Notes that none of several keys is there.
    pub(crate) fn none_of(&self, one_of: &[&'static str]) -> Noted {
        let explained = self.noted.iter().find(|(name, _)| one_of.contains(name));
        match explained {
            Some((_, proof)) => *proof,
            None => self.of.note(
                format!("none of `{}` is there", one_of.join("`, `")),
                "add one of them",
            ),
        }
    }

    /// Notes that a key is not there.
    pub(crate) fn missing(&self, about: &About) -> Noted {
        let explained = |name: &str| name == about.name || about.one_of.contains(&name);
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
