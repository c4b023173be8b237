//! What a listener speaks, and settings that have only one value so far.

use crate::describe::Word;
use crate::form::OneOf;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// Bytes.
    Tcp,
}

impl OneOf for Protocol {
    type Value = Protocol;
    const WORDS: &'static [Word] = &[
        Word {
            text: "http",
            doc: "HTTP/1.1 and HTTP/2; policy decides each request",
            built: true,
        },
        Word {
            text: "tcp",
            doc: "bytes; policy decides each connection",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Protocol> {
        match word {
            "http" => Some(Protocol::Http),
            "tcp" => Some(Protocol::Tcp),
            _ => None,
        }
    }
    fn word(protocol: &Protocol) -> &'static str {
        match protocol {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
        }
    }
}

/// A setting whose first word is all that is built: reading it yields nothing but the certainty that it stands there.
pub(super) trait Settled {
    const WORDS: &'static [Word];
}

/// [`Settled`], as a choice.
pub(super) struct Only<S>(std::marker::PhantomData<S>);

impl<S: Settled> OneOf for Only<S> {
    type Value = ();
    const WORDS: &'static [Word] = S::WORDS;
    fn means(word: &str) -> Option<()> {
        S::WORDS
            .iter()
            .any(|known| known.built && known.text == word)
            .then_some(())
    }
    fn word((): &()) -> &'static str {
        S::WORDS
            .iter()
            .find(|word| word.built)
            .map_or("", |word| word.text)
    }
}
