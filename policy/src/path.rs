//! From a raw request target to the canonical path that policy decides on.
//!
//! In: the bytes of a path as they came, without the query. Out: the one [`Canonical`] form, or the [`Ambiguous`] trick
//! that makes readers disagree about it. The bytes that are forwarded are not touched here.
//!
//! 1. `of` is idempotent: a canonical path is its own canonical form.
//! 2. A canonical path holds `/`, RFC 3986 `pchar` without `;`, and `%` only before two upper-case digits that encode
//!    none of: unreserved characters, `/`, `\`, `;`, `%`, controls.
//! 3. No segment is `.`, `..` or, but for the last, empty.
//!
//! What is not a `pchar` (RFC 3986 §3.3) must come encoded: a raw space, `"`, `<`, `>`, `^`, `` ` ``, `{`, `|`, `}`, `[`,
//! `]` or a byte above 0x7f is repaired by some servers, cut at by others and refused by the rest, so it is refused here.
//! Sub-delimiters, `:` and `@` are data to most servers and so mean the same raw and encoded, but RFC 3986 §2.2 lets a
//! server tell them apart. The canonical form therefore keeps the spelling, and for the clauses that deny there is
//! [`Canonical::delimiters_decoded`], so that no spelling leads around a deny.
use std::borrow::Cow;

/// A path whose forms all agree: percent-decoded once where it decodes to an unreserved character; no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical<'a> {
    text: Cow<'a, str>,
    /// Set where it differs from `text`.
    delimiters_decoded: Option<Box<str>>,
}

impl<'a> Canonical<'a> {
    /// Reads the path of a request target, without its query (the caller cuts at the first `?`).
    /// Does not allocate when nothing had to be decoded: one pass over the bytes.
    pub fn of(raw: &'a [u8]) -> Result<Self, Ambiguous> {
        if raw.first() != Some(&b'/') {
            return Err(Ambiguous::NotAbsolute);
        }
        let (mut at, mut segment_at) = (1, 1);
        // Nearly all bytes are plain: they are passed over in a loop of their own.
        while let Some(plain) = raw[at..].iter().position(|&byte| !PLAIN[byte as usize]) {
            at += plain;
            match CLASSES[raw[at] as usize] {
                Class::Plain => {}
                Class::Slash => {
                    closed_segment(&raw[segment_at..at])?;
                    segment_at = at + 1;
                }
                Class::Percent => return Self::decoded(raw),
                Class::Refused(why) => return Err(why),
            }
            at += 1;
        }
        dot_segment(&raw[segment_at..])?;
        // Every class that passes is ASCII, so this cannot fail; should it ever, the answer is still no.
        let text = std::str::from_utf8(raw).map_err(|_| Ambiguous::NotUtf8)?;
        Ok(Self {
            text: Cow::Borrowed(text),
            delimiters_decoded: None,
        })
    }

    /// The same with at least one `%` in it.
    fn decoded(raw: &[u8]) -> Result<Self, Ambiguous> {
        let text = decode(raw)?;
        let mut segments = text.as_bytes()[1..].split(|&b| b == b'/').peekable();
        while let Some(segment) = segments.next() {
            if segments.peek().is_some() {
                closed_segment(segment)?;
            } else {
                dot_segment(segment)?;
            }
        }
        Ok(Self::generic(text))
    }

    /// Stands for many paths when clauses are compared; `text` need not be one that a request could hold.
    pub(crate) fn generic(text: String) -> Canonical<'static> {
        let delimiters_decoded = match decode_delimiters(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(decoded) => Some(decoded.into()),
        };
        Canonical {
            text: Cow::Owned(text),
            delimiters_decoded,
        }
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The canonical text with sub-delimiters, `:` and `@` decoded: what clauses that deny are compared with.
    pub fn delimiters_decoded(&self) -> &str {
        self.delimiters_decoded.as_deref().unwrap_or(&self.text)
    }
}

/// Why a path means different things to different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ambiguous {
    /// Does not start with `/`.
    NotAbsolute,
    /// `.` or `..` as a segment, also when encoded.
    DotSegment,
    /// `//`.
    EmptySegment,
    /// `%2f`.
    EncodedSlash,
    /// `\` or `%5c`.
    Backslash,
    /// `;`, also when encoded: path parameters.
    Parameter,
    /// `%00` or another control character.
    Control,
    /// `%` without two hex digits, or decoding to `%`.
    Percent,
    /// What it decodes to is not UTF-8.
    NotUtf8,
    /// A byte that RFC 3986 does not allow in a path, `#` included.
    NotAllowed,
}

