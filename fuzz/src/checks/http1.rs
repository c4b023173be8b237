//! HTTP/1, as the guard in front of hyper lets it pass: in both directions.
//!
//! Whatever passes is read here twice more: by httparse, as hyper has it read heads, and by a strict model that knows lines and
//! nothing else. All three must find the same heads, the same framing and the same ends.

use super::bytes::{Rest, cut};
use crate::http1::{Answers, Asked, Bounds, End, Fault, Framing, Kind, Requests, Step, Version};

const BOUNDS: Bounds = Bounds {
    head_bytes: 1024,
    fields: 24,
};

/// What a client sends: the octet in front says how the bytes are cut.
pub fn check_requests(data: &[u8]) {
    let mut rest = Rest(data);
    let seed = rest.octet().unwrap_or(0);
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut machine = Requests::new(BOUNDS);
        let mut passed = Passed::default();
        passed.run(pieces, |bytes| {
            let step = machine.judge(bytes)?;
            Ok(step_of(step, |head| Head {
                version: head.version,
                what: What::Request(head.into()),
                framing: head.framing,
            }))
        });
        assert!(passed.fault.is_some() || machine.is_in_body() == passed.is_in_body());
        passed
    };
    let whole = run(&mut std::iter::once(rest.0));
    assert_eq!(run(&mut cut(rest.0, seed)), whole, "cut otherwise");
    whole.judge(rest.0);
}

/// What a server sends: two octets in front, how the bytes are cut and what was asked.
pub fn check_answers(data: &[u8]) {
    let mut rest = Rest(data);
    let seed = rest.octet().unwrap_or(0);
    let asked = rest.octet().unwrap_or(0);
    let asked = Asked {
        kind: match asked & 3 {
            1 => Kind::Head,
            2 => Kind::Connect,
            _ => Kind::Other,
        },
        wants_upgrade: asked & 4 != 0,
    };
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut machine = Answers::new(BOUNDS);
        let mut passed = Passed::default();
        passed.run(pieces, |bytes| {
            // The next request is as the first.
            if machine.is_quiet() {
                machine.ask(asked);
            }
            let step = machine.judge(bytes)?;
            Ok(step_of(step, |head| Head {
                version: head.version,
                what: What::Answer(asked, head.status),
                framing: head.framing,
            }))
        });
        // After a fault nothing means anything.
        let end = passed.fault.is_none().then(|| machine.end());
        (passed, end)
    };
    let whole = run(&mut std::iter::once(rest.0));
    assert_eq!(run(&mut cut(rest.0, seed)), whole, "cut otherwise");
    whole.0.judge(rest.0);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// And what its answer has to fit.
    Request(Asked),
    /// To what was asked, with a status.
    Answer(Asked, u16),
}

/// A head as the guard reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    version: Version,
    what: What,
    framing: Framing,
}

fn step_of<H>(step: Step<H>, read: impl Fn(H) -> Head) -> Step<Head> {
    match step {
        Step::More => Step::More,
        Step::Head(length, head) => Step::Head(length, read(head)),
        Step::Body(length, end) => Step::Body(length, end),
    }
}

/// What was made of all bytes.
#[derive(Debug, Default, PartialEq)]
struct Passed {
    /// Where a head begins, where it ends, and what it says.
    heads: Vec<(usize, usize, Head)>,
    /// Where the body behind the last head ends so far, and whether that is its end; by heads.
    bodies: Vec<Option<(usize, bool)>>,
    fault: Option<Fault>,
}

impl Passed {
    fn run(
        &mut self,
        pieces: &mut dyn Iterator<Item = &[u8]>,
        mut judge: impl FnMut(&[u8]) -> Result<Step<Head>, Fault>,
    ) {
        let (mut held, mut passed) = (Vec::new(), 0);
        for piece in pieces {
            held.extend_from_slice(piece);
            while !held.is_empty() {
                let taken = match judge(&held) {
                    Err(fault) => {
                        self.fault = Some(fault);
                        self.bodies.iter_mut().for_each(forget_the_open);
                        return;
                    }
                    Ok(Step::More) => break,
                    Ok(Step::Head(length, head)) => {
                        self.heads.push((passed, passed + length, head));
                        self.bodies.push(None);
                        length
                    }
                    Ok(Step::Body(length, end)) => {
                        let body = self.bodies.last_mut().expect("a body behind a head");
                        *body = Some((passed + length, end == End::Here));
                        length
                    }
                };
                assert!(
                    (1..=held.len()).contains(&taken),
                    "{taken} of {}",
                    held.len()
                );
                passed += taken;
                held.drain(..taken);
            }
        }
    }

