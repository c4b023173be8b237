//! One certificate of a stranger, read as a leaf.

use crate::der;
use identity::{Facts, Leaf};
use std::time::{Duration, SystemTime};

/// What is taken for a leaf, and is DER to webpki too, is one to a second reading of RFC 5280 and X509-SVID.
pub fn check(data: &[u8]) {
    let _ = Facts::read(data);
    let Ok(leaf) = Leaf::parse(data) else {
        return;
    };
    let facts = Facts::read(data).expect("what is a leaf can be shown");
    assert_eq!(facts.not_after, leaf.not_after);
    // Nothing is believed that webpki cannot read: `verify` asks it too.
    if webpki::EndEntityCert::try_from(&data.into()).is_err() {
        return;
    }
    let read = Read::of(data).unwrap_or_else(|| panic!("{leaf:?} is not DER"));
    read.judge(&leaf);
}

/// What was signed of a certificate.
pub(crate) fn signed(certificate: &[u8]) -> Option<&[u8]> {
    let mut parts = der::only(certificate, der::SEQUENCE)?.content;
    Some(der::take(&mut parts, der::SEQUENCE)?.whole)
}

/// A certificate, taken apart by its tags alone.
struct Read<'a> {
    serial: &'a [u8],
    validity: [SystemTime; 2],
    /// Object identifier, whether critical, value.
    extensions: Vec<(&'a [u8], bool, &'a [u8])>,
}

const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
const CONTEXT_3: u8 = 0xa3;
const CONTEXT_PRIMITIVE_URI: u8 = 0x86;

impl<'a> Read<'a> {
    fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut parts = der::only(certificate, der::SEQUENCE)?.content;
        let mut tbs = der::take(&mut parts, der::SEQUENCE)?.content;
        let version = der::take(&mut tbs, der::CONTEXT_0)?.content;
        if version != [2, 1, 2] {
            return None;
        }
        let serial = der::take(&mut tbs, der::INTEGER)?.content;
        der::take(&mut tbs, der::SEQUENCE)?;
        der::take(&mut tbs, der::SEQUENCE)?;
        let mut validity = der::take(&mut tbs, der::SEQUENCE)?.content;
        let validity = [time(&mut validity)?, time(&mut validity)?];
        der::take(&mut tbs, der::SEQUENCE)?;
        der::take(&mut tbs, der::SEQUENCE)?;
        // issuerUniqueID and subjectUniqueID.
        for tag in [0x81, 0x82] {
            der::take(&mut tbs, tag);
        }
        let all = der::only(tbs, CONTEXT_3)?.content;
        let mut all = der::only(all, der::SEQUENCE)?.content;
        let mut extensions = Vec::new();
        while !all.is_empty() {
            let mut one = der::take(&mut all, der::SEQUENCE)?.content;
            let oid = der::take(&mut one, der::OID)?.content;
            let critical = der::take(&mut one, 1).is_some_and(|flag| flag.content != [0]);
            extensions.push((oid, critical, der::only(one, der::OCTET_STRING)?.content));
        }
        Some(Read {
            serial,
            validity,
            extensions,
        })
    }

    fn extension(&self, wanted: &[u8]) -> Option<(bool, &'a [u8])> {
        let mut found = self.extensions.iter().filter(|(oid, ..)| *oid == wanted);
        let (_, critical, value) = found.next()?;
        assert!(found.next().is_none(), "an extension is there twice");
        Some((*critical, value))
    }

    fn judge(&self, leaf: &Leaf) {
        assert!(self.serial.len() <= 21, "serial {:02x?}", self.serial);
        assert_eq!(self.validity, [leaf.not_before, leaf.not_after]);
        assert!(leaf.not_before <= leaf.not_after);

        let (_, names) = self.extension(SUBJECT_ALT_NAME).expect("a SAN");
        assert_eq!(uris(names), Some(vec![leaf.id.as_str().as_bytes()]));

        let (_, basic) = self.extension(BASIC_CONSTRAINTS).expect("constraints");
        let mut basic = der::only(basic, der::SEQUENCE)
            .expect("constraints")
            .content;
        let ca = der::take(&mut basic, 1).is_some_and(|flag| flag.content != [0]);
        assert!(!ca, "a leaf that may sign");

        let (critical, usage) = self.extension(KEY_USAGE).expect("a key usage");
        assert!(critical, "a key usage that is not critical");
        let bits = der::only(usage, der::BIT_STRING)
            .expect("a key usage")
            .content;
        let bits = bits.get(1).copied().unwrap_or(0);
        assert_eq!(bits & 0x80, 0x80, "digitalSignature");
        assert_eq!(bits & 0x06, 0, "keyCertSign and cRLSign");

        if let Some((_, usage)) = self.extension(EXTENDED_KEY_USAGE) {
            let mut rest = der::only(usage, der::SEQUENCE).expect("usages").content;
            let mut purposes = Vec::new();
            while let Some(purpose) = der::take(&mut rest, der::OID) {
                purposes.push(purpose.content);
            }
            assert!(rest.is_empty());
            assert!(purposes.contains(&SERVER_AUTH) && purposes.contains(&CLIENT_AUTH));
        }
        let understood = [
            SUBJECT_ALT_NAME,
            BASIC_CONSTRAINTS,
            KEY_USAGE,
            EXTENDED_KEY_USAGE,
            NAME_CONSTRAINTS,
        ];
        for (oid, critical, _) in &self.extensions {
            assert!(
                !critical || understood.contains(oid),
                "critical: {oid:02x?}"
            );
        }
    }
}

fn uris(names: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = der::only(names, der::SEQUENCE)?.content;
    let mut uris = Vec::new();
    while let Some(&tag) = names.first() {
        let name = der::take(&mut names, tag)?;
        if tag == CONTEXT_PRIMITIVE_URI {
            uris.push(name.content);
        }
    }
    Some(uris)
}

/// UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5).
fn time(input: &mut &[u8]) -> Option<SystemTime> {
    let (text, years) = match der::take(input, 0x17) {
        Some(short) => (short.content, 2),
        None => (der::take(input, 0x18)?.content, 4),
    };
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != years + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize, length: usize| {
        digits[at..at + length]
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
    };
    let year = match (years, number(0, years)) {
        (2, year @ 50..) => 1900 + year,
        (2, year) => 2000 + year,
        (_, year) => year,
    };
    let two = |at: usize| number(years + at, 2);
    let seconds = days(year, two(0), two(2)) * 86_400 + two(4) * 3600 + two(6) * 60 + two(8);
    match u64::try_from(seconds) {
        Ok(after) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    }
}

/// Since 1970, of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the odd day is its last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap + (153 * month + 2) / 5 + day - 1 - 719_468
}
