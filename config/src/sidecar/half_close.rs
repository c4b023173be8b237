//! What it means that a client of HTTP/1 closes its writing half and waits.

use super::protocol::Protocol;
use crate::describe::Word;
use crate::form::{Choice, OneOf};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;

/// What it means that a client of HTTP/1 closes its writing half before it has all of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// It asks for nothing more, and waits for its answers.
    Allow,
    /// It has left.
    Abort,
}

/// The key, the same on listeners of both ways.
pub(super) const CLIENT_HALF_CLOSE: Key<Choice<HalfClose>> = Key::new(
    "clientHalfClose",
    "What it means that a client of HTTP/1 closes its writing half before it has all of its answers, as `nc` and some old clients \
     and health checks do. `allow` answers what it asked and then closes; a client that closed altogether looks the same until it \
     resets, so that its request may go on for as long as two minutes. Other sidecars never close one half: at their end what \
     they asked is ended, whatever stands here. Holds for connections that begin after it is in force; not for HTTP/2, where \
     each stream says so itself.",
)
.default(
    "abort",
    "nearly always it is a client that has left, and what nobody waits for should not go on",
);

impl OneOf for HalfClose {
    type Value = Self;
    const WORDS: &'static [Word] = &[
        Word {
            text: "allow",
            doc: "it gets its answers",
            built: true,
        },
        Word {
            text: "abort",
            doc: "it has left: what it asked is ended",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Self> {
        match word {
            "allow" => Some(Self::Allow),
            "abort" => Some(Self::Abort),
            _ => None,
        }
    }
    fn word(half_close: &Self) -> &'static str {
        match half_close {
            Self::Allow => "allow",
            Self::Abort => "abort",
        }
    }
}

impl HalfClose {
    /// What a listener of this protocol says, which was read already: bytes have no requests to be ended.
    pub(super) fn of(
        listener: &Value<'_>,
        protocol: &Read<Protocol>,
        read: Read<Self>,
    ) -> Read<Self> {
        match (protocol, listener.get("clientHalfClose")) {
            (Ok(Protocol::Tcp), Some(written)) => {
                let help = "halves of bytes close one by one anyway: remove it";
                Err(written.note("`clientHalfClose` at a tcp listener", help))
            }
            _ => read,
        }
    }
    /// Shown where it may stand.
    pub(super) fn shown(self, protocol: Protocol) -> Option<(String, serde_json::Value)> {
        (protocol == Protocol::Http).then(|| CLIENT_HALF_CLOSE.show(&self))
    }
}
