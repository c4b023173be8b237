//! What a listener speaks.

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
