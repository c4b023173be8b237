//! What a client sends: one request after the other.

use super::body::{Body, Framing};
use super::class::{PATH, QUERY, TOKEN, is, run};
use super::fields::{Fields, Of};
use super::{Bounds, Fault, Step, Version, target};

/// What a method means to framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CONNECT: what follows its head is no HTTP if it is granted.
    Connect,
    /// HEAD: its answer has no body.
    Head,
    /// Any other.
    Other,
}

/// What the head of a request says of what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// Its version.
    pub(crate) version: Version,
    /// Its method.
    pub(crate) kind: Kind,
    /// Whether it asks for another protocol (HTTP/1.1 only; RFC 9110 §7.8).
    pub(crate) wants_upgrade: bool,
    /// Where it ends.
    pub(crate) framing: Framing,
}

/// What a request asks, in bytes that a method and a target have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'b> {
    /// A token.
    pub(crate) method: &'b [u8],
    /// In one of the forms of RFC 9112 §3.2.
    pub(crate) target: &'b [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the request line.
    Begin,
    /// In the empty line that may stand before it (RFC 9112 §2.2).
    EmptyLf,
    /// After that.
    BeginLine,
    Method,
    Path,
    Query,
    Version,
    LineLf,
    Fields,
}

/// How far a head was looked at.
#[derive(Debug)]
struct Head {
    at: At,
    /// The next byte.
    next: usize,
    /// Where what is under way begins.
    from: usize,
    /// Where the method begins.
    method: usize,
    /// Where the target begins.
    target: usize,
    kind: Kind,
    version: Version,
    fields: Fields,
}

