//! A document of any kind: to be guessed, read, shown, and described.

use crate::ca::Ca;
use crate::describe::Element;
use crate::form::Noun;
use crate::policy::Policy;
use crate::sidecar::Sidecar;
use crate::yaml::{self, Content};
use crate::{Findings, reference, schema, show};
use serde_json::Value as Json;
use std::path::Path;

/// What a document configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sidecar.
    Sidecar,
    /// A CA.
    Ca,
    /// Who may call what.
    Policy,
}

/// A valid document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A sidecar.
    Sidecar(Box<Sidecar>),
    /// A CA.
    Ca(Box<Ca>),
    /// Who may call what.
    Policy(Policy),
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Sidecar, Kind::Ca, Kind::Policy];

    /// Guesses by the keys of the first level, misspelt ones included. `None`: they fit several kinds equally, or none.
    /// Text without a tree is taken for a sidecar: its finding is the same for all kinds.
    pub fn guess(text: &str) -> Option<Kind> {
        let Some(tree) = yaml::read(text).0 else {
            return Some(Kind::Sidecar);
        };
        let Content::Map(entries) = &tree.content else {
            return None;
        };
        let known = |kind: Kind| {
            let element = kind.element();
            entries
                .iter()
                .map(|entry| {
                    if element.key(&entry.key).is_some() {
                        2
                    } else {
                        usize::from(element.nearest(&entry.key).is_some())
                    }
                })
                .sum()
        };
        let mut ranked: Vec<(usize, Kind)> = Kind::ALL.map(|kind| (known(kind), kind)).into();
        ranked.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
        (ranked[0].0 > ranked[1].0).then_some(ranked[0].1)
    }

    /// As it is typed: `sidecar`, `ca`, `policy`.
    pub fn name(self) -> &'static str {
        self.element().name
    }

    /// The JSON Schema (draft 2020-12), indented, with a line end.
    pub fn schema(self) -> String {
        format!("{:#}\n", schema::schema(self.element()))
    }

    /// The commented reference: a YAML document that explains every key, and is valid.
    pub fn reference(self) -> String {
        reference::reference(self.element(), &format!("{}.schema.json", self.name()))
    }

    fn element(self) -> &'static Element {
        match self {
            Kind::Sidecar => <Sidecar as Noun>::ELEMENT,
            Kind::Ca => <Ca as Noun>::ELEMENT,
            Kind::Policy => <Policy as Noun>::ELEMENT,
        }
    }
}

impl Document {
    /// Reads the text of a document; `file` is what findings name and what relative paths start from.
    pub fn parse(kind: Kind, text: &str, file: &Path) -> Result<Self, Findings> {
        Ok(match kind {
            Kind::Sidecar => Document::Sidecar(Box::new(Sidecar::parse(text, file)?)),
            Kind::Ca => Document::Ca(Box::new(Ca::parse(text, file)?)),
            Kind::Policy => Document::Policy(Policy::parse(text, file)?),
        })
    }

    /// What holds, with every default filled in, in the words of the document itself. It reads back as the same document
    /// from the working directory. Documents name files of secrets, never secrets: nothing in it needs to be hidden.
    pub fn effective(&self) -> Json {
        match self {
            Document::Sidecar(sidecar) => sidecar.show(),
            Document::Ca(ca) => ca.show(),
            Document::Policy(policy) => policy.show(),
        }
    }

