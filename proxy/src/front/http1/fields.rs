//! The fields of a head, or trailers, to their empty line, and what those that frame a message say.

use super::class::{TOKEN, run, run_of_value};
use super::spelling::remember;
use super::{Bounds, Fault, Version};

/// Whose fields they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A head's: they say how its message is framed.
    Head,
    /// A body's: they say nothing here.
    Body,
}

/// A name's length has two bytes in the readers that follow.
const NAME_BYTES_MAX: usize = u16::MAX as usize - 1;

/// What the names of most heads take, once remembered.
const NAMES_BYTES: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Line,
    Name,
    Value,
    ValueLf,
    EndLf,
}

/// How far they were looked at.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    of: Of,
    at: At,
    /// The next byte.
    next: usize,
    /// Where the field under way begins, and where its colon stands.
    line: usize,
    colon: usize,
    count: usize,
    /// Where the first begins.
    first: usize,
    /// The names of a head as they came, for [`spell`](super::spell). Empty where none has a capital.
    pub(super) names: Vec<u8>,
    /// How many Hosts there are.
    pub(super) hosts: usize,
    /// Whether Upgrade is among them.
    pub(super) has_upgrade: bool,
    /// Content-Length.
    pub(super) length: Option<u64>,
    /// How many codings Transfer-Encoding has: none or one, `chunked`.
    pub(super) is_chunked: bool,
}

impl Fields {
    /// To be found from this byte on.
    pub(super) fn from(next: usize, of: Of) -> Self {
        Self {
            of,
            at: At::Line,
            next,
            line: next,
            colon: next,
            count: 0,
            first: next,
            names: Vec::new(),
            hosts: 0,
            has_upgrade: false,
            length: None,
            is_chunked: false,
        }
    }
    /// Looks at what came since: `bytes` are the same as before, and more. Where they end, if they do.
    pub(super) fn judge(&mut self, bytes: &[u8], bounds: Bounds) -> Result<Option<usize>, Fault> {
        // The parts of a line in turn, from the one on that was under way.
        loop {
            if self.at == At::Line {
                let Some(byte) = bytes.get(self.next) else {
                    return Ok(None);
                };
                self.begin(*byte, bounds)?;
                self.next += 1;
            }
            if self.at == At::Name {
                self.next += run(&bytes[self.next..], TOKEN);
                let Some(byte) = bytes.get(self.next) else {
                    return Ok(None);
                };
                self.named(*byte)?;
                if self.of == Of::Head {
                    self.spelled(bytes);
                }
                self.next += 1;
            }
            if self.at == At::Value {
                self.next += run_of_value(&bytes[self.next..]);
                match bytes.get(self.next) {
                    None => return Ok(None),
                    Some(b'\r') => self.at = At::ValueLf,
                    Some(b'\n') => return Err(Fault::BareLf),
                    Some(_) => return Err(Fault::FieldValue),
                }
                self.next += 1;
            }
            match bytes.get(self.next) {
                None => return Ok(None),
                Some(b'\n') => self.next += 1,
                Some(_) => return Err(Fault::BareCr),
            }
            if self.at == At::EndLf {
                return Ok(Some(self.next));
            }
            if self.of == Of::Head {
                let value = &bytes[self.colon + 1..self.next - 2];
                self.means(&bytes[self.line..self.colon], value)?;
            }
            self.at = At::Line;
        }
    }
    /// A line begins with this byte.
    fn begin(&mut self, byte: u8, bounds: Bounds) -> Result<(), Fault> {
        self.at = match byte {
            b'\r' => At::EndLf,
            b'\n' => return Err(Fault::BareLf),
            b' ' | b'\t' if self.count == 0 => return Err(Fault::LeadingSpace),
            b' ' | b'\t' => return Err(Fault::Fold),
            byte if !super::class::is(byte, TOKEN) => return Err(Fault::FieldName),
            _ if self.count == bounds.fields => return Err(Fault::TooManyFields),
            _ => At::Name,
        };
        self.line = self.next;
        self.count += usize::from(self.at == At::Name);
        Ok(())
    }
    /// A name ends before this byte.
    fn named(&mut self, byte: u8) -> Result<(), Fault> {
        if self.next - self.line > NAME_BYTES_MAX {
            return Err(Fault::HeadTooLarge);
        }
        self.at = match byte {
            b':' => At::Value,
            b' ' | b'\t' => return Err(Fault::SpaceBeforeColon),
            b'\n' => return Err(Fault::BareLf),
            _ => return Err(Fault::FieldName),
        };
        self.colon = self.next;
        Ok(())
    }
    /// Remembers the name that was read last, from the first capital on: where there is none, nothing has to be remembered.
    fn spelled(&mut self, bytes: &[u8]) {
        let name = &bytes[self.line..self.colon];
        if self.names.is_empty() {
            if !name.iter().any(u8::is_ascii_uppercase) {
                return;
            }
            self.names.reserve(NAMES_BYTES);
            // Others of that name may stand before it.
            for line in bytes[self.first..self.line].split_inclusive(|byte| *byte == b'\n') {
                remember(&mut self.names, &line[..run(line, TOKEN)]);
            }
        }
        remember(&mut self.names, name);
    }
    fn means(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        // Few lengths are looked at further.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.has_upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.has_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.has_coding(value)?,
            _ => {}
        }
        if self.hosts > 1 {
            return Err(Fault::TwoHosts);
        }
        Ok(())
    }
    fn has_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        match (self.length, self.is_chunked) {
            (_, true) => return Err(Fault::LengthAndCoding),
            (Some(_), false) => return Err(Fault::TwoLengths),
            (None, false) => self.length = Some(length(value)?),
        }
        Ok(())
    }
    fn has_coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        match (self.length, self.is_chunked) {
            (Some(_), _) => Err(Fault::LengthAndCoding),
            (None, true) => Err(Fault::Coding),
            (None, false) => coding(value),
        }?;
        self.is_chunked = true;
        Ok(())
    }
    /// HTTP/1.0 has no codings (RFC 9112 §6.1).
    pub(super) fn fits(&self, version: Version) -> Result<(), Fault> {
        match (version, self.is_chunked) {
            (Version::Http10, true) => Err(Fault::CodingInHttp10),
            _ => Ok(()),
        }
    }
}

/// 1*DIGIT (RFC 9112 §6.2), that a signed number of eight bytes holds.
fn length(value: &[u8]) -> Result<u64, Fault> {
    let digits = value.trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| Fault::Length)?;
    // `parse` would take a sign.
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(Fault::Length);
    }
    let length: i64 = text.parse().map_err(|_| Fault::Length)?;
    u64::try_from(length).map_err(|_| Fault::Length)
}

/// Only the one `chunked` is known to all. A list of others is understood, and not served (RFC 9112 §6.1).
fn coding(value: &[u8]) -> Result<(), Fault> {
    let value = value.trim_ascii();
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let last = codings.next_back().unwrap_or_default();
    let is_token = |coding: &[u8]| !coding.is_empty() && run(coding, TOKEN) == coding.len();
    let is_other = |coding: &[u8]| is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked");
    match codings.all(is_other) && is_token(last) {
        true => Err(Fault::UnknownCoding),
        false => Err(Fault::Coding),
    }
}
