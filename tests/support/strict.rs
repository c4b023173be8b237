//! HTTP/1 as RFC 9112 has it and nothing else: what the corpora's own ends read with.
//!
//! In: the bytes that came on a connection so far. Out: the next message and where it ends, or that it is not all there, or
//! what is wrong with it. Written for itself, from the standard, and for tests only: it shares nothing with what it is to judge.

/// A message. What a hop may write otherwise without meaning anything else (white space around values, `Transfer-Encoding`, the
/// size of chunks and their extensions) is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Without its end.
    pub start: Vec<u8>,
    /// In their order, names as they came.
    pub fields: Vec<Field>,
    pub body: Body,
}

pub type Field = (Vec<u8>, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None, by what was asked or answered, or since nothing says that there is one.
    No,
    /// As long as `Content-Length` says.
    Sized(Vec<u8>),
    /// In chunks, with what trailed them.
    Chunks(Vec<u8>, Vec<Field>),
    /// All until the end of the connection.
    UntilClose(Vec<u8>),
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    Request,
    /// An answer to this method.
    Answer(&'a str),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A message, of so many bytes.
    Whole(Message, usize),
    /// Its end is not there yet.
    Part,
    /// No message.
    Wrong(&'static str),
}

/// Reads the first message; `ended` says that nothing more comes.
pub fn read(bytes: &[u8], side: Side<'_>, ended: bool) -> Found {
    match message(bytes, side, ended) {
        Ok((message, used)) => Found::Whole(message, used),
        Err(None) => Found::Part,
        Err(Some(why)) => Found::Wrong(why),
    }
}

/// `None`: more has to come.
type Read<T> = Result<T, Option<&'static str>>;

impl Message {
    /// The first word of the start line.
    pub fn method(&self) -> String {
        let word = self.start.split(|byte| *byte == b' ').next();
        show(word.unwrap_or_default())
    }
    /// The second: a request's target, or a status.
    pub fn second(&self) -> String {
        let word = self.start.split(|byte| *byte == b' ').nth(1);
        show(word.unwrap_or_default())
    }
    /// The first field of that name (lower case).
    pub fn field(&self, name: &str) -> Option<String> {
        let is = |field: &&Field| field.0.eq_ignore_ascii_case(name.as_bytes());
        Some(show(&self.fields.iter().find(is)?.1))
    }
    /// The bytes of the body, however it is framed.
    pub fn content(&self) -> &[u8] {
        match &self.body {
            Body::No => &[],
            Body::Sized(bytes) | Body::Chunks(bytes, _) | Body::UntilClose(bytes) => bytes,
        }
    }
    /// As it would be written with as little as possible: one chunk.
    pub fn plain(&self) -> Vec<u8> {
        let mut plain = [&self.start[..], b"\r\n"].concat();
        let write = |plain: &mut Vec<u8>, fields: &[Field]| {
            for (name, value) in fields {
                plain.extend([name, &b": "[..], value, b"\r\n"].concat());
            }
            plain.extend(b"\r\n");
        };
        let mut fields = self.fields.clone();
        if matches!(self.body, Body::Chunks(..)) {
            fields.push((b"transfer-encoding".to_vec(), b"chunked".to_vec()));
        }
        write(&mut plain, &fields);
        match &self.body {
            Body::No => {}
            Body::Sized(bytes) | Body::UntilClose(bytes) => plain.extend(bytes),
            Body::Chunks(bytes, trailers) => {
                if !bytes.is_empty() {
                    plain.extend(format!("{:x}\r\n", bytes.len()).as_bytes());
                    plain.extend([bytes, &b"\r\n"[..]].concat());
                }
                plain.extend(b"0\r\n");
                write(&mut plain, trailers);
            }
        }
        plain
    }
}

/// Bytes as the corpora write them.
pub fn show(bytes: &[u8]) -> String {
    let escaped = bytes.iter().map(|byte| match byte {
        b'\r' => r"\r".to_owned(),
        b'\n' => r"\n".to_owned(),
        b'\t' => r"\t".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        other => format!("\\x{other:02x}"),
    });
    escaped.collect()
}

/// The head of the first message, when it is all there.
pub fn head(bytes: &[u8], side: Side<'_>) -> Option<Vec<Field>> {
    let mut at = 0;
    start(line(bytes, &mut at).ok()?, side).ok()?;
    fields(bytes, &mut at).ok()
}

fn message(bytes: &[u8], side: Side<'_>, ended: bool) -> Read<(Message, usize)> {
    let mut at = 0;
    let first = line(bytes, &mut at)?.to_vec();
    start(&first, side).map_err(Some)?;
    let fields = fields(bytes, &mut at)?;
    let mut message = Message {
        start: first,
        fields,
        body: Body::No,
    };
    message.body = match framing(&message, side).map_err(Some)? {
        Framing::None => Body::No,
        Framing::Length(length) => Body::Sized(take(bytes, &mut at, length)?.to_vec()),
        Framing::Chunks => chunks(bytes, &mut at)?,
        Framing::Close if !ended => return Err(None),
        Framing::Close => Body::UntilClose(bytes[at..].to_vec()),
    };
    // The body says so.
    let is_coding = |name: &[u8]| name.eq_ignore_ascii_case(b"transfer-encoding");
    message.fields.retain(|(name, _)| !is_coding(name));
    let used = match message.body {
        Body::UntilClose(_) => bytes.len(),
        _ => at,
    };
    Ok((message, used))
}

/// A line that ends as lines must.
fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Read<&'b [u8]> {
    let rest = &bytes[*at..];
    for (n, byte) in rest.iter().enumerate() {
        match byte {
            b'\n' => return Err(Some("a bare LF")),
            b'\r' => {
                return match rest.get(n + 1) {
                    None => Err(None),
                    Some(b'\n') => {
                        *at += n + 2;
                        Ok(&rest[..n])
                    }
                    Some(_) => Err(Some("a bare CR")),
                };
            }
            0 => return Err(Some("a NUL")),
            _ => {}
        }
    }
    Err(None)
}

fn take<'b>(bytes: &'b [u8], at: &mut usize, length: usize) -> Read<&'b [u8]> {
    let end = at.checked_add(length).ok_or(Some("a length without end"))?;
    let taken = bytes.get(*at..end).ok_or(None)?;
    *at = end;
    Ok(taken)
}

