//! What a sidecar reports, and where to.

use crate::describe::{About, Element, Shape, Word};
use crate::form::{Choice, Map, Noun, OneOf, check_path, object, path_text};
use crate::key::{Form, Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// What is reported, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The access log; `None`: off.
    pub access_log: Option<LogTarget>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

const ACCESS_LOG: Key<Map<AccessLog>> = Key::new(
    "accessLog",
    "One line per request and per connection of bytes.",
)
.default("{}", "");

impl Noun for Telemetry {
    const ELEMENT: &'static Element = &Element {
        name: "telemetry",
        any_of: &[],
        doc: "What is reported, and where to.",
        keys: &[
            not_yet(
                "otlp",
                "{ endpoint: \"http://collector:4318\", protocol: http/protobuf }",
                "Where traces go.",
            ),
            not_yet("sampling", "{ ratio: 0.1 }", "Which traces are begun."),
            ACCESS_LOG.about,
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value
            .fields(Self::ELEMENT)?
            .take(&ACCESS_LOG)
            .map(|AccessLog(access_log)| Self { access_log })
    }

    fn show(&self) -> Json {
        object([ACCESS_LOG.show(&AccessLog(self.access_log.clone()))])
    }
}

/// The access log as it is written; `None`: off.
struct AccessLog(Option<LogTarget>);

const FORMAT: Key<Choice<Format>> = Key::new("format", "How it is written.").default(
    "json",
    "who was refused and why must be there when it is asked for, not only when it was foreseen",
);
const TO: Key<Target> = Key::new(
    "to",
    "`stdout`, or a file to append to (`./stdout` for one of that name).",
)
.default(
    "stdout",
    "where container platforms collect; our own log is on standard error",
);

impl Noun for AccessLog {
    const ELEMENT: &'static Element = &Element {
        name: "accessLog",
        any_of: &[],
        doc: "The access log, one object a line.",
        keys: &[FORMAT.about, TO.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (format, to) = (fields.take(&FORMAT), fields.take(&TO));
        let to = to?;
        Ok(Self(match format? {
            Format::Json => Some(to),
            Format::None => None,
        }))
    }

    fn show(&self) -> Json {
        match &self.0 {
            Some(target) => object([FORMAT.show(&Format::Json), TO.show(target)]),
            None => object([FORMAT.show(&Format::None)]),
        }
    }
}

enum Format {
    Json,
    None,
}

impl OneOf for Format {
    type Value = Format;
    const WORDS: &'static [Word] = &[
        Word {
            text: "json",
            doc: "one JSON object a line",
            built: true,
        },
        Word {
            text: "none",
            doc: "no access log",
            built: true,
        },
    ];
    fn means(word: &str) -> Option<Format> {
        match word {
            "json" => Some(Format::Json),
            "none" => Some(Format::None),
            _ => None,
        }
    }
    fn word(format: &Format) -> &'static str {
        match format {
            Format::Json => "json",
            Format::None => "none",
        }
    }
}

const STDOUT: &str = "stdout";

/// The form of [`LogTarget`].
struct Target;

impl Form for Target {
    type Value = LogTarget;
    const SHAPE: Shape = Shape::Text {
        wanted: "`stdout` or the path of a file",
        pattern: "",
    };
    fn read(value: &Value<'_>, _: &About) -> Read<LogTarget> {
        let text = value.parse("`stdout` or the path of a file", check_path)?;
        Ok(if text == STDOUT {
            LogTarget::Stdout
        } else {
            LogTarget::File(value.notes.resolve(&text))
        })
    }
    fn show(target: &LogTarget) -> Json {
        match target {
            LogTarget::Stdout => STDOUT.into(),
            // Read again, a file of that name must stay one.
            LogTarget::File(path) if path == Path::new(STDOUT) => format!("./{STDOUT}").into(),
            LogTarget::File(path) => path_text(path).into(),
        }
    }
}
