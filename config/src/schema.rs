//! The JSON Schema of a document (draft 2020-12), for editors and for those who generate documents.
//!
//! In: an [`Element`]. Out: JSON. What the reader refuses by shape the schema refuses too; what only the reader knows
//! (grammars of names, agreement between keys) is said in words.

use crate::describe::{About, Element, Need, Shape, Word};
use crate::yaml::{self, Content, Node};
use serde_json::{Map, Value as Json, json};
use std::iter;

/// The schema of a document.
pub(crate) fn schema(root: &Element) -> Json {
    let mut definitions = Map::new();
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".into(), format!("Countersign: {}", root.name).into());
    schema.extend(mapping(root, &mut definitions));
    schema.insert("$defs".into(), definitions.into());
    Json::Object(schema)
}

fn mapping(element: &Element, definitions: &mut Map<String, Json>) -> Map<String, Json> {
    let mut schema = Map::new();
    schema.insert("description".into(), element.doc.into());
    schema.insert("type".into(), "object".into());
    let properties = element
        .keys
        .iter()
        .map(|about| (about.name.to_string(), property(about, definitions)))
        .collect();
    schema.insert("properties".into(), Json::Object(properties));
    let required: Vec<_> = element
        .keys
        .iter()
        .filter(|about| about.need == Need::Required && !is_choice(element, about))
        .map(|about| about.name)
        .collect();
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    if !element.any_of.is_empty() {
        schema.insert(
            "anyOf".into(),
            element
                .any_of
                .iter()
                .map(|name| json!({ "required": [name] }))
                .collect(),
        );
    }
    let choices: Vec<_> = element
        .choices()
        .iter()
        .filter_map(|names| choice(names))
        .collect();
    if !choices.is_empty() {
        schema.insert("allOf".into(), choices.into());
    }
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// Whether a key may be absent because another one stands.
fn is_choice(element: &Element, about: &About) -> bool {
    let has =
        |names: &Vec<&About>| names.len() > 1 && names.iter().any(|one| one.name == about.name);
    element.choices().iter().any(has)
}

/// Exactly one of several keys; `None`: only one of them is built.
fn choice(names: &[&About]) -> Option<Json> {
    let one: Vec<_> = names
        .iter()
        .map(|about| json!({ "required": [about.name] }))
        .collect();
    (one.len() > 1).then(|| json!({ "oneOf": one }))
}

fn property(about: &About, definitions: &mut Map<String, Json>) -> Json {
    if about.need == Need::NotYet {
        return json!({ "description": format!("Not supported yet. {}", about.doc), "not": {} });
    }
    let mut schema = Map::new();
    schema.insert("description".into(), description(about).into());
    schema.extend(of_shape(&about.shape, about, definitions));
    if let Need::Default { text, .. } = about.need {
        schema.extend(written(text).map(|default| ("default".to_string(), default)));
    } else if !about.example.is_empty() {
        schema.extend(
            written(about.example).map(|example| ("examples".to_string(), json!([example]))),
        );
    }
    Json::Object(schema)
}

/// The doc and everything that the keywords of a schema cannot say.
fn description(about: &About) -> String {
    let mut text = about.doc.to_string();
    let mut shape = &about.shape;
    if let Shape::List { of, .. } = shape {
        shape = of;
    }
    match shape {
        Shape::Text { wanted, .. } => text.push_str(&format!(" Wanted: {wanted}.")),
        Shape::Words(words) | Shape::WordOrMap(words, _) => {
            for word in *words {
                let later = if word.built {
                    ""
                } else {
                    " (not supported yet)"
                };
                text.push_str(&format!("\n- `{}`: {}{later}", word.text, word.doc));
            }
        }
        _ => {}
    }
    if let Some((least, most)) = about.range {
        text.push_str(&format!(" From {least} to {most}."));
    }
    if !about.with.is_empty() {
        text.push_str(&format!(" Only with `{}`.", about.with));
    }
    match about.need {
        Need::Default {
            text: default,
            because,
        } if !because.is_empty() => {
            text.push_str(&format!("\nDefault {default}: {because}."));
        }
        _ => {}
    }
    text
}

fn of_shape(
    shape: &Shape,
    about: &About,
    definitions: &mut Map<String, Json>,
) -> Map<String, Json> {
    let schema = match shape {
        Shape::Map(element) => reference(element, definitions),
        Shape::WordOrMap(words, element) => {
            json!({ "anyOf": [one_of(words), reference(element, definitions)] })
        }
        Shape::List { of, empty } => {
            let items = of_shape(of, about, definitions);
            if *empty {
                json!({ "type": "array", "items": items })
            } else {
                json!({ "type": "array", "items": items, "minItems": 1 })
            }
        }
        Shape::Text { pattern: "", .. } => json!({ "type": "string", "minLength": 1 }),
        Shape::Text { pattern, .. } => json!({ "type": "string", "pattern": pattern }),
        Shape::Words(words) => one_of(words),
        Shape::Count => count(about),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Duration => {
            json!({ "type": "string", "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" })
        }
        Shape::Size => {
            json!({ "type": ["string", "integer"], "pattern": "^[0-9]+([KMG]iB)?$", "minimum": 0 })
        }
        Shape::Later => json!({ "not": {} }),
    };
    match schema {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// Where an element is defined.
fn reference(element: &Element, definitions: &mut Map<String, Json>) -> Json {
    if !definitions.contains_key(element.name) {
        // Reserved first, so that definitions stand in the order in which they are met.
        definitions.insert(element.name.into(), Json::Null);
        let definition = mapping(element, definitions);
        definitions.insert(element.name.into(), definition.into());
    }
    json!({ "$ref": format!("#/$defs/{}", element.name) })
}

fn one_of(words: &[Word]) -> Json {
    let built = words.iter().filter(|word| word.built);
    let built: Vec<_> = built
        .flat_map(|word| {
            // A word such as `503` may stand without quotes.
            let number = word.text.parse::<u64>().ok();
            iter::once(Json::from(word.text)).chain(number.map(Json::from))
        })
        .collect();
    json!({ "enum": built })
}

fn count(about: &About) -> Json {
    let bound = |text: &str| written(text).unwrap_or_default();
    match about.range {
        Some((least, most)) => {
            json!({ "type": "integer", "minimum": bound(least), "maximum": bound(most) })
        }
        None => json!({ "type": "integer", "minimum": 0 }),
    }
}

/// A YAML text of a description as JSON.
fn written(text: &str) -> Option<Json> {
    yaml::read(text).0.map(|node| as_json(&node))
}

fn as_json(node: &Node) -> Json {
    match &node.content {
        Content::Scalar { text, plain: true } if text.parse::<u64>().is_ok() => {
            text.parse::<u64>().map_or(Json::Null, Json::from)
        }
        Content::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "false") => {
            (text == "true").into()
        }
        Content::Scalar { text, .. } => text.as_str().into(),
        Content::List(items) => items.iter().map(as_json).collect(),
        Content::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), as_json(&entry.value)))
                .collect(),
        ),
        Content::Refused => Json::Null,
    }
}
