//! Patterns over segments: exact, `{segment}` (one non-empty segment), or a trailing `/**`. The same for paths and identities.
use super::{NameError, SpiffeId, TrustDomain, spiffe_id};
use std::sync::Arc;

/// One place of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly these bytes; may be empty only as the last one (`/x/`).
    Exact(Arc<str>),
    /// `{name}`: any one non-empty segment.
    Any(Arc<str>),
}

/// A pattern over an absolute path of segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SegmentPattern {
    text: Arc<str>,
    segments: Arc<[Segment]>,
    below: bool,
}

/// What of a pattern and the start of a path agrees.
enum Met {
    /// All segments of the pattern; `ends`: the start has no more either.
    Matched { ends: bool },
    /// All segments of the start, and the pattern has more.
    Longer,
}

impl SegmentPattern {
    /// Assembles a pattern whose parts were checked by the grammar of what it stands in.
    pub(super) fn new(text: &str, segments: Vec<Segment>, below: bool) -> Self {
        Self {
            text: text.into(),
            segments: segments.into(),
            below,
        }
    }
    /// The places before `/**`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
    /// Whether it ends in `/**`: it then matches what the segments match and all below.
    pub fn below(&self) -> bool {
        self.below
    }
    /// Whether `path` (absolute) matches. Does not allocate.
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path.as_bytes();
        for segment in self.segments.iter() {
            let Some(unread) = rest.strip_prefix(b"/") else {
                return false;
            };
            let len = match segment {
                Segment::Exact(text) if unread.starts_with(text.as_bytes()) => text.len(),
                Segment::Exact(_) => return false,
                Segment::Any(_) => match unread
                    .iter()
                    .position(|&b| b == b'/')
                    .unwrap_or(unread.len())
                {
                    0 => return false,
                    len => len,
                },
            };
            rest = &unread[len..];
        }
        // Past the last segment stands the end, or what `/**` takes. Anything else is a longer segment or path.
        rest.is_empty() && !self.segments.is_empty() || self.below && rest.first() == Some(&b'/')
    }
    /// Whether it matches `start` and everything below it: whatever may follow the segments of `start`, which is empty or an
    /// absolute path without a last `/`. Does not allocate.
    pub fn matches_all_under(&self, start: &str) -> bool {
        self.below && matches!(self.meeting(start), Some(Met::Matched { .. }))
    }
    /// Whether it matches `start` or anything below it. Does not allocate.
    pub fn matches_any_under(&self, start: &str) -> bool {
        match self.meeting(start) {
            None => false,
            Some(Met::Longer) => true,
            Some(Met::Matched { ends }) => ends || self.below,
        }
    }
    fn meeting(&self, start: &str) -> Option<Met> {
        let mut rest = start.strip_prefix('/').map(|start| start.split('/'));
        for segment in self.segments.iter() {
            let Some(next) = rest.as_mut().and_then(Iterator::next) else {
                return Some(Met::Longer);
            };
            match segment {
                Segment::Exact(text) if **text == *next => {}
                Segment::Any(_) if !next.is_empty() => {}
                Segment::Exact(_) | Segment::Any(_) => return None,
            }
        }
        let ends = rest.as_mut().and_then(Iterator::next).is_none();
        Some(Met::Matched { ends })
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The same pattern with every exact segment replaced, for comparisons in another spelling than the canonical one.
    pub fn map_exact(&self, replaced: impl Fn(&str) -> Arc<str>) -> Self {
        let map = |segment: &Segment| match segment {
            Segment::Exact(text) => Segment::Exact(replaced(text)),
            Segment::Any(name) => Segment::Any(Arc::clone(name)),
        };
        Self {
            text: Arc::clone(&self.text),
            segments: self.segments.iter().map(map).collect(),
            below: self.below,
        }
    }

    /// Reads `text[from..]`, which begins with `/`: splits it into segments, understands `{name}` and `/**`, and lets
    /// `exact` check and normalise every other segment, given where it begins.
    pub(super) fn read(
        text: &str,
        from: usize,
        mut exact: impl FnMut(usize, &str) -> Result<Arc<str>, NameError>,
    ) -> Result<Self, NameError> {
        let mut segments = Vec::new();
        let mut at = from;
        for segment in text[from..].split('/').skip(1) {
            at += 1;
            if segment == "**" && at + segment.len() == text.len() {
                return Ok(Self::new(&text[from..], segments, true));
            }
            segments.push(match placeholder(text, at, segment)? {
                Some(name) => Segment::Any(name.into()),
                None => Segment::Exact(exact(at, segment)?),
            });
            at += segment.len();
        }
        Ok(Self::new(&text[from..], segments, false))
    }
}

