//! The tricks of `tests/corpus/paths.txt` and `hosts.txt`, as bytes of either version of HTTP.
//!
//! Every request carries the number of its line in `x-case`, so that an app can say which of them came to it.

use super::client::Client;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a corpus is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Paths,
    Hosts,
}

/// Everything may be called but what the corpora are about.
pub const POLICY: &str = "\
rules:
  - name: all but two
    from: [\"spiffe://shop.example/storefront\"]
    allow: [{}]
    deny: [{ paths: [\"/admin/**\"] }, { hosts: [admin.shop] }]
";

/// What `paths` may say.
pub const CHOICES: [&str; 3] = ["strict", "canonical", "raw"];

/// An inbound listener of that name, before an app on that port.
pub fn listener(name: &str, app: u16, paths: &str) -> String {
    format!(
        "  - {{ name: {name}, listen: \"127.0.0.1:0\", app: \"127.0.0.1:{app}\", protocol: http, paths: {paths} }}\n"
    )
}

/// One line.
#[derive(Clone, Debug)]
pub struct Trick {
    pub line: usize,
    /// Whether it is no trick: it reaches the app.
    pub passes: bool,
    /// The only version that can send it.
    only: Option<u8>,
    about: About,
    subject: Vec<u8>,
    fields: Vec<(String, Vec<u8>)>,
}

/// All of a corpus.
pub fn all(about: About) -> Vec<Trick> {
    let name = match about {
        About::Paths => "paths.txt",
        About::Hosts => "hosts.txt",
    };
    let file = PathBuf::from_iter([env!("CARGO_MANIFEST_DIR"), "tests/corpus", name]);
    let text = std::fs::read_to_string(file).expect("the corpus is there");
    let lines = (1..).zip(text.lines());
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| Trick::read(number, line, about))
        .collect()
}

impl Trick {
    fn read(number: usize, text: &str, about: About) -> Self {
        let mut parts = text.split(" ||");
        let first = parts.next().unwrap_or_default();
        let (mark, subject) = first.split_once(' ').unwrap_or((first, ""));
        let (passes, only) = match mark {
            "-" => (false, None),
            "-1" => (false, Some(1)),
            "-2" => (false, Some(2)),
            "+" => (true, None),
            _ => panic!("line {number}: no mark: {text}"),
        };
        let field = |part: &str| {
            let part = part.strip_prefix(' ').unwrap_or(part);
            let (pseudo, name) = match part.strip_prefix(':') {
                Some(name) => (":", name),
                None => ("", part),
            };
            let at = name.find(match pseudo {
                "" => ':',
                _ => ' ',
            });
            let (name, value) = name.split_at(at.unwrap_or(name.len()));
            let value = value.get(1..).unwrap_or_default();
            let value = value.strip_prefix(' ').unwrap_or(value);
            (format!("{pseudo}{name}"), bytes(value))
        };
        Trick {
            line: number,
            passes,
            only,
            about,
            subject: bytes(subject),
            fields: parts.map(field).collect(),
        }
    }

    /// What it is about: the target or the host.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Whether that version of HTTP can send it.
    pub fn is_in(&self, version: u8) -> bool {
        self.only.is_none_or(|only| only == version)
    }

    fn pseudo<'a>(&'a self, name: &str, otherwise: &'a [u8]) -> &'a [u8] {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or(otherwise, |(_, value)| value)
    }

    /// Method, target, hosts and further fields.
    fn parts(&self) -> Parts<'_> {
        let method = self.pseudo(":method", b"GET");
        let fields = self
            .fields
            .iter()
            .filter(|(name, _)| !name.starts_with(':'));
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_slice()));
        let (mut hosts, others): (Vec<_>, Vec<_>) =
            fields.partition(|(name, _)| name.eq_ignore_ascii_case("host"));
        let target = match self.about {
            About::Hosts => {
                hosts.insert(0, ("host", self.subject()));
                self.pseudo(":target", b"/")
            }
            About::Paths => {
                if hosts.is_empty() {
                    hosts.push(("host", b"orders"));
                }
                self.subject()
            }
        };
        Parts {
            method,
            target,
            hosts,
            others,
        }
    }

    /// As a request of HTTP/1.1.
    pub fn http1(&self) -> Vec<u8> {
        let Parts {
            method,
            target,
            hosts,
            others,
        } = self.parts();
        let mut head = [method, b" ", target, b" HTTP/1.1\r\n"].concat();
        let number = self.line.to_string();
        let ours = [("x-case", number.as_bytes()), ("connection", b"close")];
        for (name, value) in hosts.into_iter().chain(others).chain(ours) {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        head
    }

    /// As a whole connection of HTTP/2: its preface, its settings, and one HEADERS frame, in which nothing is compressed.
    pub fn http2(&self) -> Vec<u8> {
        let Parts {
            method,
            target,
            hosts,
            others,
        } = self.parts();
        let number = self.line.to_string();
        let mut hosts = hosts.into_iter().map(|(_, value)| value);
        let authority = hosts.next().unwrap_or_default();
        let mut block = Vec::new();
        for (name, value) in [
            (":method", method),
            (":scheme", b"http"),
            (":path", target),
            (":authority", authority),
            ("x-case", number.as_bytes()),
        ] {
            literal(&mut block, name, value);
        }
        hosts.for_each(|host| literal(&mut block, "host", host));
        for (name, value) in others {
            literal(&mut block, name, value);
        }
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let length = u32::try_from(block.len()).expect("a trick is short");
        let [_, a, b, c] = length.to_be_bytes();
        let end_of_both = 5;
        let headers = [a, b, c, 1, end_of_both, 0, 0, 0, 1];
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        [&preface[..], &SETTINGS, &headers, &block].concat()
    }
}

struct Parts<'a> {
    method: &'a [u8],
    target: &'a [u8],
    hosts: Vec<(&'a str, &'a [u8])>,
    others: Vec<(&'a str, &'a [u8])>,
}

