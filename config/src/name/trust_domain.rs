//! A trust domain: the first half of every SPIFFE ID.
use super::NameError;
use std::sync::Arc;

/// SPIFFE-ID §2.1: "Trust domain names are limited to 255 bytes".
const LENGTH_MAX_BYTES: usize = 255;
pub(super) const SCHEME: &str = "spiffe://";

/// 1 to 255 bytes of `a-z 0-9 . - _` (SPIFFE-ID §2.1). Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Reads the bare name, such as `shop.example`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if let Some(bare) = text.strip_prefix(SCHEME) {
            return Err(NameError::new(format!(
                "a trust domain is a bare name: write `{bare}` without `{SCHEME}`"
            )));
        }
        check(text, 0, text.len())?;
        Ok(Self(text.into()))
    }

    /// Reads the ID of the trust domain itself, such as `spiffe://shop.example`, as signing certificates may carry it.
    pub fn parse_id(text: &str) -> Result<Self, NameError> {
        let bare = after_scheme(text)?;
        if let Some(slash) = bare.find('/') {
            return Err(NameError::at(
                text,
                SCHEME.len() + slash,
                "begins a path, and a trust domain's own ID has none",
            ));
        }
        check(text, SCHEME.len(), text.len())?;
        Ok(Self(bare.into()))
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows `spiffe://`, which must be there in lower case.
pub(super) fn after_scheme(text: &str) -> Result<&str, NameError> {
    text.strip_prefix(SCHEME)
        .ok_or_else(|| match text.get(..SCHEME.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => NameError::new(format!(
                "the scheme `{scheme}` has upper-case letters: write `{SCHEME}`"
            )),
            _ => NameError::new(format!("a SPIFFE ID begins with `{SCHEME}`")),
        })
}

/// Checks `text[from..to]` as a trust domain; offsets in the error count from the beginning of `text`.
pub(super) fn check(text: &str, from: usize, to: usize) -> Result<(), NameError> {
    let name = &text[from..to];
    if name.is_empty() {
        return Err(NameError::new("the trust domain is empty"));
    }
    if name.len() > LENGTH_MAX_BYTES {
        return Err(NameError::new(format!(
            "the trust domain has {} bytes, at most {LENGTH_MAX_BYTES} are allowed",
            name.len()
        )));
    }
    match name
        .bytes()
        .position(|b| !matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
    {
        None => Ok(()),
        Some(at) => Err(NameError::at(
            text,
            from + at,
            match name.as_bytes()[at] {
                b'A'..=b'Z' => "is not allowed in a trust domain: write it in lower case",
                b':' => "is not allowed in a trust domain: it has no port",
                b'@' => "is not allowed in a trust domain: it has no user",
                _ => "is not allowed in a trust domain: it holds `a-z`, `0-9`, `.`, `-` and `_`",
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<&str, &str>) {
        let seen = TrustDomain::parse(text)
            .map(|td| td.to_string())
            .map_err(|e| e.why);
        assert_eq!(
            seen,
            want.map(str::to_owned).map_err(str::to_owned),
            "{text:?}"
        );
    }

    #[test]
    fn a_trust_domain_holds_only_its_alphabet() {
        const ALPHABET: &str =
            "is not allowed in a trust domain: it holds `a-z`, `0-9`, `.`, `-` and `_`";
        check("shop.example", Ok("shop.example"));
        check("a_b-c.9", Ok("a_b-c.9"));
        check("", Err("the trust domain is empty"));
        check(
            "Shop",
            Err("`S` at 0 is not allowed in a trust domain: write it in lower case"),
        );
        check(
            "a:80",
            Err("`:` at 1 is not allowed in a trust domain: it has no port"),
        );
        check(
            "u@a",
            Err("`@` at 1 is not allowed in a trust domain: it has no user"),
        );
        check("a%41", Err(&format!("`%` at 1 {ALPHABET}")));
        check("a/b", Err(&format!("`/` at 1 {ALPHABET}")));
        check("bücher", Err(&format!("`ü` at 1 {ALPHABET}")));
        check("a\n", Err(&format!("`\\n` at 1 {ALPHABET}")));
        check(
            "spiffe://a",
            Err("a trust domain is a bare name: write `a` without `spiffe://`"),
        );
        check(&"a".repeat(255), Ok(&"a".repeat(255)));
        check(
            &"a".repeat(256),
            Err("the trust domain has 256 bytes, at most 255 are allowed"),
        );
    }

    #[test]
    fn a_trust_domains_own_id_has_no_path() {
        let own = |text| {
            TrustDomain::parse_id(text)
                .map(|td| td.to_string())
                .map_err(|e| e.why)
        };
        assert_eq!(own("spiffe://shop.example"), Ok("shop.example".into()));
        assert_eq!(
            own("spiffe://a/"),
            Err("`/` at 10 begins a path, and a trust domain's own ID has none".into())
        );
        assert_eq!(own("spiffe://"), Err("the trust domain is empty".into()));
        assert_eq!(
            own("https://a"),
            Err("a SPIFFE ID begins with `spiffe://`".into())
        );
        assert_eq!(
            own("SPIFFE://a"),
            Err("the scheme `SPIFFE://` has upper-case letters: write `spiffe://`".into())
        );
    }
}