    fn is_in_body(&self) -> bool {
        match (self.heads.last(), self.bodies.last()) {
            (Some((.., head)), Some(body)) => {
                head.framing != Framing::None && !body.is_some_and(|(_, ended)| ended)
            }
            _ => false,
        }
    }

    /// Reads again what passed.
    fn judge(&self, bytes: &[u8]) {
        for ((from, to, head), body) in self.heads.iter().zip(&self.bodies) {
            let text = &bytes[*from..*to];
            let model = Model::of(text);
            match head.what {
                What::Request(asked) => by_httparse_request(text, head.version, asked, &model),
                What::Answer(_, status) => by_httparse_answer(text, head.version, status, &model),
            }
            assert_eq!(model.framing(head), head.framing, "{}", text.escape_ascii());
            if let Some((end, true)) = body {
                judge_body(head.framing, &bytes[*to..*end]);
            }
        }
    }
}

/// Of what is refused in the middle, how much of it came first depends on how it was cut.
fn forget_the_open(body: &mut Option<(usize, bool)>) {
    if let Some((_, false)) = body {
        *body = None;
    }
}

/// A head, split at its line ends and colons.
struct Model<'a> {
    first: &'a str,
    fields: Vec<(String, &'a str)>,
}

impl<'a> Model<'a> {
    fn of(head: &'a [u8]) -> Model<'a> {
        // Bytes beyond ASCII stand in values only: they are not looked at.
        let shown = head.escape_ascii();
        let text = head
            .strip_suffix(b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no end: {shown}"));
        let text = text.strip_prefix(b"\r\n").unwrap_or(text);
        let mut lines = text.split(|byte| *byte == b'\n');
        let mut next = || {
            let line = lines.next()?;
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        };
        let first = next().unwrap_or_default();
        let mut fields = Vec::new();
        while let Some(line) = next() {
            assert!(!line.contains(&b'\r'), "a bare CR: {shown}");
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.unwrap_or_else(|| panic!("no colon: {shown}")));
            assert!(
                !name.is_empty() && name.iter().all(|byte| is_token(*byte)),
                "{shown}"
            );
            let visible = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
            assert!(
                value[1..].iter().all(visible),
                "a control character: {shown}"
            );
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let value = std::str::from_utf8(&value[1..]).unwrap_or("beyond ASCII");
            fields.push((name, value.trim_matches([' ', '\t'])));
        }
        // Every LF had its CR.
        let ends = |byte: u8| text.iter().filter(|other| **other == byte).count();
        assert_eq!(
            (ends(b'\r'), ends(b'\n')),
            (fields.len(), fields.len()),
            "{shown}"
        );
        assert!(fields.len() <= BOUNDS.fields && head.len() <= BOUNDS.head_bytes);
        Model {
            first: std::str::from_utf8(first).unwrap_or("beyond ASCII"),
            fields,
        }
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| *value).collect()
    }

