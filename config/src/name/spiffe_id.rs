//! A workload's name.
use super::trust_domain::{self, SCHEME, after_scheme};
use super::{NameError, TrustDomain};
use std::sync::Arc;

/// SPIFFE-ID §2.3: "The maximum length of a SPIFFE ID is 2048 bytes".
pub(super) const LENGTH_MAX_BYTES: usize = 2048;

/// `spiffe://<trust domain>/<segment>…`, at most 2048 bytes, always with a path (X509-SVID §4.1). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    path_at: usize,
}

impl SpiffeId {
    /// Reads a whole ID; upper case in scheme or trust domain, percent-encoding, userinfo, port, query, fragment, empty, `.` and `..` segments are refused.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let path_at = path_at(text)?;
        let mut at = path_at;
        for segment in text[path_at..].split('/').skip(1) {
            at += 1;
            check_segment(text, at, segment)?;
            at += segment.len();
        }
        Ok(Self {
            text: text.into(),
            path_at,
        })
    }
    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path_at]
    }
    /// The path, with its leading `/`.
    pub fn path(&self) -> &str {
        &self.text[self.path_at..]
    }
    /// Whether this ID lies in `domain`.
    pub fn is_in(&self, domain: &TrustDomain) -> bool {
        self.trust_domain() == domain.as_str()
    }
}

/// Whom policy takes a caller in clear text for, where one is heard (`mode: permissive`). Nobody proves to be this: no trust domain
/// of a configuration ends in `.invalid` (RFC 6761 §6.4: there is no such name).
pub const PLAINTEXT: &str = "spiffe://plaintext.invalid/anyone";

impl SpiffeId {
    /// [`PLAINTEXT`] as an ID.
    pub fn plaintext() -> Self {
        Self {
            text: PLAINTEXT.into(),
            path_at: "spiffe://plaintext.invalid".len(),
        }
    }
}

impl std::fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
impl std::fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks all that stands before the path, and the length of the whole; returns where the path begins.
pub(super) fn path_at(text: &str) -> Result<usize, NameError> {
    if text.len() > LENGTH_MAX_BYTES {
        return Err(NameError::new(format!(
            "the SPIFFE ID has {} bytes, at most {LENGTH_MAX_BYTES} are allowed",
            text.len()
        )));
    }
    let domain_len = after_scheme(text)?
        .find('/')
        .unwrap_or(text.len() - SCHEME.len());
    let path_at = SCHEME.len() + domain_len;
    trust_domain::check(text, SCHEME.len(), path_at)?;
    if path_at == text.len() {
        return Err(NameError::new(
            "the SPIFFE ID has no path, and a workload's ID needs one",
        ));
    }
    Ok(path_at)
}

/// Checks one segment of the path (SPIFFE-ID §2.2), which begins at byte `at` of `text`.
pub(super) fn check_segment(text: &str, at: usize, segment: &str) -> Result<(), NameError> {
    match segment {
        "" if at == text.len() => {
            return Err(NameError::new(format!(
                "the trailing `/` at {} is not allowed in a SPIFFE ID",
                at - 1
            )));
        }
        "" => return Err(NameError::new(format!("the segment at {at} is empty"))),
        "." | ".." => {
            return Err(NameError::new(format!(
                "the segment `{segment}` at {at} is not allowed in a SPIFFE ID"
            )));
        }
        _ => {}
    }
    match segment
        .bytes()
        .position(|b| !matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
    {
        None => Ok(()),
        Some(offset) => Err(NameError::at(
            text,
            at + offset,
            match segment.as_bytes()[offset] {
                b'%' => "is not allowed in a SPIFFE ID: it has no percent-encoding",
                b'?' => "is not allowed in a SPIFFE ID: it has no query",
                b'#' => "is not allowed in a SPIFFE ID: it has no fragment",
                _ => {
                    "is not allowed in a SPIFFE ID: a segment holds `a-z`, `A-Z`, `0-9`, `.`, `-` and `_`"
                }
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str, why: &str) {
        assert_eq!(SpiffeId::parse(text), Err(NameError::new(why)), "{text:?}");
    }

    #[test]
    fn an_id_gives_back_its_parts() {
        let id = SpiffeId::parse("spiffe://shop.example/ns/A_b-1.c").unwrap();
        assert_eq!(
            (id.trust_domain(), id.path()),
            ("shop.example", "/ns/A_b-1.c")
        );
        assert!(id.is_in(&TrustDomain::parse("shop.example").unwrap()));
        assert!(!id.is_in(&TrustDomain::parse("shop.exampl").unwrap()));
    }

    #[test]
    fn an_id_that_strays_from_the_standard_is_refused() {
        const ALPHABET: &str =
            "is not allowed in a SPIFFE ID: a segment holds `a-z`, `A-Z`, `0-9`, `.`, `-` and `_`";
        refused("", "a SPIFFE ID begins with `spiffe://`");
        refused("http://td/a", "a SPIFFE ID begins with `spiffe://`");
        refused(
            "SpIFFE://td/a",
            "the scheme `SpIFFE://` has upper-case letters: write `spiffe://`",
        );
        refused("spiffe://", "the trust domain is empty");
        refused("spiffe:///a", "the trust domain is empty");
        refused(
            "spiffe://td",
            "the SPIFFE ID has no path, and a workload's ID needs one",
        );
        refused(
            "spiffe://td/",
            "the trailing `/` at 11 is not allowed in a SPIFFE ID",
        );
        refused(
            "spiffe://td/a/",
            "the trailing `/` at 13 is not allowed in a SPIFFE ID",
        );
        refused("spiffe://td//a", "the segment at 12 is empty");
        refused(
            "spiffe://td/a/./b",
            "the segment `.` at 14 is not allowed in a SPIFFE ID",
        );
        refused(
            "spiffe://td/..",
            "the segment `..` at 12 is not allowed in a SPIFFE ID",
        );
        refused(
            "spiffe://TD/a",
            "`T` at 9 is not allowed in a trust domain: write it in lower case",
        );
        refused(
            "spiffe://u@td/a",
            "`@` at 10 is not allowed in a trust domain: it has no user",
        );
        refused(
            "spiffe://td:80/a",
            "`:` at 11 is not allowed in a trust domain: it has no port",
        );
        refused(
            "spiffe://td/a?q",
            "`?` at 13 is not allowed in a SPIFFE ID: it has no query",
        );
        refused(
            "spiffe://td/a#f",
            "`#` at 13 is not allowed in a SPIFFE ID: it has no fragment",
        );
        refused(
            "spiffe://td/%41",
            "`%` at 12 is not allowed in a SPIFFE ID: it has no percent-encoding",
        );
        refused("spiffe://td/a b", &format!("`\u{20}` at 13 {ALPHABET}"));
        refused("spiffe://td/é", &format!("`é` at 12 {ALPHABET}"));
        refused("spiffe://td/a\0", &format!("`\\0` at 13 {ALPHABET}"));
    }

    #[test]
    fn an_id_has_at_most_2048_bytes() {
        let of = |len: usize| SpiffeId::parse(&format!("spiffe://td/{}", "a".repeat(len - 12)));
        assert_eq!(of(2048).unwrap().as_str().len(), 2048);
        assert_eq!(
            of(2049),
            Err(NameError::new(
                "the SPIFFE ID has 2049 bytes, at most 2048 are allowed"
            ))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "(spiffe://)?[a-zA-Z/.%é{}*-]{0,12}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
            }
        }
    }
}
