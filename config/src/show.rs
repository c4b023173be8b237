//! JSON values as YAML that a person reads.
//!
//! 1. What is written here reads back as the same value: by YAML 1.2, and by our own reader.

use crate::yaml::{is_bool, is_nothing, is_number};
use serde_json::Value as Json;

/// Block style, lists of plain values on one line.
pub(crate) fn yaml(value: &Json) -> String {
    let mut text = String::new();
    match value {
        Json::Object(map) if !map.is_empty() => block(&mut text, value, 0, false),
        _ => text.push_str(&flow(value)),
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Writes a mapping or a list of mappings; `inline`: the first line's indentation is already there.
fn block(text: &mut String, value: &Json, indent: usize, mut inline: bool) {
    let mut start = |text: &mut String| {
        if !std::mem::take(&mut inline) {
            text.push_str(&" ".repeat(indent));
        }
    };
    match value {
        Json::Object(map) => {
            for (key, below) in map {
                start(text);
                text.push_str(&scalar(key));
                text.push(':');
                if is_block(below) {
                    text.push('\n');
                    block(text, below, indent + 2, false);
                } else {
                    text.push_str(&format!(" {}\n", flow(below)));
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                start(text);
                text.push_str("- ");
                if is_block(item) {
                    block(text, item, indent + 2, true);
                } else {
                    text.push_str(&format!("{}\n", flow(item)));
                }
            }
        }
        _ => text.push_str(&flow(value)),
    }
}

fn is_block(value: &Json) -> bool {
    match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    }
}

fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Array(items) => format!(
            "[{}]",
            items.iter().map(flow).collect::<Vec<_>>().join(", ")
        ),
        // JSON is YAML: an empty mapping, a number, a truth value.
        other => other.to_string(),
    }
}

/// Plain where nobody could take it for anything but text, else in double quotes.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
        && !(is_nothing(text) || is_bool(text) || is_number(text));
    if plain {
        text.into()
    } else {
        Json::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_are_blocks_and_plain_lists_stand_on_one_line() {
        let value = json!({
            "a": "x", "n": 12, "t": "12", "empty": {}, "none": [],
            "list": ["a b", "true", "10s"],
            "items": [{ "k": "v", "more": [{ "deep": 1 }] }, {}],
        });
        let expected = "a: x\nn: 12\nt: \"12\"\nempty: {}\nnone: []\nlist: [\"a b\", \"true\", 10s]\nitems:\n  - k: v\n    more:\n      - deep: 1\n  - {}\n";
        assert_eq!(yaml(&value), expected);
    }
}
