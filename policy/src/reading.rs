//! What a listener makes of a path: one meaning, or what all of its meanings have in common.
//!
//! In: the bytes of a path as they came, without the query, and the listener's [`Paths`]. Out: a [`Reading`] that rules are
//! asked about, or the [`Ambiguous`] trick for which the path is refused.
//!
//! 1. What has one meaning is that to every listener, and is forwarded as it came.
//! 2. `strict` refuses everything else.
//! 3. `canonical` resolves `.` and `..` (RFC 3986 §5.2.4), takes empty segments out, and encodes what must come encoded. The
//!    result is forwarded in place of what came: an app that would have read the original otherwise never sees it. What even
//!    careful servers take apart differently is refused, and so is what would be resolved differently depending on the order.
//! 4. `raw` refuses nothing that begins with `/`. Of a path with several meanings only its start is sure: the segments before
//!    the first trick, and none at all if any decoding could make a `..` of what follows. Clauses that deny match if they
//!    match anything with that start, clauses that allow only if they match everything.
use crate::path::{Ambiguous, Canonical, decode};
use config::sidecar::Paths;

/// A path, as rules are asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// It means one thing to everybody.
    Plain(Canonical<'a>),
    /// It was brought into its one canonical form, and goes on so.
    Resolved(Canonical<'static>),
    /// Readers disagree about it, and it goes on as it came.
    Doubtful(Doubtful),
}

/// What is known of a path that readers read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    start: Canonical<'static>,
    why: Ambiguous,
}

impl<'a> Reading<'a> {
    /// Reads the path of a request target, without its query (the caller cuts at the first `?`). A path that all readers read
    /// alike costs what [`Canonical::of`] does; any other at most a few passes over its bytes.
    pub fn of(raw: &'a [u8], paths: Paths) -> Result<Self, Ambiguous> {
        let why = match Canonical::of(raw) {
            Ok(path) => return Ok(Self::Plain(path)),
            Err(why) => why,
        };
        match paths {
            Paths::Canonical => resolved(raw).map(Self::Resolved),
            // Not a path in any reading.
            Paths::Raw if why != Ambiguous::NotAbsolute => {
                Ok(Self::Doubtful(Doubtful::of(raw, why)))
            }
            Paths::Raw | Paths::Strict => Err(why),
        }
    }
    /// The path that goes on in place of the one that came, where it is another.
    pub fn rewritten(&self) -> Option<&str> {
        match self {
            Self::Resolved(path) => Some(path.as_str()),
            Self::Plain(_) | Self::Doubtful(_) => None,
        }
    }
    /// Why readers disagree about it, if they may.
    pub fn doubt(&self) -> Option<Ambiguous> {
        match self {
            Self::Doubtful(path) => Some(path.why),
            Self::Plain(_) | Self::Resolved(_) => None,
        }
    }
}

impl Doubtful {
    fn of(raw: &[u8], why: Ambiguous) -> Self {
        let mut start = String::new();
        if !may_climb(raw) {
            for segment in raw[1..].split(|&byte| byte == b'/') {
                let segment = [b"/", segment].concat();
                match Canonical::of(&segment) {
                    Ok(plain) if plain.as_str() != "/" => start.push_str(plain.as_str()),
                    _ => break,
                }
            }
        }
        Self {
            start: Canonical::generic(start),
            why,
        }
    }
    /// Stands for many paths when clauses are compared.
    pub(crate) fn generic(start: String) -> Self {
        Self {
            start: Canonical::generic(start),
            why: Ambiguous::EmptySegment,
        }
    }
    /// The segments with which it begins for every reader, without a last `/`; empty if nothing is sure.
    pub(crate) fn start(&self) -> &Canonical<'static> {
        &self.start
    }
}

/// The one canonical form of a path that has tricks in it.
fn resolved(raw: &[u8]) -> Result<Canonical<'static>, Ambiguous> {
    if raw.first() != Some(&b'/') {
        return Err(Ambiguous::NotAbsolute);
    }
    // All bytes are judged before any segment is taken out.
    let text = decode(&encoded(raw))?;
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = text[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let ends = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => match kept.pop() {
                // Above the root: some stay there, some refuse.
                None => return Err(Ambiguous::DotSegment),
                // Whether it takes out this one or the one before depends on who merges slashes first.
                Some("") => return Err(Ambiguous::EmptySegment),
                Some(_) => {}
            },
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if ends {
            kept.push(""); // What was taken out leaves a folder.
        }
    }
    let is_folder = kept.last().is_some_and(|last| last.is_empty());
    let mut path = String::with_capacity(text.len());
    for segment in kept.iter().filter(|segment| !segment.is_empty()) {
        path.push('/');
        path.push_str(segment);
    }
    if is_folder || path.is_empty() {
        path.push('/');
    }
    Ok(Canonical::generic(path))
}

/// `raw` with those characters encoded that RFC 3986 allows in no path but that mean nothing else where they stand. Not `#`, `?`
/// and blanks, at which a target ends.
fn encoded(raw: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(raw.len());
    for &byte in raw {
        match byte {
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                text.extend([b'%', DIGITS[high], DIGITS[low]]);
            }
            byte => text.push(byte),
        }
    }
    text
}

/// How often a path is decoded in search of dots: more often than anybody does by mistake.
const DECODINGS_MAX: usize = 4;

/// Whether any reader might find a segment of dots in it, however often it decodes and wherever it cuts.
fn may_climb(raw: &[u8]) -> bool {
    let mut text = raw.to_vec();
    for _ in 0..DECODINGS_MAX {
        let once = decoded_once(&text);
        if once == text {
            // What is written as some servers once did, `%u002e`, or in overlong UTF-8, may be anything.
            let odd = |two: &[u8]| two.eq_ignore_ascii_case(b"%u");
            return text.windows(2).any(odd)
                || std::str::from_utf8(&text).is_err()
                || has_dot_segment(&text);
        }
        text = once;
    }
    true
}

/// With every `%` that stands before two hexadecimal digits decoded.
fn decoded_once(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        let digit = char::from(*text.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Wherever a reader cuts: at slashes of both kinds, parameters, queries, fragments, blanks and controls. A `%` that encodes
/// nothing may be dropped.
fn has_dot_segment(text: &[u8]) -> bool {
    let cuts = |byte: &u8| matches!(byte, b'/' | b'\\' | b';' | b'?' | b'#' | 0..=0x20 | 0x7f..);
    text.split(cuts).any(|segment| {
        segment.contains(&b'.') && segment.iter().all(|byte| matches!(byte, b'.' | b'%'))
    })
}

#[cfg(test)]
mod tests;