impl Ambiguous {
    /// A label that never changes, for metrics, `details` and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::DotSegment => "path_dot_segment",
            Self::EmptySegment => "path_empty_segment",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Parameter => "path_parameter",
            Self::Control => "path_control_character",
            Self::Percent => "path_percent",
            Self::NotUtf8 => "path_not_utf8",
            Self::NotAllowed => "path_character",
        }
    }
}

impl std::fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path is ambiguous: it does not begin with `/`",
            Self::DotSegment => {
                "the path is ambiguous: it has a `.` or `..` segment; send the path it leads to"
            }
            Self::EmptySegment => {
                "the path is ambiguous: it has an empty segment (`//`); send one `/`"
            }
            Self::EncodedSlash => "the path is ambiguous: it has an encoded `/` (`%2F`)",
            Self::Backslash => "the path is ambiguous: it has a `\\`; send `/`",
            Self::Parameter => "the path is ambiguous: it has a parameter (`;`)",
            Self::Control => "the path is ambiguous: it has a control character",
            Self::Percent => {
                "the path is ambiguous: it has a `%` that encodes nothing, or `%` itself (`%25`)"
            }
            Self::NotUtf8 => "the path is ambiguous: what it encodes is not UTF-8",
            Self::NotAllowed => {
                "the path is ambiguous: it has a character that must be percent-encoded"
            }
        })
    }
}
impl std::error::Error for Ambiguous {}

/// What a byte means where it stands by itself.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Percent,
    Refused(Ambiguous),
}

/// One look per byte.
static CLASSES: [Class; 256] = CLASSES_OF_BYTES;

const CLASSES_OF_BYTES: [Class; 256] = {
    let mut classes = [Class::Refused(Ambiguous::NotAllowed); 256];
    let mut byte = 0;
    while byte < 256 {
        let at = byte as u8;
        if is_unreserved(at) || is_delimiter(at) {
            classes[byte] = Class::Plain;
        } else if at < 0x20 || at == 0x7f {
            classes[byte] = Class::Refused(Ambiguous::Control);
        }
        byte += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes[b'%' as usize] = Class::Percent;
    classes[b'\\' as usize] = Class::Refused(Ambiguous::Backslash);
    classes[b';' as usize] = Class::Refused(Ambiguous::Parameter);
    classes
};

/// Whether the class is [`Class::Plain`].
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = matches!(CLASSES_OF_BYTES[byte], Class::Plain);
        byte += 1;
    }
    plain
};

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What else `pchar` holds (RFC 3986 §3.3), without the `;` that is refused.
const fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
    )
}

enum Encoded {
    Decode,
    Keep,
}

/// What becomes of a byte that came encoded.
fn encoded(byte: u8) -> Result<Encoded, Ambiguous> {
    match byte {
        _ if is_unreserved(byte) => Ok(Encoded::Decode), // RFC 3986 §6.2.2.2: equivalent, so the shorter
        b'/' => Err(Ambiguous::EncodedSlash),
        b'\\' => Err(Ambiguous::Backslash),
        b';' => Err(Ambiguous::Parameter),
        b'%' => Err(Ambiguous::Percent), // a second decoding would find more
        0..0x20 | 0x7f => Err(Ambiguous::Control),
        _ => Ok(Encoded::Keep),
    }
}

/// Decodes once where that leads to an unreserved character, and refuses every byte on which readers disagree. Segments are not
/// looked at.
pub(crate) fn decode(raw: &[u8]) -> Result<String, Ambiguous> {
    let mut text = String::with_capacity(raw.len());
    // What a reader sees who decodes everything once.
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match CLASSES[byte as usize] {
            Class::Plain | Class::Slash => {
                text.push(byte as char);
                bytes.push(byte);
            }
            Class::Percent => {
                let (&[high, low], after) = rest.split_first_chunk().ok_or(Ambiguous::Percent)?;
                rest = after;
                let byte = hex(high)? << 4 | hex(low)?;
                bytes.push(byte);
                match encoded(byte)? {
                    Encoded::Decode => text.push(byte as char),
                    Encoded::Keep => {
                        text.push('%');
                        text.push(high.to_ascii_uppercase() as char);
                        text.push(low.to_ascii_uppercase() as char);
                    }
                }
            }
            Class::Refused(why) => return Err(why),
        }
    }
    let plain = std::str::from_utf8(&bytes).map_err(|_| Ambiguous::NotUtf8)?;
    if plain.chars().any(char::is_control) {
        return Err(Ambiguous::Control); // U+0080 to U+009F; those of ASCII were refused above.
    }
    Ok(text)
}