fn start(line: &[u8], side: Side<'_>) -> Result<(), &'static str> {
    let words: Vec<&[u8]> = line.splitn(3, |byte| *byte == b' ').collect();
    let is_version = |word: &[u8]| word == b"HTTP/1.1" || word == b"HTTP/1.0";
    match (side, &words[..]) {
        (Side::Request, [method, target, version]) => {
            let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
            let good = is_token(method) && !target.is_empty() && target.iter().all(visible);
            let good = good && is_version(version);
            good.then_some(()).ok_or("a bad request line")
        }
        (Side::Answer(_), [version, status, reason]) => {
            let digits = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
            let good = digits && is_version(version) && is_value(reason);
            good.then_some(()).ok_or("a bad status line")
        }
        _ => Err("a bad start line"),
    }
}

fn fields(bytes: &[u8], at: &mut usize) -> Read<Vec<Field>> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or(Some("a field without a colon"))?);
        let value = value[1..].trim_ascii();
        if !is_token(name) || !is_value(value) {
            return Err(Some("a bad field"));
        }
        fields.push((name.to_vec(), value.to_vec()));
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

fn is_value(bytes: &[u8]) -> bool {
    let fine = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    bytes.iter().all(fine)
}

enum Framing {
    None,
    Length(usize),
    Chunks,
    Close,
}

/// RFC 9112 §6.3.
fn framing(message: &Message, side: Side<'_>) -> Result<Framing, &'static str> {
    let all = |name: &str| -> Vec<&[u8]> {
        let is = |field: &&Field| field.0.eq_ignore_ascii_case(name.as_bytes());
        let found = message.fields.iter().filter(is);
        found.map(|(_, value)| value.as_slice()).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    let framed = match (&lengths[..], &codings[..]) {
        ([], []) => None,
        ([length], []) => Some(Framing::Length(number(length, 10)?)),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunks),
        _ => return Err("more framing than one"),
    };
    match side {
        Side::Request => {
            let old = message.start.ends_with(b"1.0");
            match (all("host").len(), old) {
                (1, _) | (0, true) => {}
                _ => return Err("not one host"),
            }
            if old && !codings.is_empty() {
                return Err("chunks of 1.0");
            }
            Ok(framed.unwrap_or(Framing::None))
        }
        Side::Answer(asked) => {
            let status = message.second();
            let bare = status.starts_with('1') || status == "204" || status == "304";
            let tunnel = asked == "CONNECT" && status.starts_with('2');
            match bare || tunnel || asked == "HEAD" {
                true => Ok(Framing::None),
                false => Ok(framed.unwrap_or(Framing::Close)),
            }
        }
    }
}

/// Digits and nothing else; as many as fit twice.
fn number(digits: &[u8], radix: u32) -> Result<usize, &'static str> {
    let is = |byte: &u8| char::from(*byte).is_digit(radix);
    if digits.is_empty() || digits.len() > 32 || !digits.iter().all(is) {
        return Err("a bad number");
    }
    let digits = std::str::from_utf8(digits).map_err(|_| "a bad number")?;
    usize::from_str_radix(digits, radix).map_err(|_| "a number without end")
}

fn chunks(bytes: &[u8], at: &mut usize) -> Read<Body> {
    let mut body = Vec::new();
    loop {
        let line = line(bytes, at)?;
        let end = line.iter().position(|byte| *byte == b';');
        let (size, extension) = line.split_at(end.unwrap_or(line.len()));
        if !is_value(extension) {
            return Err(Some("a bad chunk extension"));
        }
        match number(size, 16).map_err(Some)? {
            0 => return Ok(Body::Chunks(body, fields(bytes, at)?)),
            size => body.extend(take(bytes, at, size)?),
        }
        if take(bytes, at, 2)? != b"\r\n" {
            return Err(Some("a chunk that does not end where it says"));
        }
    }
}
