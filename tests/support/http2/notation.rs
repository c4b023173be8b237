//! HTTP/2 frames as they stand in `tests/corpus`: read into what is sent, byte for byte. The corpus says what the words mean.

use super::hpack;

/// One thing that a side does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends a frame.
    Frame {
        kind: u8,
        flags: u8,
        stream: Stream,
        payload: Vec<u8>,
    },
    /// Says that the connection ends.
    GoAway { last: Stream, code: u32 },
    /// Waits until something came of this stream.
    Wait(Stream),
    /// Waits until the other side reset this stream.
    WaitReset(Stream),
    /// Ends its half of the connection.
    Fin,
}

/// A stream, by its number or by how far it is from that of the request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Number(u32),
    FromRequest(u32),
}

impl Stream {
    pub fn number(self, request: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::FromRequest(more) => request + more,
        }
    }
    fn read(word: &str) -> Result<Self, String> {
        let bad = || format!("{word} is no stream");
        match word.strip_prefix('S') {
            Some("") => Ok(Self::FromRequest(0)),
            Some(more) => {
                let more = more.strip_prefix('+').and_then(|more| more.parse().ok());
                Ok(Self::FromRequest(more.ok_or_else(bad)?))
            }
            None => Ok(Self::Number(number(word).map_err(|_| bad())?)),
        }
    }
}

impl Act {
    /// What is sent of it, on behalf of the request on this stream.
    pub fn bytes(&self, request: u32) -> Option<Vec<u8>> {
        match self {
            Self::Send(bytes) => Some(bytes.clone()),
            Self::Frame {
                kind,
                flags,
                stream,
                payload,
            } => Some(frame(*kind, *flags, stream.number(request), payload)),
            Self::GoAway { last, code } => {
                let last = last.number(request);
                let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
                Some(frame(7, 0, 0, &payload))
            }
            Self::Wait(_) | Self::WaitReset(_) | Self::Fin => None,
        }
    }
}

/// A frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame of a test has an end");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Parts of a line, where the character between them does not stand in quotes.
pub fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c == at && !quoted => {
                parts.push(&text[from..place]);
                from = place + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    let trimmed = parts.into_iter().map(str::trim);
    trimmed
        .filter(|part| at != ' ' || !part.is_empty())
        .collect()
}

/// What is done, of a column.
pub fn acts(column: &str) -> Result<Vec<Act>, String> {
    let mut all = Vec::new();
    for text in split(column, ';').into_iter().filter(|act| !act.is_empty()) {
        let (times, text) = match text.split_once("* ") {
            Some((times, text)) if times.bytes().all(|c| c.is_ascii_digit()) => {
                (number(times)?, text)
            }
            _ => (1, text),
        };
        let act = act(text).map_err(|why| format!("{text}: {why}"))?;
        all.extend((0..times).map(|_| act.clone()));
    }
    Ok(all)
}

fn act(text: &str) -> Result<Act, String> {
    let words = split(text, ' ');
    let (command, words) = words.split_first().ok_or("nothing")?;
    let word = |at: usize| {
        words
            .get(at)
            .copied()
            .ok_or_else(|| format!("word {} is missing", at + 1))
    };
    let stream = |at| Stream::read(word(at)?);
    match *command {
        "HEADERS" => of_fields(1, stream(0)?, words.get(1..).unwrap_or_default()),
        "CONTINUATION" => of_fields(9, stream(0)?, words.get(1..).unwrap_or_default()),
        "DATA" => of_fields(0, stream(0)?, words.get(1..).unwrap_or_default()),
        "PUSH" => {
            let promised = number(word(1)?)?.to_be_bytes();
            let pushed = of_fields(5, stream(0)?, words.get(2..).unwrap_or_default())?;
            Ok(prefixed(pushed, &promised))
        }
        "PRIORITY" => {
            let mut payload = number(word(1)?)?.to_be_bytes().to_vec();
            payload.push(byte(word(2)?)?);
            Ok(plain(2, 0, stream(0)?, payload))
        }
        "RST" => Ok(plain(
            3,
            0,
            stream(0)?,
            number(word(1)?)?.to_be_bytes().into(),
        )),
        "SETTINGS" => settings(words),
        "PING" => {
            let acked = words.first() == Some(&"ACK");
            Ok(plain(6, u8::from(acked), Stream::Number(0), vec![7; 8]))
        }
        "GOAWAY" => Ok(Act::GoAway {
            last: stream(0)?,
            code: number(word(1)?)?,
        }),
        "WINDOW" => Ok(plain(
            8,
            0,
            stream(0)?,
            number(word(1)?)?.to_be_bytes().into(),
        )),
        "FRAME" => {
            let (kind, flags) = (byte(word(0)?)?, byte(word(1)?)?);
            Ok(plain(
                kind,
                flags,
                stream(2)?,
                bytes(words.get(3).unwrap_or(&""))?,
            ))
        }
        "RAW" => Ok(Act::Send(bytes(word(0)?)?)),
        "WAIT" if words.get(1) == Some(&"RST") => Ok(Act::WaitReset(stream(0)?)),
        "WAIT" => Ok(Act::Wait(stream(0)?)),
        "FIN" => Ok(Act::Fin),
        other => Err(format!("{other} is nothing that one does")),
    }
}

fn plain(kind: u8, flags: u8, stream: Stream, payload: Vec<u8>) -> Act {
    Act::Frame {
        kind,
        flags,
        stream,
        payload,
    }
}

