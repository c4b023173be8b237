//! One of a few words, of which some may not be built yet.

use crate::describe::{About, Shape, Word, nearest};
use crate::key::Form;
use crate::notes::{Noted, Read};
use crate::read::Value;
use crate::yaml::{Content, shown};
use serde_json::Value as Json;
use std::marker::PhantomData;

/// One of a few words.
pub(crate) trait OneOf {
    type Value;
    const WORDS: &'static [Word];
    /// The value of a word that is built.
    fn means(word: &str) -> Option<Self::Value>;
    fn word(value: &Self::Value) -> &'static str;
}

/// The form of a word.
pub(crate) struct Choice<W>(PhantomData<W>);

impl<W: OneOf> Form for Choice<W> {
    type Value = W::Value;
    const SHAPE: Shape = Shape::Words(W::WORDS);
    fn read(value: &Value<'_>, _: &About) -> Read<W::Value> {
        let built: Vec<_> = W::WORDS
            .iter()
            .filter(|word| word.built)
            .map(|word| format!("`{}`", word.text))
            .collect();
        let wanted = built.join(" or ");
        let text = match &value.node.content {
            // A word with settings, such as `server: {sni: …}`.
            Content::Map(entries) if entries.len() == 1 && is_later(W::WORDS, &entries[0].key) => {
                entries[0].key.as_str()
            }
            // A word that looks like a number, such as `503`, needs no quotes.
            Content::Scalar { text, .. } if W::means(text).is_some() => text,
            _ => value.text(&wanted)?,
        };
        W::means(text).ok_or_else(|| unknown_word(value, text, W::WORDS, &wanted))
    }
    fn show(value: &W::Value) -> Json {
        W::word(value).into()
    }
}

fn is_later(words: &[Word], text: &str) -> bool {
    words.iter().any(|word| word.text == text && !word.built)
}

fn unknown_word(value: &Value<'_>, text: &str, words: &[Word], wanted: &str) -> Noted {
    if is_later(words, text) {
        return value.note(
            format!("{}: not supported yet", shown(text)),
            format!("wanted {wanted}"),
        );
    }
    value.note(
        format!("is the text {}", shown(text)),
        meant(text, words, wanted),
    )
}

/// What to do about a text that is none of these words.
pub(crate) fn meant(text: &str, words: &[Word], wanted: &str) -> String {
    let built = words.iter().filter(|word| word.built);
    nearest(text, built.map(|word| word.text)).map_or_else(
        || format!("wanted {wanted}"),
        |word| format!("did you mean `{word}`?"),
    )
}
