//! Where a body ends.

use super::class::{QUOTED, TOKEN, VALUE, is};
use super::fields::{Fields, Of};
use super::{Bounds, End, Fault};

/// How a message's end is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It ends with its head.
    None,
    /// After so many bytes, at least one.
    Length(u64),
    /// After the last chunk and its trailers.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A body under way.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
    /// To the end of the connection.
    UntilClose,
}

impl Body {
    /// Of a message that is framed so; `None`: it has none.
    pub(super) fn of(framing: Framing) -> Option<Self> {
        match framing {
            Framing::None | Framing::Length(0) => None,
            Framing::Length(left) => Some(Self::Length(left)),
            Framing::Chunked => Some(Self::Chunked(Chunks::default())),
            Framing::UntilClose => Some(Self::UntilClose),
        }
    }
    /// How many of these bytes are its own, and whether it ends with them.
    pub(super) fn judge(&mut self, bytes: &[u8], bounds: Bounds) -> Result<(usize, End), Fault> {
        match self {
            Self::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                // No more than are left.
                *left -= taken as u64;
                Ok((taken, if *left == 0 { End::Here } else { End::NotYet }))
            }
            Self::Chunked(chunks) => chunks.judge(bytes, bounds),
            Self::UntilClose => Ok((bytes.len(), End::NotYet)),
        }
    }
}

/// More digits are a size that nobody has, written to overflow somebody's counter.
const SIZE_DIGITS_MAX: u8 = 16;
/// Of all chunks of a body: who reads extensions throws them away (CVE-2023-39326).
const EXTENSION_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first digit.
    #[default]
    Begin,
    Size,
    ExtensionBegin,
    ExtensionName,
    ExtensionValue,
    ExtensionToken,
    Quoted,
    Escaped,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// A body in chunks (RFC 9112 §7.1).
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    digits: u8,
    /// The size while it is read, and then what is left of the data.
    left: u64,
    extension_bytes: usize,
    trailers: Option<Box<Trailers>>,
}

/// Trailers that came in pieces.
#[derive(Debug)]
struct Trailers {
    fields: Fields,
    bytes: Vec<u8>,
}

impl Chunks {
    fn judge(&mut self, bytes: &[u8], bounds: Bounds) -> Result<(usize, End), Fault> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.at {
                At::Data => {
                    let rest = bytes.len() - at;
                    let taken = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                    self.left -= taken as u64;
                    at += taken;
                    if self.left == 0 {
                        self.at = At::DataCr;
                    }
                }
                At::Trailers => {
                    let (taken, end) = self.judge_trailers(&bytes[at..], bounds)?;
                    return Ok((at + taken, end));
                }
                _ => {
                    self.step(*byte)?;
                    at += 1;
                }
            }
        }
        Ok((at, End::NotYet))
    }
    /// One byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        self.at = match (self.at, byte) {
            (At::Begin | At::Size, byte) if byte.is_ascii_hexdigit() => self.digit(byte)?,
            (At::Begin, _) => return Err(Fault::ChunkSize),
            (At::Size, b'\r') => At::SizeLf,
            (At::Size, b';') => At::ExtensionBegin,
            (At::Size, b'\n') => return Err(Fault::BareLf),
            (At::Size, _) => return Err(Fault::ChunkSize),
            (At::SizeLf, b'\n') => self.sized(),
            (At::SizeLf, _) => return Err(Fault::BareCr),
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Begin,
            (At::DataCr | At::DataLf, _) => return Err(Fault::ChunkEnd),
            (at, byte) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES_MAX {
                    return Err(Fault::ChunkExtensionsTooLarge);
                }
                extension(at, byte)?
            }
        };
        Ok(())
    }
    fn digit(&mut self, byte: u8) -> Result<At, Fault> {
        let digit = char::from(byte).to_digit(16).ok_or(Fault::ChunkSize)?;
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        // A signed number of eight bytes holds it.
        if self.digits > SIZE_DIGITS_MAX || self.left >> 63 > 0 {
            return Err(Fault::ChunkSize);
        }
        Ok(At::Size)
    }
    fn sized(&mut self) -> At {
        self.digits = 0;
        match self.left {
            0 => At::Trailers,
            _ => At::Data,
        }
    }
    /// They are judged where they stand, unless they come in pieces.
    fn judge_trailers(&mut self, came: &[u8], bounds: Bounds) -> Result<(usize, End), Fault> {
        let bytes_max = bounds.head_bytes;
        let Some(trailers) = &mut self.trailers else {
            let mut fields = Fields::from(0, Of::Body);
            let looked_at = &came[..came.len().min(bytes_max)];
            if let Some(end) = judge_fields(&mut fields, looked_at, bounds)? {
                return Ok((end, End::Here));
            }
            let bytes = looked_at.to_vec();
            self.trailers = Some(Box::new(Trailers { fields, bytes }));
            return Ok((came.len(), End::NotYet));
        };
        let had = trailers.bytes.len();
        let taken = came.len().min(bytes_max.saturating_sub(had));
        trailers.bytes.extend_from_slice(&came[..taken]);
        match judge_fields(&mut trailers.fields, &trailers.bytes, bounds)? {
            Some(end) => Ok((end - had, End::Here)),
            None => Ok((came.len(), End::NotYet)),
        }
    }
}

fn judge_fields(fields: &mut Fields, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Fault> {
    let end = fields.judge(bytes, bounds).map_err(|fault| match fault {
        Fault::HeadTooLarge | Fault::TooManyFields => Fault::TrailersTooLarge,
        fault => fault,
    })?;
    if end.is_none() && bytes.len() >= bounds.head_bytes {
        return Err(Fault::TrailersTooLarge);
    }
    Ok(end)
}

/// What follows a byte of chunk extensions: `*( ";" name [ "=" ( token / quoted-string ) ] )`. The whitespace that RFC 9112 §7.1.1
/// calls bad is refused: readers differ over it.
fn extension(at: At, byte: u8) -> Result<At, Fault> {
    let next = match (at, byte) {
        (At::ExtensionBegin | At::ExtensionName, byte) if is(byte, TOKEN) => At::ExtensionName,
        (At::ExtensionName, b'=') => At::ExtensionValue,
        (At::ExtensionValue, b'"') => At::Quoted,
        (At::ExtensionValue | At::ExtensionToken, byte) if is(byte, TOKEN) => At::ExtensionToken,
        (At::ExtensionName | At::ExtensionToken | At::QuotedEnd, b';') => At::ExtensionBegin,
        (At::ExtensionName | At::ExtensionToken | At::QuotedEnd, b'\r') => At::SizeLf,
        (At::Quoted, b'"') => At::QuotedEnd,
        (At::Quoted, b'\\') => At::Escaped,
        (At::Quoted, byte) if is(byte, QUOTED) => At::Quoted,
        (At::Escaped, byte) if is(byte, VALUE) => At::Quoted,
        (_, b'\n') => return Err(Fault::BareLf),
        _ => return Err(Fault::ChunkExtension),
    };
    Ok(next)
}
