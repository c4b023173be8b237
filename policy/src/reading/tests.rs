#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

fn resolved_to(raw: &str, want: Result<&str, Ambiguous>) {
    let seen = Reading::of(raw.as_bytes(), Paths::Canonical);
    let seen = seen.map(|path| match path {
        Reading::Plain(path) => path.as_str().to_owned(),
        Reading::Resolved(path) => path.as_str().to_owned(),
        Reading::Doubtful(_) => "in doubt".to_owned(),
    });
    assert_eq!(seen, want.map(str::to_owned), "{raw}");
}

#[test]
fn canonical_resolves_what_has_one_form() {
    for (raw, form) in [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/.", "/"),
        ("/./a", "/a"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a///", "/a/"),
        ("//", "/"),
        ("/a//b/../c", "/a/c"),
        ("//%61dmin/.//x", "/admin/x"),
        ("/{7}|", "/%7B7%7D%7C"),
        ("/a[0]", "/a%5B0%5D"),
        ("/é/../%c3%a9", "/%C3%A9"),
        ("/%6frders", "/orders"),
        ("/orders", "/orders"),
    ] {
        resolved_to(raw, Ok(form));
    }
}

#[test]
fn canonical_refuses_what_has_none() {
    use Ambiguous::*;
    for (raw, why) in [
        ("/..", DotSegment),
        ("/../a", DotSegment),
        ("/a/../../b", DotSegment),
        ("/%2e%2e/a", DotSegment),
        ("/a//../b", EmptySegment),
        ("//../a", EmptySegment),
        ("/a//./../b", EmptySegment),
        ("/a%2fb", EncodedSlash),
        ("/x%2f/../b", EncodedSlash),
        ("/a\\b", Backslash),
        ("/a/%5c/../b", Backslash),
        ("/a;b", Parameter),
        ("/a;x/../b", Parameter),
        ("/..;/a", Parameter),
        ("/a%00", Control),
        ("/a%0a/../b", Control),
        ("/%252e", Percent),
        ("/a%", Percent),
        ("/%u002e", Percent),
        ("/%c0%ae", NotUtf8),
        ("/%ff/../a", NotUtf8),
        ("/a b", NotAllowed),
        ("/a#b", NotAllowed),
        ("a", NotAbsolute),
        ("", NotAbsolute),
        ("*", NotAbsolute),
    ] {
        resolved_to(raw, Err(why));
    }
}

#[test]
fn of_a_path_in_doubt_the_segments_before_its_first_trick_are_sure() {
    for (raw, start) in [
        ("/files/a%2fb", "/files"),
        ("/files/%61/b;v=1/c", "/files/a"),
        ("/files//x", "/files"),
        ("//x", ""),
        ("/;x", ""),
        ("/x;y", ""),
        ("/files/100%25", "/files"),
        ("/files/100%25/a", "/files"),
        ("/files/%00", "/files"),
        ("/files/a.b/..c/%2f", "/files/a.b/..c"),
        ("/files/[0]", "/files"),
        ("/files/\u{e9}", "/files"),
        // Whatever may climb leaves nothing sure.
        ("/files/../x", ""),
        ("/files/..;/x", ""),
        ("/files/..%2fx", ""),
        ("/files/..%5cx", ""),
        ("/files/..\\x", ""),
        ("/files/%252e%252e/x", ""),
        ("/files/%25252e%25252e/x", ""),
        ("/files/%2525252525252e/x", ""),
        ("/files/%%32%65%%32%65/x", ""),
        ("/files/..%00/x", ""),
        ("/files/..%0d/x", ""),
        ("/files/..%20/x;", ""),
        ("/files/%c0%ae%c0%ae/x", ""),
        ("/files/%u002e%u002e/x", ""),
        ("/files/.%./x", ""),
        ("/files/..%3fx;", ""),
        ("/files/..%23x;", ""),
        ("/files/.../x;", ""),
    ] {
        match Reading::of(raw.as_bytes(), Paths::Raw).unwrap() {
            Reading::Doubtful(path) => assert_eq!(path.start().as_str(), start, "{raw}"),
            other => assert_eq!(Some(other), None, "{raw}"),
        }
    }
    for raw in ["", "*", "orders", "?x"] {
        let seen = Reading::of(raw.as_bytes(), Paths::Raw);
        assert_eq!(seen, Err(Ambiguous::NotAbsolute));
    }
}

#[test]
fn what_has_one_meaning_is_that_everywhere_and_goes_on_as_it_came() {
    for raw in ["/", "/orders/7", "/%6frders", "/a%20b/"] {
        let strict = Reading::of(raw.as_bytes(), Paths::Strict).unwrap();
        assert_eq!(strict.rewritten(), None);
        for paths in [Paths::Canonical, Paths::Raw] {
            assert_eq!(Reading::of(raw.as_bytes(), paths).unwrap(), strict, "{raw}");
        }
    }
    let resolved = Reading::of(b"/a/../b", Paths::Canonical).unwrap();
    assert_eq!(resolved.rewritten(), Some("/b"));
}

/// What some server makes of a path; each turn of it is one that some server takes.
fn reading(raw: &str, turns: &[u8]) -> String {
    let mut text = raw.as_bytes().to_vec();
    for turn in turns {
        text = match turn % 8 {
            0 | 1 => decoded_once(&text),
            2 => String::from_utf8_lossy(&text).replace('\\', "/").into(),
            3 => String::from_utf8_lossy(&text).replace('\0', "").into(),
            4 => without_parameters(&text),
            5 => merged(&text),
            6 => climbed(&text),
            _ => text.split(|&byte| byte == 0).next().unwrap().to_vec(),
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn without_parameters(text: &[u8]) -> Vec<u8> {
    let cut = |segment: &[u8]| segment.split(|&b| b == b';').next().unwrap().to_vec();
    text.split(|&b| b == b'/')
        .map(cut)
        .collect::<Vec<_>>()
        .join(&b'/')
}

fn merged(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    text.dedup_by(|b, a| (*a, *b) == (b'/', b'/'));
    text
}

fn climbed(text: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in text.split(|&b| b == b'/').skip(1) {
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "admin", "admin", "x", ".", "..", "%2e", "%252e", "%2f", "%252f", "%5c",
        "\\", ";", "%3b", "%00", "%61", "%", "%25",
    ]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// No order in which a server decodes, cuts, merges and climbs leads out of what is sure.
    #[test]
    fn every_reading_begins_with_what_is_sure(raw in pieces(), turns in prop::collection::vec(any::<u8>(), 0..7)) {
        let path = raw.as_str();
        if let Ok(Reading::Doubtful(doubtful)) = Reading::of(path.as_bytes(), Paths::Raw) {
            let start = format!("{}/", doubtful.start().as_str());
            // The start is in its canonical spelling, and readers who do not decode see the other.
            let read = format!("{}/", reading(&reading(path, &[0]), &turns));
            prop_assert!(read.starts_with(&start), "{path} read as {read} does not begin with {start}");
        }
    }

    #[test]
    fn a_resolved_path_is_its_own_canonical_form(raw in pieces()) {
        if let Ok(Reading::Resolved(path)) = Reading::of(raw.as_bytes(), Paths::Canonical) {
            let again = Canonical::of(path.as_str().as_bytes());
            prop_assert_eq!(again.as_ref().map(Canonical::as_str), Ok(path.as_str()), "{}", raw);
        }
    }
}