    /// [`Document::effective`] as YAML.
    pub fn effective_yaml(&self) -> String {
        show::yaml(&self.effective())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::describe::{About, Need, Shape};

    fn parse(kind: Kind, text: &str) -> Document {
        Document::parse(kind, text, Path::new("document.yaml"))
            .unwrap_or_else(|findings| panic!("{findings}\n{text}"))
    }

    #[test]
    fn a_reference_is_valid_as_it_is_and_with_everything_live() {
        for kind in Kind::ALL {
            let page = kind.reference();
            parse(kind, &page);
            let live = reference::uncommented(&page);
            parse(kind, &live);
            for about in kind
                .element()
                .keys
                .iter()
                .filter(|about| about.need != Need::NotYet)
            {
                assert!(
                    live.lines()
                        .any(|line| line.starts_with(&format!("{}:", about.name))),
                    "{}: {}",
                    kind.name(),
                    about.name
                );
            }
            assert!(
                page.lines().all(|line| line.chars().count() <= 160),
                "{page}"
            );
        }
    }

    #[test]
    fn a_kind_is_guessed_by_its_keys_even_if_misspelt() {
        for (text, expected) in [
            ("identity: {}\ninbound: []\n", Some(Kind::Sidecar)),
            ("trust_domain: x\ndir: y\n", Some(Kind::Ca)),
            ("default: deny\nrules: []\n", Some(Kind::Policy)),
            ("ruls: []\n", Some(Kind::Policy)),
            ("metrics: {}\n", None),
            ("something: else\n", None),
            ("[]", None),
            ("a: [", Some(Kind::Sidecar)),
        ] {
            assert_eq!(Kind::guess(text), expected, "{text}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::guess(&kind.reference()), Some(kind));
        }
    }

    /// Every element that a document of the kind may hold.
    fn elements(element: &'static Element, all: &mut Vec<&'static Element>) {
        all.push(element);
        for about in element.keys {
            match about.shape {
                Shape::Map(below) => elements(below, all),
                Shape::List {
                    of: Shape::Map(below),
                    ..
                } => elements(below, all),
                _ => {}
            }
        }
    }

    fn check_about(of: &Element, about: &About) {
        let place = format!("{}.{}", of.name, about.name);
        assert!(
            about.doc.ends_with('.') && about.doc.is_ascii(),
            "{place}: a sentence"
        );
        match about.need {
            Need::Default { because, .. } => {
                let nested = matches!(about.shape, Shape::Map(_));
                assert_eq!(
                    because.is_empty(),
                    nested,
                    "{place}: a default has its reason, stated once"
                );
            }
            Need::NotYet => assert!(!about.example.is_empty(), "{place}: an example"),
            Need::Required | Need::Optional => {
                let nested = matches!(
                    about.shape,
                    Shape::Map(_)
                        | Shape::List {
                            of: Shape::Map(_),
                            ..
                        }
                );
                assert!(nested || !about.example.is_empty(), "{place}: an example");
            }
        }
        if matches!(about.shape, Shape::Duration | Shape::Size | Shape::Count) {
            assert!(about.range.is_some(), "{place}: a range");
        }
        if matches!(about.shape, Shape::Duration) {
            for text in about
                .range
                .into_iter()
                .flat_map(|(least, most)| [least, most])
            {
                assert!(crate::unit::duration(text).is_ok(), "{place}: {text}");
            }
        }
    }

    #[test]
    fn every_key_has_a_sentence_and_what_its_need_demands() {
        let mut names = std::collections::HashMap::new();
        for kind in Kind::ALL {
            let mut all = Vec::new();
            elements(kind.element(), &mut all);
            for element in all {
                let same = *names.entry(element.name).or_insert(element.doc);
                assert_eq!(
                    same, element.doc,
                    "two elements are called {}",
                    element.name
                );
                element
                    .keys
                    .iter()
                    .for_each(|about| check_about(element, about));
            }
        }
    }

    #[test]
    fn a_schema_names_every_key_and_forbids_all_others() {
        for kind in Kind::ALL {
            let schema: Json = serde_json::from_str(&kind.schema()).unwrap();
            assert_eq!(schema["additionalProperties"], false);
            let properties: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
            assert_eq!(
                properties,
                kind.element()
                    .keys
                    .iter()
                    .map(|about| about.name)
                    .collect::<Vec<_>>()
            );
            for definition in schema["$defs"].as_object().unwrap().values() {
                assert_eq!(definition["additionalProperties"], false);
            }
        }
    }
}
