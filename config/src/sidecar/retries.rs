//! When a request is sent again.

use crate::describe::{Element, Word};
use crate::form::{As, Choice, Count, List, Method, Noun, OneOf, object};
use crate::key::Key;
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;

/// When a request to a service is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often, beyond the first time.
    pub attempts: usize,
    /// after what.
    pub on: Vec<On>,
    /// Of which methods; `None`: the safe and idempotent ones.
    pub methods: Option<Vec<String>>,
}

/// After what a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// No endpoint took a connection.
    ConnectFailure,
    /// The connection ended, or the stream was reset, before a byte of the answer.
    Reset,
    /// It was answered 503; a gRPC request: UNAVAILABLE, before any message.
    Unavailable,
}

impl OneOf for On {
    type Value = On;
    const WORDS: &'static [Word] = &[
        Word {
            text: "connect-failure",
            doc: "no endpoint took a connection, or TLS with it failed: nothing was sent, so any method",
            built: true,
        },
        Word {
            text: "reset",
            doc: "the connection ended, or the stream was reset, before a byte of the answer: only `methods`",
            built: true,
        },
        Word {
            text: "503",
            doc: "it was answered 503, or as gRPC UNAVAILABLE before any message: only `methods`",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<On> {
        match word {
            "connect-failure" => Some(On::ConnectFailure),
            "reset" => Some(On::Reset),
            "503" => Some(On::Unavailable),
            _ => None,
        }
    }
    fn word(on: &On) -> &'static str {
        match on {
            On::ConnectFailure => "connect-failure",
            On::Reset => "reset",
            On::Unavailable => "503",
        }
    }
}

const ATTEMPTS: Key<Count> = Key::new(
    "attempts",
    "How often it is sent again, beyond the first time. All retries of a service together are at most 20 % of its requests \
     and 3 a second.",
)
.between("1", "5")
.default("2", "what two more tries do not reach is down, and more of them keep it down");
const ON: Key<List<Choice<On>>> = Key::new(
    "on",
    "After what. What its server says it did not look at (REFUSED_STREAM, a stream above the last of its GOAWAY) is sent again \
     without being named here. Never after a byte of the answer.",
)
.default(
    "[connect-failure, reset, 503]",
    "each was either not sent, or is repeated for methods only that may be repeated",
);
const METHODS: Key<List<As<Method>>> = Key::new(
    "methods",
    "Of which methods a request may be repeated that its server may have seen. Without it: the safe and idempotent ones \
     (RFC 9110, 9.2.2: GET, HEAD, OPTIONS, TRACE, PUT, DELETE), since a POST that is sent twice may be done twice. Calls of gRPC are POSTs.",
)
.optional()
.example("[GET, HEAD, POST]");

impl Noun for Retries {
    const ELEMENT: &'static Element = &Element {
        name: "retries",
        any_of: &[],
        doc: "When a request is sent again.",
        keys: &[ATTEMPTS.about, ON.about, METHODS.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (attempts, on) = (fields.take(&ATTEMPTS), fields.take(&ON));
        let methods = fields.maybe(&METHODS);
        Ok(Self {
            attempts: attempts?,
            on: on?,
            methods: methods?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![ATTEMPTS.show(&self.attempts), ON.show(&self.on)];
        pairs.extend(self.methods.as_ref().map(|methods| METHODS.show(methods)));
        object(pairs)
    }
}