impl Head {
    fn begin() -> Self {
        Self {
            at: At::Begin,
            next: 0,
            from: 0,
            method: 0,
            target: 0,
            kind: Kind::Other,
            version: Version::Http11,
            fields: Fields::from(0, Of::Head),
        }
    }
    /// Looks at what came since. Where it ends, if it does.
    fn judge(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Fault> {
        let bytes = &bytes[..bytes.len().min(bounds.head_bytes)];
        let ended = match self.line(bytes)? {
            true => self.fields.judge(bytes, bounds)?,
            false => None,
        };
        if ended.is_none() && bytes.len() == bounds.head_bytes {
            return Err(match self.at {
                At::Fields => Fault::HeadTooLarge,
                At::Path | At::Query | At::Version | At::LineLf => Fault::TargetTooLong,
                At::Begin | At::EmptyLf | At::BeginLine | At::Method => Fault::RequestLine,
            });
        }
        Ok(ended)
    }
    /// Looks at the request line. Whether it has ended.
    fn line(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        while self.at != At::Fields {
            let Some(byte) = bytes.get(self.next).copied() else {
                return Ok(false);
            };
            match self.at {
                At::Begin | At::EmptyLf | At::BeginLine => self.begins(byte)?,
                At::Method => {
                    self.next += run(&bytes[self.next..], TOKEN);
                    if let Some(byte) = bytes.get(self.next) {
                        self.has_method(&bytes[self.from..self.next], *byte)?;
                    }
                }
                At::Path | At::Query => self.in_target(bytes)?,
                At::Version => self.in_version(bytes, byte)?,
                At::LineLf if byte != b'\n' => return Err(Fault::BareCr),
                At::LineLf => {
                    self.next += 1;
                    self.fields = Fields::from(self.next, Of::Head);
                    self.at = At::Fields;
                }
                At::Fields => {}
            }
        }
        Ok(true)
    }
    fn begins(&mut self, byte: u8) -> Result<(), Fault> {
        self.at = match (self.at, byte) {
            (At::Begin, b'\r') => At::EmptyLf,
            (At::EmptyLf, b'\n') => At::BeginLine,
            (At::EmptyLf, _) => return Err(Fault::BareCr),
            (_, b'\n') => return Err(Fault::BareLf),
            (_, b'\r' | b' ' | b'\t') => return Err(Fault::RequestLine),
            (_, byte) if is(byte, TOKEN) => At::Method,
            _ => return Err(Fault::Method),
        };
        self.from = self.next;
        self.next += 1;
        Ok(())
    }
    /// A method ends before this byte.
    fn has_method(&mut self, method: &[u8], byte: u8) -> Result<(), Fault> {
        match byte {
            b' ' => {}
            b'\n' => return Err(Fault::BareLf),
            b'\r' | b'\t' => return Err(Fault::RequestLine),
            _ => return Err(Fault::Method),
        }
        self.kind = match method {
            b"CONNECT" => Kind::Connect,
            b"HEAD" => Kind::Head,
            _ => Kind::Other,
        };
        self.next += 1;
        (self.method, self.target, self.at) = (self.from, self.next, At::Path);
        Ok(())
    }
    fn in_target(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let class = if self.at == At::Path { PATH } else { QUERY };
        self.next += run(&bytes[self.next..], class);
        if self.next - self.target > target::BYTES_MAX {
            return Err(Fault::TargetTooLong);
        }
        match bytes.get(self.next) {
            None => return Ok(()),
            Some(b'?') if self.at == At::Path => self.at = At::Query,
            Some(b' ') if self.next == self.target => return Err(Fault::RequestLine),
            Some(b' ') => {
                target::judge(&bytes[self.target..self.next])?;
                self.at = At::Version;
                self.from = self.next + 1;
            }
            Some(b'#') => return Err(Fault::Fragment),
            Some(b'\n') => return Err(Fault::BareLf),
            Some(b'\r' | b'\t') => return Err(Fault::RequestLine),
            Some(_) => return Err(Fault::Target),
        }
        self.next += 1;
        Ok(())
    }
    fn in_version(&mut self, bytes: &[u8], byte: u8) -> Result<(), Fault> {
        match byte {
            b'\n' => return Err(Fault::BareLf),
            b'\r' => {
                self.version = match &bytes[self.from..self.next] {
                    b"HTTP/1.1" => Version::Http11,
                    b"HTTP/1.0" => Version::Http10,
                    [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                        if major.is_ascii_digit() && minor.is_ascii_digit() =>
                    {
                        return Err(Fault::Version);
                    }
                    _ => return Err(Fault::RequestLine),
                };
                self.at = At::LineLf;
            }
            _ if self.next - self.from >= "HTTP/1.1".len() => return Err(Fault::RequestLine),
            _ => {}
        }
        self.next += 1;
        Ok(())
    }
    /// What was asked, once the request line was read: the method, and the target up to the space before the version.
    fn asked<'b>(&self, bytes: &'b [u8]) -> Option<RequestLine<'b>> {
        // A space follows either.
        let (target, version) = (self.target.checked_sub(1)?, self.from.checked_sub(1)?);
        if self.at != At::Fields {
            return None;
        }
        Some(RequestLine {
            method: bytes.get(self.method..target)?,
            target: bytes.get(self.target..version)?,
        })
    }
    fn whole(&self) -> Result<RequestHead, Fault> {
        let (fields, version) = (&self.fields, self.version);
        fields.fits(version)?;
        if version == Version::Http11 && fields.hosts == 0 {
            return Err(Fault::NoHost);
        }
        let framing = match (fields.is_chunked, fields.length) {
            (true, _) => Framing::Chunked,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(RequestHead {
            version,
            kind: self.kind,
            wants_upgrade: fields.has_upgrade && version == Version::Http11,
            framing,
        })
    }
}

/// One direction of a connection: what its client sends.
#[derive(Debug)]
pub(crate) struct Requests {
    bounds: Bounds,
    head: Head,
    body: Option<Body>,
    names: Vec<u8>,
}

impl Requests {
    /// Of a connection that begins.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            head: Head::begin(),
            body: None,
            names: Vec::new(),
        }
    }
    /// Judges what comes next: of a head all of it, from its first byte on, every time; of a body only what was not judged before.
    ///
    /// # Errors
    /// What is wrong. Nothing that follows on the connection means anything then.
    pub(crate) fn judge(&mut self, bytes: &[u8]) -> Result<Step<RequestHead>, Fault> {
        if let Some(body) = &mut self.body {
            let (taken, end) = body.judge(bytes, self.bounds)?;
            if end == super::End::Here {
                self.body = None;
            }
            return Ok(Step::Body(taken, end));
        }
        let Some(end) = self.head.judge(bytes, self.bounds)? else {
            return Ok(Step::More);
        };
        let head = self.head.whole()?;
        self.names = std::mem::take(&mut self.head.fields.names);
        self.head = Head::begin();
        self.body = Body::of(head.framing);
        Ok(Step::Head(end, head))
    }
    /// How the names of the last whole head are spelled, for [`spell`](super::spell). To be asked once.
    pub(crate) fn names(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.names)
    }
    /// Whether a body is under way.
    pub(crate) fn is_in_body(&self) -> bool {
        self.body.is_some()
    }
    /// What the head under way asks, once its whole request line was found right; of the bytes that were judged last.
    pub(crate) fn asked<'b>(&self, bytes: &'b [u8]) -> Option<RequestLine<'b>> {
        self.head.asked(bytes)
    }
    /// The method of the head under way, once it was read.
    pub(crate) fn kind(&self) -> Kind {
        self.head.kind
    }
}
