//! Patterns over HTTP paths, as the policy writes them.
//!
//! A policy is compared with canonical paths (`policy::path`). What such a path can never hold is refused here with what
//! to write instead, because a rule that can never match is a mistake that nobody notices until it matters.
use super::{NameError, SegmentPattern};
use std::sync::Arc;

/// A pattern over canonical request paths: absolute, of the canonical alphabet (what a canonical path can never hold is refused here, since it could never match).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(SegmentPattern);

impl PathPattern {
    /// Reads such as `/orders/{id}` or `/static/**`. Encoded bytes stay encoded, with upper-case digits.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.as_bytes().first() {
            Some(b'/') => {
                SegmentPattern::read(text, 0, |at, segment| exact(text, at, segment)).map(Self)
            }
            None => Err(NameError::new(
                "the path is empty: write `/` for the root or `/**` for everything",
            )),
            Some(_) => Err(NameError::new(format!(
                "a path begins with `/`: write `/{}`",
                text.escape_debug()
            ))),
        }
    }
    /// Whether a canonical path matches. Does not allocate.
    pub fn matches(&self, canonical: &str) -> bool {
        self.0.matches(canonical)
    }
    /// The segments.
    pub fn segments(&self) -> &SegmentPattern {
        &self.0
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// One segment that stands for itself, in its canonical form.
fn exact(text: &str, at: usize, segment: &str) -> Result<Arc<str>, NameError> {
    match segment {
        "" if at < text.len() => {
            return Err(NameError::new(format!(
                "`//` at {} can never match: such paths are refused as ambiguous; write one `/`",
                at - 1
            )));
        }
        "." | ".." => {
            return Err(NameError::new(format!(
                "the segment `{segment}` at {at} can never match: such paths are refused as ambiguous; write the path it leads to"
            )));
        }
        _ => {}
    }
    let mut canonical = String::with_capacity(segment.len());
    let mut decoded = Vec::with_capacity(segment.len());
    let mut offset = 0;
    while let Some(found) = segment[offset..].chars().next() {
        if found == '%' {
            let byte = encoded(text, at + offset)?;
            canonical.push_str(&segment[offset..offset + 3].to_ascii_uppercase());
            decoded.push(byte);
            offset += 3;
        } else {
            plain(text, at + offset, found)?;
            canonical.push(found);
            decoded.push(found as u8); // `plain` lets only ASCII pass.
            offset += found.len_utf8();
        }
    }
    match std::str::from_utf8(&decoded) {
        Ok(_) => Ok(canonical.into()),
        Err(_) => Err(NameError::new(format!(
            "the segment at {at} can never match: what it encodes is not UTF-8"
        ))),
    }
}

/// The byte that the three characters at `at` encode, if a canonical path may hold it encoded.
fn encoded(text: &str, at: usize) -> Result<u8, NameError> {
    let digits = text
        .get(at + 1..at + 3)
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
        return Err(NameError::at(
            text,
            at,
            "is not followed by two hexadecimal digits",
        ));
    };
    let what = match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => &format!(
            "encodes what canonical paths hold decoded: write `{}`",
            byte as char
        ),
        b'/' | b'\\' | b';' | b'%' => &format!(
            "can never match: an encoded `{}` is refused as ambiguous",
            byte as char
        ),
        0..0x20 | 0x7f => "can never match: encoded control characters are refused",
        _ => return Ok(byte),
    };
    Err(NameError::at(text, at, what))
}