fn hex(digit: u8) -> Result<u8, Ambiguous> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Ambiguous::Percent),
    }
}

/// A segment with a `/` behind it.
fn closed_segment(segment: &[u8]) -> Result<(), Ambiguous> {
    if segment.is_empty() {
        Err(Ambiguous::EmptySegment)
    } else {
        dot_segment(segment)
    }
}

fn dot_segment(segment: &[u8]) -> Result<(), Ambiguous> {
    if matches!(segment, b"." | b"..") {
        Err(Ambiguous::DotSegment)
    } else {
        Ok(())
    }
}

/// `text`, which is canonical, with its encoded delimiters decoded.
pub(crate) fn decode_delimiters(text: &str) -> Cow<'_, str> {
    let mut decoded = String::new();
    let mut rest = text;
    let mut copied = 0;
    while let Some(percent) = rest.find('%') {
        let at = text.len() - rest.len() + percent;
        let byte = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(|&byte| is_delimiter(byte)) {
            decoded.push_str(&text[copied..at]);
            decoded.push(byte as char);
            copied = at + 3;
        }
        rest = &rest[percent + 1..];
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    decoded.push_str(&text[copied..]);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &[u8], want: Result<&str, Ambiguous>) {
        let seen = Canonical::of(raw).map(|path| path.as_str().to_owned());
        assert_eq!(seen, want.map(str::to_owned), "{}", raw.escape_ascii());
    }

    #[test]
    fn a_plain_path_is_its_own_canonical_form_without_allocation() {
        for raw in [
            "/",
            "/orders",
            "/orders/",
            "/orders/7",
            "/pkg.Service/Method",
            "/v1/x:cancel",
            "/a!$&'()*+,=:@b",
            "/~u/-._",
            "/.well-known/x",
            "/a..",
            "/...",
            "/..a/b.",
        ] {
            check(raw.as_bytes(), Ok(raw));
            assert!(
                matches!(
                    Canonical::of(raw.as_bytes()).unwrap().text,
                    Cow::Borrowed(_)
                ),
                "{raw} was copied"
            );
        }
    }

    #[test]
    fn only_unreserved_characters_are_decoded_and_once() {
        check(b"/%6frders", Ok("/orders"));
        check(b"/%7Eu%2D%5f", Ok("/~u-_"));
        check(b"/a%2eb", Ok("/a.b"));
        check(b"/a%20b", Ok("/a%20b"));
        check(b"/%c3%a9", Ok("/%C3%A9"));
        check(b"/a%3fb%23", Ok("/a%3Fb%23"));
        check(b"/a%40b%3a", Ok("/a%40b%3A"));
        check(b"/%7b%7d%22%3c%5b", Ok("/%7B%7D%22%3C%5B"));
    }

    #[test]
    fn every_trick_is_refused_by_its_name() {
        use Ambiguous::*;
        for (raws, want) in [
            (&["", "*", "orders", "http://a/b", "?x"][..], NotAbsolute),
            (
                &[
                    "/.",
                    "/..",
                    "/a/./b",
                    "/a/../b",
                    "/../a",
                    "/a/..",
                    "/%2e",
                    "/%2e%2E/a",
                    "/.%2e/a",
                    "/a/%2e./b",
                    "/a/%2e",
                ],
                DotSegment,
            ),
            (
                &["//", "//a", "/a//b", "/a//", "/a///b", "/%61//b"],
                EmptySegment,
            ),
            (
                &["/%2f", "/a%2Fb", "/..%2fa", "/a/..%2f..%2fb"],
                EncodedSlash,
            ),
            (&["/a\\b", "/a%5cb", "/..%5C", "/\\..\\a"], Backslash),
            (
                &[
                    "/a;b",
                    "/a;v=1/b",
                    "/..;/a",
                    "/a%3bb",
                    "/a%3Bjsessionid=1",
                    "/;",
                ],
                Parameter,
            ),
            (
                &[
                    "/%00",
                    "/a%0d%0ab",
                    "/a\0",
                    "/a\tb",
                    "/%7f",
                    "/\x7f",
                    "/%1b",
                    "/%C2%80",
                ],
                Control,
            ),
            (
                &[
                    "/%", "/a%2", "/%zz", "/%2", "/%u002f", "/%+1", "/a%", "/%%32%65", "/%252e",
                    "/%2525", "/%25",
                ],
                Percent,
            ),
            (
                &[
                    "/%ff",
                    "/%c0%af",
                    "/%c3",
                    "/%e0%80%af",
                    "/%c0%ae%c0%ae/a",
                    "/%ED%A0%80",
                    "/%F4%90%80%80",
                    "/%c3a%a9",
                ],
                NotUtf8,
            ),
            (
                &[
                    "/a b", "/a#b", "/a?b", "/a\"b", "/<a>", "/a^b", "/`", "/{a}", "/a|b", "/[a]",
                    "/é", "/%41é",
                ],
                NotAllowed,
            ),
        ] {
            raws.iter().for_each(|raw| check(raw.as_bytes(), Err(want)));
        }
        check(b"/\xff", Err(NotAllowed));
        check(b"/\x80%41", Err(NotAllowed));
    }

    #[test]
    fn delimiters_are_decoded_for_the_clauses_that_deny() {
        for (raw, want) in [
            ("/a%40b", "/a@b"),
            ("/x%3acancel%2c", "/x:cancel,"),
            ("/a@b", "/a@b"),
            ("/%C3%A9%20", "/%C3%A9%20"),
            ("/%2a%20%2A", "/*%20*"),
        ] {
            assert_eq!(
                Canonical::of(raw.as_bytes()).unwrap().delimiters_decoded(),
                want
            );
        }
    }

    #[test]
    fn labels_are_distinct() {
        use Ambiguous::*;
        let all = [
            NotAbsolute,
            DotSegment,
            EmptySegment,
            EncodedSlash,
            Backslash,
            Parameter,
            Control,
            Percent,
            NotUtf8,
            NotAllowed,
        ];
        let labels: std::collections::BTreeSet<_> = all.iter().map(Ambiguous::reason).collect();
        assert_eq!(labels.len(), all.len());
    }

    /// Paths in which tricks are frequent.
    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just("/"), 4 => Just("a"), 1 => Just("."), 1 => Just("%2e"), 1 => Just("%"), 1 => Just("%41"), 1 => Just("%2f"), 1 => Just("%25"),
            1 => Just("%c3%a9"), 1 => Just("%c3"), 1 => Just(";"), 1 => Just("\\"), 1 => Just("%40"), 1 => Just(" "), 1 => Just("%0"), 1 => Just("é"), 1 => Just("2"),
        ];
        prop_oneof![
            proptest::collection::vec(piece, 0..8).prop_map(|pieces| format!(
                "/{}",
                pieces.concat()
            )
            .into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| [
                b"/",
                bytes.as_slice()
            ]
            .concat()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn canonical_is_idempotent_and_free_of_tricks(raw in tricky()) {
            if let Ok(path) = Canonical::of(&raw) {
                let text = path.as_str();
                let again = Canonical::of(text.as_bytes()).unwrap();
                prop_assert_eq!(again.as_str(), text);
                prop_assert!(text.starts_with('/') && text.is_ascii() && !text.contains("//"));
                prop_assert!(!text.contains([';', '\\', '?', '#', ' ']) && !text.bytes().any(|b| b.is_ascii_control()));
                prop_assert!(text.split('/').all(|segment| segment != "." && segment != ".."));
                for (at, _) in text.match_indices('%') {
                    let digits = &text[at + 1..at + 3];
                    let byte = u8::from_str_radix(digits, 16).unwrap();
                    prop_assert!(digits == digits.to_ascii_uppercase() && !is_unreserved(byte));
                    prop_assert!(!matches!(byte, b'/' | b'\\' | b';' | b'%' | 0..0x20 | 0x7f));
                }
                prop_assert!(!path.delimiters_decoded().contains("%3A"));
            }
        }
    }
}
