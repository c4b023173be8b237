//! What a server sends: interim answers and one final answer to each request.

use super::body::{Body, Framing};
use super::class::{VALUE, run};
use super::fields::{Fields, Of};
use super::{Bounds, End, Fault, Kind, RequestHead, Step, Version};

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The method of the request.
    pub(crate) kind: Kind,
    /// Whether it asked for another protocol.
    pub(crate) wants_upgrade: bool,
}

impl From<RequestHead> for Asked {
    fn from(head: RequestHead) -> Self {
        Self {
            kind: head.kind,
            wants_upgrade: head.wants_upgrade,
        }
    }
}

/// What the head of an answer says of what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    /// Its version.
    pub(crate) version: Version,
    /// Its status, 100 to 999.
    pub(crate) status: u16,
    /// Where it ends.
    pub(crate) framing: Framing,
}

impl AnswerHead {
    /// Whether another answer to the same request follows (RFC 9110 §15.2).
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// More interim answers to one request are there to make somebody read them.
const INTERIM_MAX: usize = 64;

/// `HTTP/1.1 200 `.
const STATUS_BYTES: usize = 13;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Status,
    Reason,
    ReasonLf,
    Fields,
}

/// How far a head was looked at.
#[derive(Debug)]
struct Head {
    at: At,
    /// The next byte.
    next: usize,
    version: Version,
    status: u16,
    fields: Fields,
}

impl Head {
    fn begin() -> Self {
        Self {
            at: At::Status,
            next: 0,
            version: Version::Http11,
            status: 0,
            fields: Fields::from(0, Of::Head),
        }
    }
    fn judge(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Fault> {
        let bytes = &bytes[..bytes.len().min(bounds.head_bytes)];
        let ended = match self.line(bytes)? {
            true => self.fields.judge(bytes, bounds)?,
            false => None,
        };
        if ended.is_none() && bytes.len() == bounds.head_bytes {
            return Err(Fault::HeadTooLarge);
        }
        Ok(ended)
    }
    /// Looks at the status line. Whether it has ended.
    fn line(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        while self.at != At::Fields {
            let Some(byte) = bytes.get(self.next).copied() else {
                return Ok(false);
            };
            self.at = match self.at {
                At::Status => self.in_status(byte)?,
                At::Reason => {
                    self.next += run(&bytes[self.next..], VALUE);
                    match bytes.get(self.next) {
                        None => continue,
                        Some(b'\r') => At::ReasonLf,
                        Some(b'\n') => return Err(Fault::BareLf),
                        Some(_) => return Err(Fault::StatusLine),
                    }
                }
                At::ReasonLf if byte != b'\n' => return Err(Fault::BareCr),
                At::ReasonLf | At::Fields => {
                    self.fields = Fields::from(self.next + 1, Of::Head);
                    At::Fields
                }
            };
            self.next += 1;
        }
        Ok(true)
    }
    fn in_status(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.next, byte) {
            (0..=6, byte) if byte == b"HTTP/1."[self.next] => {}
            (7, b'1') => self.version = Version::Http11,
            (7, b'0') => self.version = Version::Http10,
            (8, b' ') => {}
            (9, b'1'..=b'9') | (10 | 11, b'0'..=b'9') => {
                self.status = self.status * 10 + u16::from(byte - b'0');
            }
            (12, b' ') => return Ok(At::Reason),
            // Not every server writes the space before a reason that it does not give: nobody reads that in two ways.
            (12, b'\r') => return Ok(At::ReasonLf),
            _ => return Err(Fault::StatusLine),
        }
        debug_assert!(self.next < STATUS_BYTES);
        Ok(At::Status)
    }
    fn whole(&self, asked: Asked) -> Result<AnswerHead, Fault> {
        let (fields, status) = (&self.fields, self.status);
        fields.fits(self.version)?;
        let framing = match (asked.kind, status) {
            (_, 101) if !asked.wants_upgrade => return Err(Fault::UnaskedSwitch),
            (_, 100..=199 | 204 | 304) | (Kind::Head, _) => Framing::None,
            (Kind::Connect, 200..=299) => Framing::None,
            _ if fields.is_chunked => Framing::Chunked,
            _ => match fields.length {
                None => Framing::UntilClose,
                Some(0) => Framing::None,
                Some(length) => Framing::Length(length),
            },
        };
        Ok(AnswerHead {
            version: self.version,
            status,
            framing,
        })
    }
}

#[derive(Debug)]
enum Phase {
    /// Nothing was asked.
    Quiet,
    /// A head is awaited; so many interim ones came.
    Head(Asked, usize),
    /// A body is under way.
    Body(Body),
    /// Whatever comes is not HTTP any more.
    Switched,
}

/// The other direction: what a server sends.
#[derive(Debug)]
pub(crate) struct Answers {
    bounds: Bounds,
    head: Head,
    phase: Phase,
    names: Vec<u8>,
}

impl Answers {
    /// Of a connection that begins.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            head: Head::begin(),
            phase: Phase::Quiet,
            names: Vec::new(),
        }
    }
    /// A request begins to be sent. One at a time: the answer to the one before has ended.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.head = Head::begin();
        self.phase = Phase::Head(asked, 0);
    }
    /// Whether nothing is awaited.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Quiet)
    }
    /// Judges what comes next: of a head all of it, from its first byte on, every time; of a body only what was not judged before.
    ///
    /// # Errors
    /// What is wrong. Nothing that follows on the connection means anything then.
    pub(crate) fn judge(&mut self, bytes: &[u8]) -> Result<Step<AnswerHead>, Fault> {
        match &mut self.phase {
            Phase::Quiet if bytes.is_empty() => Ok(Step::More),
            Phase::Quiet => Err(Fault::Unsolicited),
            Phase::Switched => Ok(Step::Body(bytes.len(), End::NotYet)),
            Phase::Body(body) => {
                let (taken, end) = body.judge(bytes, self.bounds)?;
                if end == End::Here {
                    self.phase = Phase::Quiet;
                }
                Ok(Step::Body(taken, end))
            }
            Phase::Head(asked, interim) => {
                let (asked, interim) = (*asked, *interim);
                let Some(end) = self.head.judge(bytes, self.bounds)? else {
                    return Ok(Step::More);
                };
                let head = self.head.whole(asked)?;
                self.names = std::mem::take(&mut self.head.fields.names);
                self.answered(asked, interim, head)?;
                Ok(Step::Head(end, head))
            }
        }
    }
    /// How the names of the last whole head are spelled, for [`spell`](super::spell). To be asked once.
    pub(crate) fn names(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.names)
    }
    fn answered(&mut self, asked: Asked, interim: usize, head: AnswerHead) -> Result<(), Fault> {
        self.head = Head::begin();
        let is_tunnel = asked.kind == Kind::Connect && matches!(head.status, 200..=299);
        self.phase = match Body::of(head.framing) {
            _ if head.is_interim() && interim == INTERIM_MAX => return Err(Fault::TooManyInterim),
            _ if head.is_interim() => Phase::Head(asked, interim + 1),
            _ if head.status == 101 || is_tunnel => Phase::Switched,
            Some(body) => Phase::Body(body),
            None => Phase::Quiet,
        };
        Ok(())
    }
    /// The connection has ended, as far as its server is concerned.
    ///
    /// # Errors
    /// [`Fault::Cut`]: in a message.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match &self.phase {
            Phase::Quiet | Phase::Switched => Ok(()),
            Phase::Body(Body::UntilClose) => {
                self.phase = Phase::Quiet;
                Ok(())
            }
            Phase::Head(..) | Phase::Body(_) => Err(Fault::Cut),
        }
    }
}
