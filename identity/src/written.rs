//! Where x509-parser reads more than DER: it takes an element of any tag for an object identifier, one of any class for a time or a
//! name, also where it is put together of others. What is read so loosely is another certificate to everybody else.
//!
//! In: the part of a certificate that is signed, which x509-parser has read. Out: whether it is written as RFC 5280 §4.1 has it.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};

/// Both times of the validity: UTCTime or GeneralizedTime, to the second, in UTC (RFC 5280 §4.1.2.5).
pub(crate) fn has_times(tbs: &[u8]) -> bool {
    let times = || {
        let validity = fields(tbs)?.get(4)?.data;
        match elements(validity)?[..] {
            [ref not_before, ref not_after] => Some(is_time(not_before) && is_time(not_after)),
            _ => None,
        }
    };
    times().unwrap_or(false)
}

/// Every extension: object identifier, maybe whether it is critical, and the octets of a value.
pub(crate) fn has_extensions(tbs: &[u8]) -> bool {
    let extensions = || {
        let fields = fields(tbs)?;
        let explicit = fields.last()?;
        if explicit.class() != Class::ContextSpecific || explicit.tag() != Tag(3) {
            return Some(true); // There are none.
        }
        let all = elements(explicit.data)?;
        let all = elements(all.first()?.data)?;
        Some(all.iter().all(is_extension))
    };
    extensions().unwrap_or(false)
}

/// A value that is a sequence of object identifiers.
pub(crate) fn is_object_ids(value: &[u8]) -> bool {
    let ids = || {
        let (_, sequence) = Any::from_der(value).ok()?;
        elements(sequence.data)
    };
    ids().is_some_and(|ids| ids.iter().all(|id| is(id, Tag::Oid)))
}

/// A value that is a sequence of names: tags of their own, and of others put together only where they hold some (RFC 5280 §4.2.1.6).
pub(crate) fn is_names(value: &[u8]) -> bool {
    let names = || {
        let (_, sequence) = Any::from_der(value).ok()?;
        elements(sequence.data)
    };
    let is_name = |name: &Any<'_>| {
        let holds_others = matches!(name.tag().0, 0 | 3..=5);
        name.class() == Class::ContextSpecific && name.header.constructed() == holds_others
    };
    names().is_some_and(|names| names.iter().all(is_name))
}

/// What stands in the signed part, in its order.
fn fields(tbs: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, tbs) = Any::from_der(tbs).ok()?;
    elements(tbs.data)
}

fn elements(mut rest: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (after, element) = Any::from_der(rest).ok()?;
        found.push(element);
        rest = after;
    }
    Some(found)
}

fn is(element: &Any<'_>, tag: Tag) -> bool {
    element.class() == Class::Universal && element.tag() == tag && !element.header.constructed()
}

fn is_extension(extension: &Any<'_>) -> bool {
    let Some(parts) = elements(extension.data) else {
        return false;
    };
    match &parts[..] {
        [id, value] => is(id, Tag::Oid) && is(value, Tag::OctetString),
        [id, critical, value] => {
            is(id, Tag::Oid) && is(critical, Tag::Boolean) && is(value, Tag::OctetString)
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
