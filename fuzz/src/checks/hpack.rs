//! A decoder of HPACK (RFC 7541), slow and whole: texts are decoded, entries have sizes and are evicted by them.

use super::bytes::Rest;
use httlib_huffman::DecoderSpeed;

/// Name and value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// What a peer may keep in its table (§4.2), which nobody here raises.
const TABLE_BYTES: usize = 4096;

/// Names of the static table (appendix A); no value in it begins with `1`, which is all that is asked of values here.
const STATIC: &str = ":authority :method :method :path :path :scheme :scheme :status :status :status :status :status :status \
    :status accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow \
    authorization cache-control content-disposition content-encoding content-language content-length content-location \
    content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range \
    if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh \
    retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate";

pub(crate) struct Decoder {
    names: Vec<&'static str>,
    /// The newest first.
    entries: Vec<Field>,
    max: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            names: STATIC.split_whitespace().collect(),
            entries: Vec::new(),
            max: TABLE_BYTES,
        }
    }

    /// The fields of a block; `None` for what is no HPACK.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Option<Vec<Field>> {
        let (mut rest, mut fields) = (Rest(block), Vec::new());
        while let Some(first) = rest.octet() {
            match first {
                0x80.. => fields.push(self.entry(number(&mut rest, first, 7)?)?),
                0x40.. => {
                    let field = self.literal(&mut rest, first, 6)?;
                    self.entries.insert(0, field.clone());
                    self.evict();
                    fields.push(field);
                }
                0x20.. => {
                    self.max = number(&mut rest, first, 5)?;
                    if self.max > TABLE_BYTES {
                        return None;
                    }
                    self.evict();
                }
                _ => fields.push(self.literal(&mut rest, first, 4)?),
            }
        }
        Some(fields)
    }

    fn literal(&self, rest: &mut Rest<'_>, first: u8, bits: u32) -> Option<Field> {
        let name = match number(rest, first, bits)? {
            0 => text(rest)?,
            index => self.entry(index)?.0,
        };
        Some((name, text(rest)?))
    }

    fn entry(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        match self.names.get(index) {
            Some(name) => Some((name.as_bytes().to_vec(), Vec::new())),
            None => self.entries.get(index - self.names.len()).cloned(),
        }
    }

    fn evict(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.entries.iter().map(size).sum::<usize>() > self.max {
            self.entries.pop();
        }
    }
}

/// §5.1, of no more than 32 bits.
fn number(rest: &mut Rest<'_>, first: u8, bits: u32) -> Option<usize> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(first) & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let octet = rest.octet()?;
        value += usize::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// §5.2.
fn text(rest: &mut Rest<'_>) -> Option<Vec<u8>> {
    let first = rest.octet()?;
    let length = number(rest, first, 7)?;
    let bytes = rest.up_to(length);
    if bytes.len() < length {
        return None;
    }
    if first & 0x80 == 0 {
        return Some(bytes.to_vec());
    }
    let mut decoded = Vec::new();
    httlib_huffman::decode(bytes, &mut decoded, DecoderSpeed::FourBits).ok()?;
    Some(decoded)
}