/// The name in `{name}`, or `None` for a segment that stands for itself.
fn placeholder<'t>(text: &str, at: usize, segment: &'t str) -> Result<Option<&'t str>, NameError> {
    if let Some(star) = segment.find('*') {
        let what = if segment.contains("**") {
            "is not at the end: `/**` may only end a pattern; write `{name}` for one segment"
        } else {
            "is no wildcard: write `{name}` for one segment, or end the pattern with `/**` for all below"
        };
        return Err(NameError::at(text, at + star, what));
    }
    let Some(brace) = segment.find(['{', '}']) else {
        return Ok(None);
    };
    let Some(name) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return Err(NameError::at(
            text,
            at + brace,
            "is out of place: `{name}` stands for one whole segment",
        ));
    };
    if name.is_empty() {
        return Err(NameError::at(text, at, "has no name: write such as `{id}`"));
    }
    match name
        .bytes()
        .position(|b| !matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
    {
        None => Ok(Some(name)),
        Some(offset) => Err(NameError::at(
            text,
            at + 1 + offset,
            "is not allowed in the name of a segment: it holds `a-z`, `A-Z`, `0-9`, `-` and `_`",
        )),
    }
}

/// A pattern over SPIFFE IDs: an exact trust domain and a pattern over the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdPattern {
    text: Arc<str>,
    trust_domain: TrustDomain,
    path: SegmentPattern,
}

