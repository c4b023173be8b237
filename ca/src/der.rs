//! As much DER as the checks need: elements are taken apart and expected bytes are put together.
//!
//! In: bytes. Out: elements whose lengths are definite and minimal (X.690 §10.1), or nothing. Not a parser of certificates;
//! it is deliberately independent of the encoder whose work it checks.

pub(crate) const BOOLEAN_TRUE: &[u8] = &[0x01, 0x01, 0xff];
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: &[u8] = &[0x05, 0x00];
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// One element: its content, and the whole of it with tag and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// Takes one element with this tag off the front of `input`; nothing if there is none or its length is not DER.
pub(crate) fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => long_length(usize::from(first & 0x7f), rest)?,
        _ => return None, // indefinite, or longer than 16 MiB
    };
    if found != tag || rest.len() < length {
        return None;
    }
    let (content, after) = rest.split_at(length);
    let whole = &input[..input.len() - after.len()];
    *input = after;
    Some(Element { whole, content })
}

/// The one element with this tag that `input` consists of, with nothing behind it.
pub(crate) fn only(mut input: &[u8], tag: u8) -> Option<Element<'_>> {
    let element = take(&mut input, tag)?;
    input.is_empty().then_some(element)
}

fn long_length(octets: usize, rest: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = rest.split_at_checked(octets)?;
    let value = length
        .iter()
        .fold(0, |sum, octet| (sum << 8) | usize::from(*octet));
    let minimal = value > 0x7f && length.first().is_some_and(|octet| *octet != 0);
    minimal.then_some((value, rest))
}

/// One element around these parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        long => {
            let octets = long.to_be_bytes();
            let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
            out.push(0x80 | octets.len() as u8);
            out.extend_from_slice(octets);
        }
    }
    out.extend_from_slice(&content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_together_comes_apart_again() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let whole = element(OCTET_STRING, &[&content]);
            let found = only(&whole, OCTET_STRING);
            assert_eq!(
                found.map(|element| element.content),
                Some(&content[..]),
                "{length}"
            );
        }
    }

    #[test]
    fn only_definite_and_minimal_lengths_are_read() {
        let table: &[(&str, &[u8])] = &[
            ("nothing", &[]),
            ("no length", &[0x04]),
            ("another tag", &[0x05, 0x00]),
            ("indefinite", &[0x04, 0x80, 0x00, 0x00]),
            ("long form of a short length", &[0x04, 0x81, 0x01, 0x07]),
            ("leading zero", &[0x04, 0x82, 0x00, 0x80]),
            ("more than there is", &[0x04, 0x02, 0x07]),
            ("absurd", &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]),
            ("bytes behind it", &[0x04, 0x01, 0x07, 0x00]),
        ];
        for (what, bytes) in table {
            assert_eq!(only(bytes, OCTET_STRING), None, "{what}");
        }
    }
}