/// Whether a canonical path may hold `found` as it is (RFC 3986 §3.3, without `;`).
fn plain(text: &str, at: usize, found: char) -> Result<(), NameError> {
    let what = match found {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => return Ok(()),
        '!' | '$' | '&' | '\'' | '(' | ')' | '+' | ',' | '=' | ':' | '@' => return Ok(()),
        ';' => "can never match: paths with parameters are refused as ambiguous; leave them out",
        '\\' => "can never match: such paths are refused as ambiguous; write `/`",
        '?' => "can never match: the query is not looked at; leave it out",
        '#' => "can never match: a request holds no fragment; leave it out",
        '\0'..='\x1f' | '\x7f' => "is a control character, and paths hold none",
        _ => {
            let mut bytes = [0; 4];
            let encoded: String = found
                .encode_utf8(&mut bytes)
                .bytes()
                .map(|b| format!("%{b:02X}"))
                .collect();
            return Err(NameError::at(
                text,
                at,
                &format!("stands encoded in a path: write `{encoded}`"),
            ));
        }
    };
    Err(NameError::at(text, at, what))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_pattern_matches_in_canonical_form() {
        let check = |pattern: &str, path: &str, want: bool| {
            assert_eq!(
                PathPattern::parse(pattern).unwrap().matches(path),
                want,
                "{pattern} on {path}"
            );
        };
        check("/orders/{id}", "/orders/7", true);
        check("/orders/{id}", "/orders/", false);
        check("/orders/{id}", "/orders/7/items", false);
        check("/orders", "/orders/", false);
        check("/orders/", "/orders/", true);
        check("/Orders", "/orders", false);
        check("/static/**", "/static", true);
        check("/static/**", "/static/a/b", true);
        check("/static/**", "/statics", false);
        check("/a%20b", "/a%20b", true);
        check("/%c3%a9", "/%C3%A9", true);
        check("/v1/x:cancel", "/v1/x:cancel", true);
        check("/pkg.Service/Method", "/pkg.Service/Method", true);
        check("/", "/", true);
    }

    #[test]
    fn what_can_never_match_is_refused_with_what_to_write() {
        let refused = |text: &str, why: &str| {
            assert_eq!(
                PathPattern::parse(text),
                Err(NameError::new(why)),
                "{text:?}"
            );
        };
        refused(
            "",
            "the path is empty: write `/` for the root or `/**` for everything",
        );
        refused("a", "a path begins with `/`: write `/a`");
        refused(
            "/a//b",
            "`//` at 2 can never match: such paths are refused as ambiguous; write one `/`",
        );
        refused(
            "//**",
            "`//` at 0 can never match: such paths are refused as ambiguous; write one `/`",
        );
        refused(
            "/a/../b",
            "the segment `..` at 3 can never match: such paths are refused as ambiguous; write the path it leads to",
        );
        refused(
            "/.",
            "the segment `.` at 1 can never match: such paths are refused as ambiguous; write the path it leads to",
        );
        refused(
            "/%41",
            "`%` at 1 encodes what canonical paths hold decoded: write `A`",
        );
        refused(
            "/%2e%2e",
            "`%` at 1 encodes what canonical paths hold decoded: write `.`",
        );
        refused(
            "/a%2fb",
            "`%` at 2 can never match: an encoded `/` is refused as ambiguous",
        );
        refused(
            "/a%5Cb",
            "`%` at 2 can never match: an encoded `\\` is refused as ambiguous",
        );
        refused(
            "/a%3bb",
            "`%` at 2 can never match: an encoded `;` is refused as ambiguous",
        );
        refused(
            "/a%2525",
            "`%` at 2 can never match: an encoded `%` is refused as ambiguous",
        );
        refused(
            "/a%00",
            "`%` at 2 can never match: encoded control characters are refused",
        );
        refused("/a%", "`%` at 2 is not followed by two hexadecimal digits");
        refused(
            "/a%4/b",
            "`%` at 2 is not followed by two hexadecimal digits",
        );
        refused(
            "/a%+1",
            "`%` at 2 is not followed by two hexadecimal digits",
        );
        refused("/a%é", "`%` at 2 is not followed by two hexadecimal digits");
        refused(
            "/a%ff",
            "the segment at 1 can never match: what it encodes is not UTF-8",
        );
        refused(
            "/a;v=1",
            "`;` at 2 can never match: paths with parameters are refused as ambiguous; leave them out",
        );
        refused(
            "/a\\b",
            "`\\\\` at 2 can never match: such paths are refused as ambiguous; write `/`",
        );
        refused(
            "/a?b=c",
            "`?` at 2 can never match: the query is not looked at; leave it out",
        );
        refused(
            "/a#b",
            "`#` at 2 can never match: a request holds no fragment; leave it out",
        );
        refused("/a b", "` ` at 2 stands encoded in a path: write `%20`");
        refused("/é", "`é` at 1 stands encoded in a path: write `%C3%A9`");
        refused("/a|b", "`|` at 2 stands encoded in a path: write `%7C`");
        refused(
            "/a\tb",
            "`\\t` at 2 is a control character, and paths hold none",
        );
        refused(
            "/a/*",
            "`*` at 3 is no wildcard: write `{name}` for one segment, or end the pattern with `/**` for all below",
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "/?[a-f0-9/.%é{}*;é]{0,12}|\\PC{0,8}") {
            if let Ok(pattern) = PathPattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), text);
            }
        }
    }
}
