//! The forms that values have: text of a grammar, words, numbers, durations, lists, mappings.

mod noun;

mod text;

mod address;

mod path;

mod choice;

mod amount;

pub(crate) use address::{Listen, ListenTcp, Reach, ReachTcp};
pub(crate) use amount::{Count, Duration, Flag, Size};
pub(crate) use choice::{Choice, OneOf, meant};
pub(crate) use noun::{List, Map, MaybeEmpty, Noun, object};
pub(crate) use path::{File, check_path, path_text};
pub(crate) use text::{As, Method, Name, Text};
