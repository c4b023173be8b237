//! The canonical form of a path, and what listeners make of one that has none.

use config::sidecar::Paths;
use policy::{Canonical, Reading};

/// A path is canonical if and only if every reader reads it alike, and then its canonical form says what the path says.
pub fn check(data: &[u8]) {
    readings(data);
    let model = model(data);
    let path = match Canonical::of(data) {
        Ok(path) => path,
        Err(why) => {
            assert_eq!(model, None, "{} is refused: {why}", data.escape_ascii());
            return;
        }
    };
    let text = path.as_str();
    assert!(model.is_some(), "{text:?} is two things to two readers");
    assert_eq!(
        decode(text.as_bytes()),
        model,
        "{text:?} says another thing"
    );
    let delimited = path.delimiters_decoded();
    assert_eq!(decode(delimited.as_bytes()), model, "{delimited:?}");
    assert!(is_canonical(text.as_bytes()), "{text:?}");
    assert!(!decodes_a_delimiter(delimited.as_bytes()), "{delimited:?}");
    let again = Canonical::of(text.as_bytes());
    assert_eq!(
        again.as_ref(),
        Ok(&path),
        "{text:?} is not its own canonical form"
    );
    // However much of it came encoded, the canonical form is the same but for the spelling of delimiters.
    let encoded = encode_letters(text.as_bytes());
    let encoded = Canonical::of(&encoded).map(|path| path.as_str().to_owned());
    assert_eq!(encoded.as_deref(), Ok(text));
}

/// What is resolved is canonical, and leads where it leads who decodes first, then follows dots, then merges slashes. To who
/// takes paths as they come, none that begins with `/` is refused.
fn readings(data: &[u8]) {
    let strict = Reading::of(data, Paths::Strict);
    let (resolved, raw) = (
        Reading::of(data, Paths::Canonical),
        Reading::of(data, Paths::Raw),
    );
    if let Ok(plain) = &strict {
        assert_eq!((resolved.as_ref(), raw.as_ref()), (Ok(plain), Ok(plain)));
        return;
    }
    assert_eq!(
        raw.is_ok(),
        data.first() == Some(&b'/'),
        "{}",
        data.escape_ascii()
    );
    assert!(raw.is_err() || raw.is_ok_and(|raw| raw.doubt().is_some()));
    if let Ok(resolved) = resolved {
        let text = resolved.rewritten().expect("it was not canonical");
        let canonical = Canonical::of(text.as_bytes()).map(|path| path.as_str().to_owned());
        assert_eq!(
            canonical.as_deref(),
            Ok(text),
            "{} is resolved to that",
            data.escape_ascii()
        );
        let followed = decode(data).map(|decoded| follow(&decoded));
        assert_eq!(
            followed,
            decode(text.as_bytes()),
            "{} is {text}",
            data.escape_ascii()
        );
    }
}

/// RFC 3986 §5.2.4, and then one slash for many.
fn follow(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path[1..].split(|byte| *byte == b'/').collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in &segments {
        match *segment {
            b"." => {}
            b".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    let is_folder = matches!(segments.last(), Some(&(b"" | b"." | b"..")));
    let names = kept.into_iter().filter(|segment| !segment.is_empty());
    let mut followed: Vec<u8> = names.flat_map(|name| [b"/", name].concat()).collect();
    if is_folder || followed.is_empty() {
        followed.push(b'/');
    }
    followed
}

/// Everything decoded once; `None` for a `%` that encodes nothing.
fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let mut byte = raw[at];
        at += 1;
        if byte == b'%' {
            let digits = raw.get(at..at + 2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            at += 2;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// What the path is, if all readers agree: those who decode, who do not, who merge slashes, follow dots, cut parameters.
fn model(raw: &[u8]) -> Option<Vec<u8>> {
    let pchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(byte);
    if raw.first() != Some(&b'/') || !raw.iter().all(pchar) {
        return None;
    }
    let decoded = decode(raw)?;
    let text = std::str::from_utf8(&decoded).ok()?;
    if text.contains(|c: char| c.is_control() || "\\;%".contains(c)) {
        return None;
    }
    let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'/').count();
    if slashes(raw) != slashes(&decoded) {
        return None;
    }
    let segments: Vec<&str> = text[1..].split('/').collect();
    let last = segments.len() - 1;
    let plain = |(at, segment): (usize, &&str)| {
        !matches!(*segment, "." | "..") && (at == last || !segment.is_empty())
    };
    segments.iter().enumerate().all(plain).then_some(decoded)
}

/// Invariant 2 of `policy::path`.
fn is_canonical(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            continue;
        }
        let Some((digits, after)) = rest.split_at_checked(2) else {
            return false;
        };
        rest = after;
        let upper = digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
        let decoded = decode(&[b"%", digits].concat()).unwrap_or_default();
        if !upper || decoded.iter().all(|byte| is_unreserved(*byte)) {
            return false;
        }
    }
    true
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn decodes_a_delimiter(text: &[u8]) -> bool {
    text.windows(3).any(|three| {
        three[0] == b'%'
            && decode(three)
                .is_some_and(|byte| byte.iter().all(|byte| b"!$&'()*+,=:@".contains(byte)))
    })
}

/// Every second unreserved character that is not already behind a `%`, encoded in lower case.
fn encode_letters(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            encoded.extend_from_slice(&text[at..at + 3]);
            at += 3;
            continue;
        }
        if at % 2 == 0 && is_unreserved(text[at]) {
            encoded.extend(format!("%{:02x}", text[at]).bytes());
        } else {
            encoded.push(text[at]);
        }
        at += 1;
    }
    encoded
}