/// With these bytes between the length of the padding, if any, and the rest.
fn prefixed(act: Act, prefix: &[u8]) -> Act {
    match act {
        Act::Frame {
            kind,
            flags,
            stream,
            mut payload,
        } => {
            let at = usize::from(flags & PADDED != 0).min(payload.len());
            payload.splice(at..at, prefix.iter().copied());
            plain(kind, flags, stream, payload)
        }
        other => other,
    }
}

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame of fields or of data.
fn of_fields(kind: u8, stream: Stream, words: &[&str]) -> Result<Act, String> {
    let (mut flags, mut block, mut before, mut after) = (0, Vec::new(), Vec::new(), Vec::new());
    for word in words {
        match *word {
            "ES" => flags |= 0x1,
            "EH" => flags |= 0x4,
            word if word.starts_with("0x") => flags |= byte(word)?,
            word if word.starts_with("pad=") => {
                let length = byte(&word[4..])?;
                flags |= PADDED;
                before.insert(0, length);
                after = vec![0; length.into()];
            }
            word if word.starts_with("padlen=") => {
                flags |= PADDED;
                before.insert(0, byte(&word[7..])?);
            }
            word if word.starts_with("dep=") => {
                flags |= PRIORITY;
                before.extend(number(&word[4..])?.to_be_bytes());
                before.push(15);
            }
            word if word.starts_with('@') => request(&mut block, word)?,
            word if word.starts_with("raw:") => block.extend(bytes(&word[4..])?),
            word if kind == 0 || word.starts_with("hex:") => block.extend(bytes(word)?),
            word => {
                let (name, value) = field(word)?;
                hpack::write(&mut block, &name, &value);
            }
        }
    }
    Ok(plain(kind, flags, stream, [before, block, after].concat()))
}

/// `@METHOD/path`: the four pseudo-header fields of a plain request to `orders`.
fn request(block: &mut Vec<u8>, word: &str) -> Result<(), String> {
    let at = word.find('/').ok_or("a request has a path")?;
    let (method, path) = (&word[1..at], &word[at..]);
    for (name, value) in [
        (":method", method),
        (":scheme", "http"),
        (":authority", "orders"),
        (":path", path),
    ] {
        hpack::write(block, name.as_bytes(), value.as_bytes());
    }
    Ok(())
}

fn settings(words: &[&str]) -> Result<Act, String> {
    if words == ["ACK"] {
        return Ok(plain(4, 1, Stream::Number(0), Vec::new()));
    }
    let mut payload = Vec::new();
    for word in words {
        let (id, value) = word.split_once('=').ok_or("a setting is ID=VALUE")?;
        payload.extend(&number(id)?.to_be_bytes()[2..]);
        payload.extend(number(value)?.to_be_bytes());
    }
    Ok(plain(4, 0, Stream::Number(0), payload))
}

/// `name=value`.
pub fn field(word: &str) -> Result<(Vec<u8>, Vec<u8>), String> {
    let parts = split(word, '=');
    let (name, _) = parts.split_first().ok_or("nothing")?;
    let value = word[name.len()..].strip_prefix('=').ok_or("no `=`")?;
    Ok((bytes(name)?, bytes(value)?))
}

/// A number, in hexadecimal after `0x`.
pub fn number(word: &str) -> Result<u32, String> {
    let read = match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => word.parse(),
    };
    read.map_err(|_| format!("{word} is no number"))
}

fn byte(word: &str) -> Result<u8, String> {
    u8::try_from(number(word)?).map_err(|_| format!("{word} is no byte"))
}

/// Text as it stands, parts of it in quotes and then maybe repeated, with escapes; or `hex:` and digits.
pub fn bytes(word: &str) -> Result<Vec<u8>, String> {
    if let Some(hex) = word.strip_prefix("hex:") {
        let byte = |at| {
            hex.get(at..at + 2)
                .and_then(|two| u8::from_str_radix(two, 16).ok())
        };
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        return bytes.ok_or_else(|| format!("{hex} is not hexadecimal"));
    }
    let (mut read, mut rest, mut opened) = (Vec::new(), word.chars().peekable(), None);
    while let Some(c) = rest.next() {
        match (c, opened) {
            ('"', None) => opened = Some(read.len()),
            ('"', Some(from)) => {
                opened = None;
                if rest.next_if_eq(&'*').is_some() {
                    let times: String =
                        std::iter::from_fn(|| rest.next_if(char::is_ascii_digit)).collect();
                    let part = read.split_off(from);
                    read.extend(part.repeat(times.parse().map_err(|_| "no number of times")?));
                }
            }
            ('\\', _) => match rest.next() {
                Some('r') => read.push(b'\r'),
                Some('n') => read.push(b'\n'),
                Some('t') => read.push(b'\t'),
                Some('x') => {
                    let two: String = rest.by_ref().take(2).collect();
                    read.push(u8::from_str_radix(&two, 16).map_err(|_| "an escape is \\xNN")?);
                }
                Some(c @ ('\\' | '"')) => read.push(c as u8),
                _ => return Err("an escape is one of \\r \\n \\t \\\\ \\\" \\xNN".into()),
            },
            (c, _) => read.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, sent: &str) {
        let acts = acts(text).unwrap();
        let all: Vec<u8> = acts
            .iter()
            .filter_map(|act| act.bytes(5))
            .flatten()
            .collect();
        assert_eq!(all, bytes(&format!("hex:{sent}")).unwrap(), "{text}");
    }

    #[test]
    fn frames_are_sent_as_they_are_written() {
        check("SETTINGS 3=100", "000006040000000000000300000064");
        check(
            "SETTINGS ACK; PING ACK",
            "0000000401000000000000080601000000000707070707070707",
        );
        check(
            "DATA S+2 ES pad=2 \"a b\"",
            "000006000900000007026120620000",
        );
        check("HEADERS 1 EH x=\"; |\"", "000007010400000001000178033b207c");
    }
}
