//! Text to a tree in which everything knows its place.
//!
//! In: the text of one YAML document. Out: a [`Node`], and a [`Fault`] for everything that no document of ours may hold:
//! duplicate keys, anchors, aliases, tags, keys that are not text, a second document. Not here: what keys mean.
//!
//! 1. Size, depth and number of nodes are bounded, so that no document costs more than it weighs.
//! 2. A syntax error or a bound ends the reading with one fault; every other fault lets it go on.
//! 3. A fault's place lies in the text: line and column count from 1.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::HashSet;

/// Far above any real document, and read in a blink.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// Our deepest document has 6 levels.
const DEPTH_MAX: usize = 32;
/// A policy of ten thousand rules fits.
const NODES_MAX: usize = 200_000;

/// A place in the text; 0 is the document as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Something that stands in the document, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Text; `plain` without quotes, so that `12`, `true` and nothing at all are no text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A fault was found here and reported: no more is to be said about it.
    Refused,
}

/// One key of a mapping and its value. No key stands twice.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// What no document of ours may hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) what: String,
    pub(crate) help: &'static str,
}

impl Node {
    /// The value of a key, if this is a mapping and has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }
}

/// Reads a document. `None`: there is no tree, and the faults say why.
pub(crate) fn read(text: &str) -> (Option<Node>, Vec<Fault>) {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        lines: text.lines().count().max(1),
        nodes_left: NODES_MAX,
        faults: Vec::new(),
    };
    let tree = if text.len() > DOCUMENT_BYTES_MAX {
        Err(Fault {
            place: Place::default(),
            what: "is larger than 1 MiB".into(),
            help: "split it",
        })
    } else {
        builder.document()
    };
    let mut faults = builder.faults;
    let tree = tree.map_err(|fault| faults.push(fault)).ok();
    (tree, faults)
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// How many the text has.
    lines: usize,
    nodes_left: usize,
    faults: Vec<Fault>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Node, Fault> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => {
                    return Err(Fault {
                        place: Place::default(),
                        what: "is empty".into(),
                        help: "`countersign config reference` prints what a document holds",
                    });
                }
                (event, span) => {
                    let root = self.node(event, span, 0)?;
                    self.end()?;
                    return Ok(root);
                }
            }
        }
    }

    /// Nothing may follow the first document.
    fn end(&mut self) -> Result<(), Fault> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => {
                    self.fault(
                        span,
                        "a second document starts here".into(),
                        "keep one document in a file",
                    );
                    return Ok(());
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn fault(&mut self, span: Span, what: String, help: &'static str) {
        self.faults.push(Fault {
            place: self.place(span.start),
            what,
            help,
        });
    }

    /// Builds the node that `event` begins, and takes every event up to its end.
    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        let place = self.place(span.start);
        if depth > DEPTH_MAX {
            return Err(Fault {
                place,
                what: format!("is nested deeper than {DEPTH_MAX} levels"),
                help: "no document needs that",
            });
        }
        let Some(left) = self.nodes_left.checked_sub(1) else {
            return Err(Fault {
                place,
                what: format!("the document has more than {NODES_MAX} values"),
                help: "split it",
            });
        };
        self.nodes_left = left;
        let content = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = Content::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.unless_marked(span, anchor, tag, content)
            }
            Event::SequenceStart(anchor, tag) => {
                let items = self.items(depth)?;
                self.unless_marked(span, anchor, tag, Content::List(items))
            }
            Event::MappingStart(anchor, tag) => {
                let entries = self.entries(depth)?;
                self.unless_marked(span, anchor, tag, Content::Map(entries))
            }
            Event::Alias(_) => {
                self.fault(span, "an alias stands here".into(), "write the value out");
                Content::Refused
            }
            _ => {
                return Err(Fault {
                    place,
                    what: "is no value".into(),
                    help: "",
                });
            }
        };
        Ok(Node { place, content })
    }

    /// Anchors are useless without aliases, and tags would change what a value is: both are refused.
    fn unless_marked(
        &mut self,
        span: Span,
        anchor: usize,
        tag: Option<Cow<'t, Tag>>,
        content: Content,
    ) -> Content {
        if anchor != 0 {
            self.fault(
                span,
                "an anchor stands here".into(),
                "remove it; aliases are not followed",
            );
        }
        match tag {
            None => content,
            Some(_) => {
                self.fault(
                    span,
                    "a tag stands here".into(),
                    "remove it; quote what is meant as text",
                );
                Content::Refused
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (event, span) => (self.node(event, span, depth + 1)?, span),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let (key_place, text) = match key.0 {
                Node {
                    place,
                    content: Content::Scalar { text, .. },
                } => (place, text),
                Node {
                    content: Content::Refused,
                    ..
                } => continue,
                _ => {
                    self.fault(
                        key.1,
                        "a key is a list or a mapping".into(),
                        "a key is text",
                    );
                    continue;
                }
            };
            if !seen.insert(text.clone()) {
                self.fault(
                    key.1,
                    format!("the key {} stands twice", shown(&text)),
                    "keep one of the two",
                );
                continue;
            }
            entries.push(Entry {
                key: text,
                place: key_place,
                value,
            });
        }
    }

    /// Counted from 1. The parser places what is missing at the end one line below the last.
    fn place(&self, marker: Marker) -> Place {
        Place {
            line: marker.line().clamp(1, self.lines),
            column: marker.col() + 1,
        }
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        Fault {
            place: self.place(*error.marker()),
            what: format!("is not YAML: {}", error.info()),
            help: "check quotes, brackets and indentation here and on the line above",
        }
    }
}

