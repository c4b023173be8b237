//! Where x509-parser reads more than DER: it takes an element of any tag for an object identifier, one of any class for a time, a name
//! or an extension's value, also where it is put together of others. What is read so loosely is another certificate to everybody else.
//!
//! In: the part of a certificate that is signed, which x509-parser has read. Out: whether it is written as RFC 5280 §4.1 has it.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

/// What is not written as it must be.
pub(crate) enum Loose {
    /// The times.
    Validity,
    /// Something else.
    Encoding,
}

/// The number, the times and the extensions, each of its own type.
pub(crate) fn check(tbs: &[u8]) -> Result<(), Loose> {
    let fields = fields(tbs).ok_or(Loose::Encoding)?;
    // Behind the version, which was read: no certificate of version 3 is without it.
    if !fields.get(1).is_some_and(is_integer) {
        return Err(Loose::Encoding);
    }
    if !fields.get(4).is_some_and(is_validity) {
        return Err(Loose::Validity);
    }
    if !fields.last().is_some_and(are_extensions) {
        return Err(Loose::Encoding);
    }
    Ok(())
}

/// Both times of the validity: UTCTime or GeneralizedTime, to the second, in UTC (RFC 5280 §4.1.2.5).
fn is_validity(validity: &Any<'_>) -> bool {
    let times = parts(validity);
    matches!(times.as_deref(), Some([begins, ends]) if is_time(begins) && is_time(ends))
}

/// Every extension: object identifier, maybe whether it is critical, and the octets of a value. What stands last in a certificate
/// without extensions is something else.
fn are_extensions(last: &Any<'_>) -> bool {
    if last.class() != Class::ContextSpecific || last.tag() != Tag(3) {
        return true;
    }
    let extensions = || match &elements(last.data)?[..] {
        [all] => parts(all),
        _ => None,
    };
    extensions().is_some_and(|all| all.iter().all(is_extension))
}

/// The value of a keyUsage (RFC 5280 §4.2.1.3).
pub(crate) fn is_bits(value: &[u8]) -> bool {
    element(value).is_some_and(|(_, bits)| is(&bits, Tag::BitString))
}

/// The value of basicConstraints (RFC 5280 §4.2.1.9): maybe whether it is a CA, maybe a length.
pub(crate) fn is_constraints(value: &[u8]) -> bool {
    let Some(parts) = sequence(value) else {
        return false;
    };
    match &parts[..] {
        [] => true,
        [one] => is_boolean(one) || is_integer(one),
        [ca, length] => is_boolean(ca) && is_integer(length),
        _ => false,
    }
}

/// A value that is a sequence of object identifiers.
pub(crate) fn is_object_ids(value: &[u8]) -> bool {
    sequence(value).is_some_and(|ids| ids.iter().all(|id| is(id, Tag::Oid)))
}

/// A value that is a sequence of names: tags of their own, and of others put together only where they hold some (RFC 5280 §4.2.1.6).
pub(crate) fn is_names(value: &[u8]) -> bool {
    let is_name = |name: &Any<'_>| {
        let holds_others = matches!(name.tag().0, 0 | 3..=5);
        name.class() == Class::ContextSpecific && name.header.constructed() == holds_others
    };
    sequence(value).is_some_and(|names| names.iter().all(is_name))
}

/// What stands in the signed part, in its order.
fn fields(tbs: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, tbs) = element(tbs)?;
    elements(tbs.data)
}

fn elements(mut rest: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (after, element) = element(rest)?;
        found.push(element);
        rest = after;
    }
    Some(found)
}

/// The first element, if its length is written in as few octets as it needs (X.690 §10.1), and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], Any<'_>)> {
    let (after, element) = Any::from_der(bytes).ok()?;
    let octets = match element.data.len() {
        ..0x80 => 1,
        0x80..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 4,
    };
    // No tag here is so high that it needs more than one octet.
    let whole = 1 + octets + element.data.len();
    (bytes.len() - after.len() == whole).then_some((after, element))
}

/// What is in a value that is a sequence. What follows it is refused by who reads it.
fn sequence(value: &[u8]) -> Option<Vec<Any<'_>>> {
    parts(&element(value)?.1)
}

/// What is in a sequence.
fn parts<'a>(sequence: &Any<'a>) -> Option<Vec<Any<'a>>> {
    let is_one = sequence.class() == Class::Universal
        && sequence.tag() == Tag::Sequence
        && sequence.header.constructed();
    is_one.then(|| elements(sequence.data))?
}

/// DER has one word for each (X.690 §11.1); readers of BER take any other for TRUE.
fn is_boolean(element: &Any<'_>) -> bool {
    is(element, Tag::Boolean) && matches!(element.data, [0x00 | 0xff])
}

/// In as few octets as it needs (X.690 §8.3.2).
fn is_integer(element: &Any<'_>) -> bool {
    is(element, Tag::Integer)
        && match element.data {
            [] => false,
            [0x00, next, ..] => next & 0x80 != 0,
            [0xff, next, ..] => next & 0x80 == 0,
            _ => true,
        }
}

fn is(element: &Any<'_>, tag: Tag) -> bool {
    element.class() == Class::Universal && element.tag() == tag && !element.header.constructed()
}

fn is_extension(extension: &Any<'_>) -> bool {
    let Some(parts) = parts(extension) else {
        return false;
    };
    match &parts[..] {
        [id, value] => is(id, Tag::Oid) && is(value, Tag::OctetString),
        [id, critical, value] => {
            is(id, Tag::Oid) && is_boolean(critical) && is(value, Tag::OctetString)
        }
        _ => false,
    }
}

fn is_time(time: &Any<'_>) -> bool {
    let digits = match time.tag() {
        Tag::UtcTime => "yymmddhhmmss".len(),
        Tag::GeneralizedTime => "yyyymmddhhmmss".len(),
        _ => return false,
    };
    let text = time.data.strip_suffix(b"Z");
    time.class() == Class::Universal
        && !time.header.constructed()
        && text.is_some_and(|text| text.len() == digits && text.iter().all(u8::is_ascii_digit))
}