/// `\xHH` and `\\`, read.
fn bytes(text: &str) -> Vec<u8> {
    let mut read = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'\\', [b'\\', after @ ..]) => {
                read.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = String::from_iter([*high, *low].map(char::from));
                let byte = u8::from_str_radix(&digits, 16);
                read.push(byte.unwrap_or_else(|_| panic!("an odd escape: {text}")));
                rest = after;
            }
            (b'\\', _) => panic!("an odd escape: {text}"),
            (byte, _) => read.push(*byte),
        }
    }
    read
}

/// A field that is not to be indexed (RFC 7541 §6.2.2).
fn literal(block: &mut Vec<u8>, name: &str, value: &[u8]) {
    block.push(0);
    for text in [name.as_bytes(), value] {
        match text.len() {
            len @ ..127 => block.push(len as u8),
            len => block.extend([127, (len - 127) as u8]),
        }
        assert!(text.len() < 127 + 128, "a trick is short");
        block.extend(text);
    }
}

/// Sends a trick on a connection of its own, and reads until it is answered or the connection ends.
pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    trick: &Trick,
    version: u8,
) {
    match version {
        1 => drop(send1(client, &trick.http1()).await),
        _ => drop(send2(client, &trick.http2()).await),
    }
}

/// Sends a request of HTTP/1.1 and reads until the connection ends. What was answered; empty if nothing.
pub async fn send1<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    request: &[u8],
) -> Vec<u8> {
    // A server that does not want it may close at any time.
    let _ = client.send(request).await;
    client.rest().await.unwrap_or_default()
}

/// Sends a connection of HTTP/2 with one request and reads until that or the connection ends. Whether it was answered.
pub async fn send2<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    connection: &[u8],
) -> bool {
    const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    let (headers, reset, settings, goaway) = (1, 3, 4, 7);
    let _ = client.send(connection).await;
    let mut answered = false;
    while let Ok(head) = client.bytes(9).await {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Ok(_) = client.bytes(length).await else {
            return answered;
        };
        let (kind, flags, on_stream) = (head[3], head[4], head[8] == 1);
        if kind == settings && flags & 1 == 0 {
            let _ = client.send(&ACK).await;
        }
        answered |= kind == headers && on_stream;
        let ends = on_stream && (kind == reset || kind <= headers && flags & 1 == 1);
        if ends || kind == goaway {
            return answered;
        }
    }
    answered
}

/// Whether any reader could take a target for `/admin` or something below it, in whatever order it decodes, cuts, merges,
/// climbs, and takes slashes of the other kind for slashes and the first segment for a host.
pub fn may_be_admin(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut known = vec![path.to_owned()];
    let mut at = 0;
    while let Some(text) = known.get(at).cloned() {
        at += 1;
        if text == "/admin" || text.starts_with("/admin/") {
            return true;
        }
        let turns = [
            decoded(&text),
            text.replace('\\', "/"),
            text.split('\0').next().unwrap_or_default().to_owned(),
            without_parameters(&text),
            text.replace("//", "/"),
            climbed(&text),
            without_host(&text),
        ];
        for turn in turns {
            if !known.contains(&turn) && known.len() < 500 {
                known.push(turn);
            }
        }
    }
    false
}

fn decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = match hex.map(|hex| u8::from_str_radix(hex, 16)) {
            Some(Ok(value)) if *byte == b'%' => {
                rest = &after[2..];
                value
            }
            _ => {
                rest = after;
                *byte
            }
        };
        decoded.push(byte);
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn without_parameters(text: &str) -> String {
    let cut = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    text.split('/').map(cut).collect::<Vec<_>>().join("/")
}

fn climbed(text: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn without_host(text: &str) -> String {
    match text.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        None => text.to_owned(),
    }
}