impl IdPattern {
    /// Reads such as `spiffe://shop.example/staging/**`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let path_at = match spiffe_id::path_at(text) {
            Err(_) if TrustDomain::parse_id(text).is_ok() => {
                return Err(NameError::new(format!(
                    "the pattern has no path: write `{text}/**` for everyone in the trust domain"
                )));
            }
            path_at => path_at?,
        };
        let path = SegmentPattern::read(text, path_at, |at, segment| {
            spiffe_id::check_segment(text, at, segment)?;
            Ok(segment.into())
        })?;
        Ok(Self {
            text: text.into(),
            trust_domain: TrustDomain::parse_id(&text[..path_at])?,
            path,
        })
    }
    /// Whether `id` matches. Does not allocate.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        id.is_in(&self.trust_domain) && self.path.matches(id.path())
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The trust domain, always exact.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
    /// The pattern over the path.
    pub fn path(&self) -> &SegmentPattern {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let read = IdPattern::parse(&format!("spiffe://td{pattern}")).unwrap();
        let matches =
            |path: &&str| read.matches(&SpiffeId::parse(&format!("spiffe://td{path}")).unwrap());
        let missed: Vec<_> = yes.iter().filter(|path| !matches(path)).collect();
        let caught: Vec<_> = no.iter().filter(|path| matches(path)).collect();
        assert!(
            missed.is_empty() && caught.is_empty(),
            "{pattern} missed {missed:?} and caught {caught:?}"
        );
    }

    #[test]
    fn a_pattern_matches_all_or_any_of_what_begins_so() {
        for (pattern, start, all, any) in [
            ("/**", "", true, true),
            ("/**", "/x", true, true),
            ("/x/**", "/x", true, true),
            ("/x/**", "/x/y", true, true),
            ("/{a}/**", "/x/y", true, true),
            ("/x/**", "", false, true),
            ("/x/y/**", "/x", false, true),
            ("/x/**", "/xy", false, false),
            ("/x/**", "/y", false, false),
            ("/x/y", "/x", false, true),
            ("/x/y", "/x/y", false, true),
            ("/x/y", "/x/y/z", false, false),
            ("/x/", "/x", false, true),
            ("/x/", "/x/y", false, false),
            ("/{a}", "", false, true),
            ("/", "", false, true),
            ("/", "/x", false, false),
        ] {
            let read = SegmentPattern::read(pattern, 0, |_, segment| Ok(segment.into())).unwrap();
            let seen = (read.matches_all_under(start), read.matches_any_under(start));
            assert_eq!(seen, (all, any), "{pattern} and what begins with {start}");
        }
    }

    #[test]
    fn a_pattern_matches_what_the_contract_says_and_no_more() {
        check("/x", &["/x"], &["/xy", "/x/y", "/X", "/y"]);
        check("/x/{id}", &["/x/y", "/x/.y"], &["/x", "/x/y/z", "/xx/y"]);
        check("/{a}/{b}", &["/x/y"], &["/x", "/x/y/z"]);
        check("/x/**", &["/x", "/x/y", "/x/y/z"], &["/xy", "/y/x", "/y"]);
        check("/x/{id}/**", &["/x/y", "/x/y/z/w"], &["/x", "/y/x"]);
        check("/**", &["/x", "/x/y/z"], &[]);
    }

    #[test]
    fn a_pattern_names_its_trust_domain_exactly() {
        let pattern = IdPattern::parse("spiffe://td/**").unwrap();
        assert!(!pattern.matches(&SpiffeId::parse("spiffe://td.evil/x").unwrap()));
        assert!(!pattern.matches(&SpiffeId::parse("spiffe://t/x").unwrap()));
        assert_eq!(
            (pattern.trust_domain().as_str(), pattern.path().as_str()),
            ("td", "/**")
        );
    }

    #[test]
    fn a_trailing_slash_and_the_root_are_places_of_their_own() {
        let read = |text: &str| SegmentPattern::read(text, 0, |_, s| Ok(s.into())).unwrap();
        for (pattern, path, want) in [
            ("/", "/", true),
            ("/", "/x", false),
            ("/", "", false),
            ("/x", "/x/", false),
            ("/x/", "/x/", true),
            ("/x/", "/x", false),
            ("/x/", "/x/y", false),
            ("/x/{id}", "/x/", false),
            ("/x/{id}", "/x/y/", false),
            ("/x/**", "/x/", true),
            ("/x/**", "/x", true),
            ("/**", "/", true),
            ("/**", "", false),
        ] {
            assert_eq!(read(pattern).matches(path), want, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_that_strays_from_the_grammar_is_refused() {
        let refused = |text: &str, why: &str| {
            assert_eq!(IdPattern::parse(text), Err(NameError::new(why)), "{text:?}");
        };
        let end = "is not at the end: `/**` may only end a pattern; write `{name}` for one segment";
        let wildcard = "is no wildcard: write `{name}` for one segment, or end the pattern with `/**` for all below";
        let place = "is out of place: `{name}` stands for one whole segment";
        refused(
            "spiffe://td",
            "the pattern has no path: write `spiffe://td/**` for everyone in the trust domain",
        );
        refused("spiffe://td/**/a", &format!("`*` at 12 {end}"));
        refused("spiffe://td/a**", &format!("`*` at 13 {end}"));
        refused("spiffe://td/a/*", &format!("`*` at 14 {wildcard}"));
        refused("spiffe://td/a-*", &format!("`*` at 14 {wildcard}"));
        refused("spiffe://td/a{b}", &format!("`{{` at 13 {place}"));
        refused("spiffe://td/{b", &format!("`{{` at 12 {place}"));
        refused("spiffe://td/b}", &format!("`}}` at 13 {place}"));
        refused(
            "spiffe://td/{}",
            "`{` at 12 has no name: write such as `{id}`",
        );
        refused(
            "spiffe://td/{a.b}",
            "`.` at 14 is not allowed in the name of a segment: it holds `a-z`, `A-Z`, `0-9`, `-` and `_`",
        );
        refused("spiffe://td/a//**", "the segment at 14 is empty");
        refused(
            "spiffe://td/a/",
            "the trailing `/` at 13 is not allowed in a SPIFFE ID",
        );
        refused(
            "spiffe://*/a",
            "`*` at 9 is not allowed in a trust domain: it holds `a-z`, `0-9`, `.`, `-` and `_`",
        );
        refused("/a", "a SPIFFE ID begins with `spiffe://`");
    }
}
