//! HPACK (RFC 7541): written as plainly as it can be, read as any server may write it.

use std::sync::OnceLock;

/// A field as it stands in a block; names and values need not be right.
pub type Field = (Vec<u8>, Vec<u8>);

/// A literal without indexing, under a new name, without Huffman's code (§6.2.2).
pub fn write(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        write_number(block, 0, 7, text.len());
        block.extend_from_slice(text);
    }
}

/// §5.1.
fn write_number(block: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1usize << bits) - 1;
    if number < most {
        return block.push(first | u8::try_from(number).expect("it fits its prefix"));
    }
    block.push(first | u8::try_from(most).expect("it fits its prefix"));
    let mut left = number - most;
    while left >= 128 {
        block.push(u8::try_from(left % 128).expect("seven bits") | 0x80);
        left /= 128;
    }
    block.push(u8::try_from(left).expect("seven bits"));
}

/// Reads the blocks of one direction of a connection.
#[derive(Default)]
pub struct Reader {
    /// The dynamic table, newest first.
    table: Vec<Field>,
}

impl Reader {
    /// The fields of a block; `None`: it is none.
    pub fn read(&mut self, block: &[u8]) -> Option<Vec<Field>> {
        let (mut rest, mut fields) = (block, Vec::new());
        while let Some(first) = rest.first() {
            let (bits, index, keep) = match first {
                0x80.. => {
                    let index = read_number(&mut rest, 7)?;
                    fields.push(self.at(index)?);
                    continue;
                }
                0x40.. => (6, true, true),
                // What the table may hold: nothing here holds so much that it matters.
                0x20.. => {
                    read_number(&mut rest, 5)?;
                    continue;
                }
                _ => (4, true, false),
            };
            let named = read_number(&mut rest, bits).filter(|_| index)?;
            let name = match named {
                0 => read_text(&mut rest)?,
                named => self.at(named)?.0,
            };
            let field = (name, read_text(&mut rest)?);
            if keep {
                self.table.insert(0, field.clone());
                self.fit();
            }
            fields.push(field);
        }
        Some(fields)
    }
    /// §2.3.3.
    fn at(&self, index: usize) -> Option<Field> {
        match STATIC.get(index.checked_sub(1)?) {
            Some((name, value)) => Some((name.as_bytes().into(), value.as_bytes().into())),
            None => self.table.get(index - STATIC.len() - 1).cloned(),
        }
    }
    /// §4.4, for the 4096 bytes with which everybody begins.
    fn fit(&mut self) {
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.table.iter().map(size).sum::<usize>() > 4096 {
            self.table.pop();
        }
    }
}

fn read_number(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1usize << bits) - 1;
    let (first, after) = rest.split_first()?;
    *rest = after;
    let mut number = usize::from(*first) & most;
    if number < most {
        return Some(number);
    }
    for shift in (0..28).step_by(7) {
        let (next, after) = rest.split_first()?;
        *rest = after;
        number += (usize::from(*next) & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn read_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = rest.first()? & 0x80 != 0;
    let length = read_number(rest, 7)?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    if coded {
        unhuffman(text)
    } else {
        Some(text.to_vec())
    }
}

/// §5.2. The code is canonical: the lengths of its codes say all of it.
fn unhuffman(coded: &[u8]) -> Option<Vec<u8>> {
    let codes = codes();
    let (mut text, mut code, mut length) = (Vec::new(), 0u32, 0u8);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        (code, length) = (code << 1 | u32::from(bit), length + 1);
        if let Ok(at) =
            codes.binary_search_by_key(&(length, code), |(length, code, _)| (*length, *code))
        {
            text.push(u8::try_from(codes[at].2).ok()?);
            (code, length) = (0, 0);
        }
    }
    // What is left over is the beginning of EOS, which is all ones, and shorter than a byte.
    (length < 8 && code == (1 << length) - 1).then_some(text)
}

/// Length, code and symbol, in that order.
fn codes() -> &'static [(u8, u32, usize)] {
    static CODES: OnceLock<Vec<(u8, u32, usize)>> = OnceLock::new();
    CODES.get_or_init(|| {
        let mut order: Vec<(u8, usize)> = LENGTHS.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let (mut code, mut before) = (0u32, 0);
        let next = |(length, symbol): (u8, usize)| {
            code <<= length - before;
            before = length;
            code += 1;
            (length, code - 1, symbol)
        };
        order.into_iter().map(next).collect()
    })
}

/// How long the code of each byte is, and last that of EOS (appendix B).
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_so_are_the_rfcs_own_examples() {
        let mut block = Vec::new();
        write(&mut block, b"x", &[b'v'; 300]);
        let read = Reader::default().read(&block).unwrap();
        assert_eq!(read, [(b"x".to_vec(), vec![b'v'; 300])]);
        // RFC 7541 C.6.1 and C.6.2: Huffman's code, and what was indexed before.
        let mut reader = Reader::default();
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        let fields = reader.read(&hex(first)).unwrap();
        let text = |(name, value): &Field| {
            format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        let seen: Vec<_> = fields.iter().map(text).collect();
        assert_eq!(
            seen,
            [
                ":status: 302",
                "cache-control: private",
                "date: Mon, 21 Oct 2013 20:13:21 GMT",
                "location: https://www.example.com"
            ]
        );
        let second: Vec<_> = reader
            .read(&hex("4883640effc1c0bf"))
            .unwrap()
            .iter()
            .map(text)
            .collect();
        assert_eq!((&*second[0], &second[1..]), (":status: 307", &seen[1..]));
        assert_eq!(reader.read(&hex("ff00")), None);
    }

    fn hex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }
}
