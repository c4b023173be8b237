//! The commented reference of a document: a document itself, that explains every key.
//!
//! In: an [`Element`]. Out: YAML. What must be written, and what nearly always is, stands live; the rest stands behind a
//! `#` in the first column with its default or an example.
//!
//! 1. It is valid as it is.
//! 2. It is valid with every `#` of the first column removed that no single blank follows (`uncommented` in the tests).
//!    So a key that may only stand instead of another, or with one of those, is part of a comment.

use crate::describe::{About, Element, Need, Shape};

const COLUMNS: usize = 100;

/// The reference of a document, whose schema lies beside it in `schema_file`.
pub(crate) fn reference(root: &Element, schema_file: &str) -> String {
    let mut page = Page::default();
    page.lines
        .push(format!("# yaml-language-server: $schema={schema_file}"));
    page.lines.push("#".into());
    page.prose(0, root.doc);
    page.prose(0, "A `#` in the first column with no single blank behind it hides a key that may be left out: remove it to set the key.");
    for about in root.keys {
        page.lines.push(String::new());
        page.key(about, 0, true, "");
    }
    page.lines.push(String::new());
    page.lines.join("\n")
}

/// The reference with everything live.
#[cfg(test)]
pub(crate) fn uncommented(reference: &str) -> String {
    let hidden =
        |line: &str| line.starts_with('#') && (!line.starts_with("# ") || line.starts_with("#  "));
    reference
        .lines()
        .map(|line| if hidden(line) { &line[1..] } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    /// A comment, wrapped.
    fn prose(&mut self, indent: usize, text: &str) {
        let start = format!("{}#", " ".repeat(indent));
        let mut line = start.clone();
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() > COLUMNS && line.len() > start.len() {
                self.lines.push(std::mem::replace(&mut line, start.clone()));
            }
            line.push(' ');
            line.push_str(word);
        }
        self.lines.push(line);
    }

    fn code(&mut self, indent: usize, live: bool, text: &str) {
        let hidden = if live { "" } else { "#" };
        self.lines
            .push(format!("{hidden}{}{text}", " ".repeat(indent)));
    }

    /// A key, its explanation before it; `dash` begins an item of a list.
    fn key(&mut self, about: &About, indent: usize, live: bool, dash: &str) {
        let inner = indent + dash.len();
        if about.need == Need::NotYet {
            self.prose(
                inner,
                &format!(
                    "Not supported yet: `{}: {}`. {}",
                    about.name, about.example, about.doc
                ),
            );
            return;
        }
        if let Some(first) = about.one_of.first().filter(|first| **first != about.name) {
            self.aside(about, inner, &format!("Instead of `{first}`:"));
            return;
        }
        if !about.with.is_empty() {
            self.aside(about, inner, &format!("With `{}`:", about.with));
            return;
        }
        self.explain(about, inner);
        let live = live && is_live(about);
        match about.shape {
            Shape::Map(element) => {
                self.code(indent, live, &format!("{dash}{}:", about.name));
                element
                    .keys
                    .iter()
                    .for_each(|below| self.key(below, inner + 2, live, ""));
            }
            Shape::List {
                of: Shape::Map(element),
                ..
            } => {
                self.code(indent, live, &format!("{dash}{}:", about.name));
                self.item(element, inner + 2, live);
            }
            _ => self.code(
                indent,
                live,
                &format!("{dash}{}: {}", about.name, value(about)),
            ),
        }
        if let Shape::WordOrMap(_, element) = about.shape {
            let map = About {
                doc: "",
                shape: Shape::Map(element),
                ..*about
            };
            self.aside(&map, inner, element.doc);
        }
    }

    /// A key that may not always stand, all of it as a comment after `when` it may.
    fn aside(&mut self, about: &About, indent: usize, when: &str) {
        let mut page = Page::default();
        let alone = About {
            one_of: &[],
            with: "",
            need: Need::Optional,
            typical: true,
            ..*about
        };
        page.key(&alone, 0, true, "");
        self.prose(indent, when);
        let margin = format!("{}#", " ".repeat(indent));
        self.lines
            .extend(page.lines.iter().map(|line| format!("{margin} {line}")));
    }

    /// One item of a list of mappings. Its dash stands alone if its first key is hidden and it is not.
    fn item(&mut self, element: &Element, indent: usize, live: bool) {
        let mut dash = "- ";
        if live && element.keys.first().is_some_and(|first| !is_live(first)) {
            self.code(indent, live, "-");
            dash = "";
        }
        for about in element.keys {
            let at = if dash.is_empty() { indent + 2 } else { indent };
            self.key(about, at, live, dash);
            dash = "";
        }
    }

    fn explain(&mut self, about: &About, indent: usize) {
        let mut text = about.doc.to_string();
        if let Shape::Words(words) | Shape::WordOrMap(words, _) = about.shape {
            for word in words {
                let later = if word.built {
                    ""
                } else {
                    " (not supported yet)"
                };
                text.push_str(&format!(" `{}`: {}{later}.", word.text, word.doc));
            }
        }
        if let Some((least, most)) = about.range {
            text.push_str(&format!(" From {least} to {most}."));
        }
        match about.need {
            Need::Required => text.push_str(" Required."),
            Need::Default {
                text: default,
                because,
            } if !because.is_empty() => {
                text.push_str(&format!(" Default {default}: {because}."));
            }
            Need::Default { .. } | Need::Optional | Need::NotYet => {}
        }
        if !text.is_empty() {
            self.prose(indent, &text);
        }
    }
}

fn is_live(about: &About) -> bool {
    about.need == Need::Required || about.typical
}

fn value(about: &About) -> &'static str {
    match about.need {
        Need::Default { text, .. } => text,
        _ => about.example,
    }
}