// What a plain scalar is, if it is no text (YAML 1.2.2 §10.3.2).

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

/// Text of a stranger on one line: shortened, escaped, in backticks.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut shown = String::from("`");
    for (n, c) in text.chars().enumerate() {
        if n == CHARACTERS_MAX {
            shown.push('…');
            break;
        }
        if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn faults(text: &str) -> Vec<(usize, usize, String)> {
        read(text)
            .1
            .into_iter()
            .map(|fault| (fault.place.line, fault.place.column, fault.what))
            .collect()
    }

    #[test]
    fn everything_knows_its_place() {
        let (tree, faults) = read("a: 1\nlist:\n  - x: 'y'\n    é: z\n  - [p, \"q\"]\n");
        assert_eq!(faults, []);
        let root = tree.unwrap();
        let place = |line, column| Place { line, column };
        assert_eq!(root.place, place(1, 1));
        assert_eq!(root.get("a").unwrap().place, place(1, 4));
        let Content::List(items) = &root.get("list").unwrap().content else {
            panic!("{root:?}")
        };
        assert_eq!(items[0].place, place(3, 5));
        assert_eq!(
            items[0].get("x").unwrap(),
            &Node {
                place: place(3, 8),
                content: Content::Scalar {
                    text: "y".into(),
                    plain: false
                }
            }
        );
        assert_eq!(items[0].get("é").unwrap().place, place(4, 8));
        assert_eq!(items[1].place, place(5, 5));
    }

    #[test]
    fn what_no_document_may_hold_is_found_and_reading_goes_on() {
        for (text, line, column, what) in [
            ("a: 1\nb: 2\na: 3\n", 3, 1, "the key `a` stands twice"),
            ("a: &x 1\n", 1, 4, "an anchor stands here"),
            ("a: !!str 1\n", 1, 4, "a tag stands here"),
            ("[a]: 1\n", 1, 1, "a key is a list or a mapping"),
            ("a: 1\n---\nb: 1\n", 2, 1, "a second document starts here"),
        ] {
            assert_eq!(faults(text), [(line, column, what.to_string())], "{text:?}");
        }
        assert_eq!(faults("a: &x 1\nb: *x\n").len(), 2);
        assert_eq!(faults("a: 1\na: 1\nb: 1\nb: 1\n").len(), 2);
    }

    #[test]
    fn what_is_not_yaml_or_too_much_is_one_fault_inside_the_text() {
        let deep = "[".repeat(200);
        let wide = format!("[{}]", "a,".repeat(NODES_MAX + 1));
        let long = " ".repeat(DOCUMENT_BYTES_MAX + 1);
        for text in [
            "",
            "# nothing\n",
            "a: [1, 2\n",
            "a: 'x\n",
            "a: b: c\n",
            "a: @x",
            &deep,
            &wide,
            &long,
        ] {
            let found = faults(text);
            assert_eq!(
                found.len(),
                1,
                "{:?}: {found:?}",
                &text[..text.len().min(20)]
            );
            assert!(found[0].0 <= text.lines().count().max(1), "{found:?}");
        }
    }

    #[test]
    fn what_is_shown_of_a_stranger_is_one_short_line() {
        assert_eq!(shown("a\nb\u{202e}"), "`a\\u{a}b\\u{202e}`");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), 63);
    }
}
