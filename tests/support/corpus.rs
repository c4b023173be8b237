//! Cases of HTTP/1 as they stand in the files of `tests/corpus`, one a line.
//!
//! In: the name of a file. Out: its lines, cut into columns, and what a column of bytes says to send. How both are written
//! stands at the head of every file. A line that cannot be read ends the test: a case that is skipped holds nothing.

use super::strict::show;
use std::path::Path;

/// A line that is no comment.
#[derive(Clone, Debug)]
pub struct Line {
    /// `file:line`.
    pub at: String,
    pub columns: Vec<String>,
}

/// What is done next on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes are sent.
    Send(Vec<u8>),
    /// `{answer}`: one more answer has come.
    Answer,
    /// `{close}`: nothing more is sent.
    Close,
}

/// The cases of a file; each has between `least` and `least` + 1 columns, the last of which says where it comes from.
pub fn lines(file: &str, least: usize) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(file);
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = Vec::<Line>::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("tests/corpus/{file}:{}", number + 1);
        let columns: Vec<_> = line.split(" | ").map(|it| it.trim().to_owned()).collect();
        let fits = (least..=least + 1).contains(&columns.len());
        assert!(fits, "{at}: {} columns", columns.len());
        let named = lines.iter().find(|other| other.columns[0] == columns[0]);
        assert!(named.is_none(), "{at}: {} is there twice", columns[0]);
        lines.push(Line { at, columns });
    }
    lines
}

/// What a column of bytes says.
pub fn steps(line: &Line, column: usize) -> Vec<Step> {
    let read = read(&line.columns[column]);
    read.unwrap_or_else(|what| panic!("{}: {what}", line.at))
}

/// The bytes of a column in which nothing but bytes may stand.
pub fn bytes(line: &Line, column: usize) -> Vec<u8> {
    match &steps(line, column)[..] {
        [] => Vec::new(),
        [Step::Send(bytes)] => bytes.clone(),
        _ => panic!("{}: only bytes stand here", line.at),
    }
}

/// All that is sent, whenever it is.
pub fn all(steps: &[Step]) -> Vec<u8> {
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(bytes) => Some(bytes.as_slice()),
        Step::Answer | Step::Close => None,
    });
    sent.collect::<Vec<_>>().concat()
}

/// As it is written in a report: shortened where it is long.
pub fn told(bytes: &[u8]) -> String {
    const MOST: usize = 600;
    match bytes.len() {
        0..=MOST => show(bytes),
        long => format!("{}… of {long} bytes", show(&bytes[..MOST])),
    }
}

fn read(text: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut bytes) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '{' => {
                let (inner, after) = braced(rest)?;
                rest = after;
                let step = match inner {
                    "answer" => Step::Answer,
                    "close" => Step::Close,
                    repeated => {
                        bytes.extend(repeat(repeated)?);
                        continue;
                    }
                };
                if !bytes.is_empty() {
                    steps.push(Step::Send(std::mem::take(&mut bytes)));
                }
                steps.push(step);
            }
            _ => {
                let (byte, after) = one(rest)?;
                bytes.push(byte);
                rest = after;
            }
        }
    }
    if !bytes.is_empty() {
        steps.push(Step::Send(bytes));
    }
    Ok(steps)
}

/// What stands between this brace and its other, and what follows.
fn braced(text: &str) -> Result<(&str, &str), String> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'}' => return Ok((&text[1..at], &text[at + 1..])),
            _ => at += 1,
        }
    }
    Err(format!("a brace is open: {text}"))
}

fn repeat(inner: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("not `text*times`: {inner}");
    let (text, times) = inner.rsplit_once('*').ok_or_else(wrong)?;
    let times: usize = times.parse().map_err(|_| wrong())?;
    let (mut bytes, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (byte, after) = one(rest)?;
        bytes.push(byte);
        rest = after;
    }
    Ok(bytes.repeat(times))
}

/// One byte, and what follows.
fn one(text: &str) -> Result<(u8, &str), String> {
    let wrong = || format!("no byte is written so: {text}");
    let Some(escaped) = text.strip_prefix('\\') else {
        let byte = text.as_bytes()[0];
        let plain = byte == b' ' || byte.is_ascii_graphic();
        return plain.then(|| (byte, &text[1..])).ok_or_else(wrong);
    };
    let byte = match escaped.as_bytes().first().ok_or_else(wrong)? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'x' => {
            let digits = escaped.get(1..3).ok_or_else(wrong)?;
            let byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
            return Ok((byte, &escaped[3..]));
        }
        itself @ (b'\\' | b'{' | b'}' | b'|' | b's') => match itself {
            b's' => b' ',
            other => *other,
        },
        _ => return Err(wrong()),
    };
    Ok((byte, &escaped[1..]))
}

#[test]
fn bytes_are_read_as_they_are_written() {
    let send = |bytes: &[u8]| Step::Send(bytes.to_vec());
    for (text, expected) in [
        ("", vec![]),
        (
            r"a b\r\n\t\x00\xfF\\\{\}\|\s",
            vec![send(b"a b\r\n\t\0\xff\\{}| ")],
        ),
        (r"x{ab\n*3}{\}*2}y", vec![send(b"xab\nab\nab\n}}y")]),
        (
            "a{answer}b{close}",
            vec![send(b"a"), Step::Answer, send(b"b"), Step::Close],
        ),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for wrong in ["{a", "{a}", "{a*b}", r"\q", r"\x0", "\\", "\u{e4}", r"{a\}"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