    /// RFC 9112 §6.3, of what is not refused.
    fn framing(&self, head: &Head) -> Framing {
        let (lengths, codings) = (self.all("content-length"), self.all("transfer-encoding"));
        let stated = match (&lengths[..], &codings[..]) {
            ([], []) => None,
            ([], [coding]) => {
                assert!(coding.eq_ignore_ascii_case("chunked"), "{coding}");
                assert!(is_http11(head.version), "a coding in HTTP/1.0");
                Some(Framing::Chunked)
            }
            ([length], []) => {
                assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{length}");
                Some(match length.parse().expect("a length that can be told") {
                    0 => Framing::None,
                    length => Framing::Length(length),
                })
            }
            _ => panic!("framed twice: {lengths:?} {codings:?}"),
        };
        match head.what {
            What::Request(_) => {
                let hosts = self.all("host").len();
                assert!(hosts == 1 || hosts == 0 && !is_http11(head.version));
                stated.unwrap_or(Framing::None)
            }
            What::Answer(_, 100..=199 | 204 | 304) => Framing::None,
            What::Answer(asked, _) if asked.kind == Kind::Head => Framing::None,
            What::Answer(asked, 200..=299) if asked.kind == Kind::Connect => Framing::None,
            What::Answer(..) => stated.unwrap_or(Framing::UntilClose),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_http11(version: Version) -> bool {
    version == Version::Http11
}

fn by_httparse_request(head: &[u8], version: Version, asked: Asked, model: &Model<'_>) {
    let mut fields = [httparse::EMPTY_HEADER; BOUNDS.fields];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(head);
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(head.len())),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(request.version, Some(u8::from(is_http11(version))));
    assert_eq!(request.headers.len(), model.fields.len());

    let words: Vec<&str> = model.first.split(' ').collect();
    let [method, target, last] = words[..] else {
        panic!("{:?} is no request line", model.first);
    };
    assert_eq!((request.method, request.path), (Some(method), Some(target)));
    assert_eq!(
        last,
        if is_http11(version) {
            "HTTP/1.1"
        } else {
            "HTTP/1.0"
        }
    );
    assert!(!target.contains('#'), "a fragment");
    // hyper answers by itself what it takes for no URI.
    assert!(
        target.parse::<http::Uri>().is_ok(),
        "{target:?} is no URI to hyper"
    );
    let kind = match method {
        "CONNECT" => Kind::Connect,
        "HEAD" => Kind::Head,
        _ => Kind::Other,
    };
    assert_eq!(asked.kind, kind);
    let upgrade = is_http11(version) && !model.all("upgrade").is_empty();
    assert_eq!(asked.wants_upgrade, upgrade);
}

fn by_httparse_answer(head: &[u8], version: Version, status: u16, model: &Model<'_>) {
    let mut fields = [httparse::EMPTY_HEADER; BOUNDS.fields];
    let mut answer = httparse::Response::new(&mut fields);
    let parsed = answer.parse(head);
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(head.len())),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(answer.version, Some(u8::from(is_http11(version))));
    assert_eq!(answer.code, Some(status));
    assert_eq!(answer.headers.len(), model.fields.len());
}

/// A body that has ended, whole.
fn judge_body(framing: Framing, body: &[u8]) {
    match framing {
        Framing::None => assert!(body.is_empty()),
        Framing::Length(length) => assert_eq!(body.len() as u64, length),
        Framing::UntilClose => panic!("an end without the end of the connection"),
        Framing::Chunked => assert_eq!(chunked(body), Some(body.len()), "{}", body.escape_ascii()),
    }
}

/// Where a body in chunks ends.
fn chunked(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &body[at..];
        let line = rest.iter().position(|byte| *byte == b'\n')?;
        let text = rest[..line].strip_suffix(b"\r")?;
        assert!(
            !text.contains(&b'\r'),
            "a bare CR in {}",
            text.escape_ascii()
        );
        let digits = text
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        assert!((1..=16).contains(&digits), "{}", text.escape_ascii());
        assert!(
            matches!(text.get(digits), None | Some(b';')),
            "{}",
            text.escape_ascii()
        );
        let size = std::str::from_utf8(&text[..digits]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let other = httparse::parse_chunk_size(rest);
        assert_eq!(
            other,
            Ok(httparse::Status::Complete((line + 1, size as u64)))
        );
        at += line + 1;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?;
        if body.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    let mut fields = [httparse::EMPTY_HEADER; BOUNDS.fields];
    let trailers = httparse::parse_headers(&body[at..], &mut fields).ok()?;
    let httparse::Status::Complete((length, _)) = trailers else {
        return None;
    };
    let text = &body[at..at + length];
    let bare = text
        .windows(2)
        .any(|two| two[1] == b'\n' && two[0] != b'\r');
    assert!(!bare && text.ends_with(b"\r\n"), "a bare LF in trailers");
    Some(at + length)
}
