//! Where a request has been, and whether it is sent again: the marks that sidecars leave on requests for each other.
//!
//! A hop is a keyed hash of who passes a request on, which way, and what it asks for. A sidecar that meets its own hop on a
//! request would do once more what it did before: that is a loop, and ends at this first repeat, however many sidecars and
//! apps it leads through, as long as they pass the header on. The same caller asking for something else is none.
//!
//! 1. Marks only refuse a request, or forbid that it is sent again: who forges them harms their own requests, and nobody can
//!    know the hops of a sidecar that never served them.
//! 2. They are read once, removed, and written anew; however much came, [`HOPS_MAX`] hops go on.
//!
//! A request costs a hash of its target and one small allocation.

use crate::ordered;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};

/// The hops so far, 16 hex digits each.
static HOPS: HeaderName = HeaderName::from_static("x-countersign-hops");
/// Which sending of a request this is, from the second on.
static ATTEMPT: HeaderName = HeaderName::from_static("x-countersign-attempt");

/// Sixteen services that each pass all headers on are a long way; a loop in which each round asks for something else ends here.
const HOPS_MAX: usize = 32;
/// How many fields marks and a request's id take of a head, and how many bytes, beyond what callers may send.
pub(crate) const FIELDS: usize = 3;
/// See [`FIELDS`].
pub(crate) const BYTES: usize = 1024;
const DIGITS: usize = 16;

/// What a request came with.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    hops: Option<HeaderValue>,
    attempt: Option<HeaderValue>,
}

impl Marks {
    /// Takes them out of a head. Two look-ups where there are none.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let mut lines = headers.get_all(&HOPS).iter();
        let hops = match (lines.next(), lines.next()) {
            (None, _) => None,
            (Some(line), None) => Some(line.clone()),
            (Some(_), Some(_)) => {
                let lines = headers.get_all(&HOPS).into_iter();
                let all: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
                HeaderValue::from_bytes(&all.join(&b',')).ok()
            }
        };
        let attempt = headers.get(&ATTEMPT).cloned();
        if hops.is_some() || attempt.is_some() {
            ordered::remove(headers, |name| *name == HOPS || *name == ATTEMPT);
        }
        Self { hops, attempt }
    }
    /// Whether a sidecar sent it.
    pub(crate) fn are_of_sidecar(&self) -> bool {
        self.hops.is_some()
    }
    /// Whether somebody before us sends it again already.
    pub(crate) fn is_retry(&self) -> bool {
        self.attempt.is_some()
    }
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It was here before.
    Loop,
    /// It has come further than any.
    TooFar,
}

impl Lost {
    /// A label that never changes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::TooFar => "too_many_hops",
        }
    }
}

/// The key of one sidecar's hops.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    key: RandomState,
}

impl Trail {
    /// Of a sidecar that nobody has met.
    pub(crate) fn new() -> Self {
        Self {
            key: RandomState::new(),
        }
    }
    /// Marks a request that is about to be passed on, or says why it must not be. `what` is which way it goes, to whom, and
    /// what it asks for.
    pub(crate) fn mark(
        &self,
        came: &Marks,
        what: [&str; 4],
        headers: &mut HeaderMap,
    ) -> Result<(), Lost> {
        let own = digits(self.key.hash_one(what));
        let mut line = [0; (DIGITS + 1) * HOPS_MAX];
        let mut length = 0;
        for hop in came.hops.iter().flat_map(hops) {
            if hop == own {
                return Err(Lost::Loop);
            }
            let place = line.get_mut(length..length + DIGITS + 1);
            // The last place is for our own.
            let place = place.filter(|_| length + 2 * (DIGITS + 1) <= (DIGITS + 1) * HOPS_MAX);
            let place = place.ok_or(Lost::TooFar)?;
            place[..DIGITS].copy_from_slice(hop);
            place[DIGITS] = b',';
            length += DIGITS + 1;
        }
        line[length..length + DIGITS].copy_from_slice(&own);
        if let Ok(mut value) = HeaderValue::from_bytes(&line[..length + DIGITS]) {
            // It differs from request to request: it must not drive others out of HPACK's table.
            value.set_sensitive(true);
            headers.insert(HOPS.clone(), value);
        }
        if let Some(attempt) = &came.attempt {
            let read = attempt.as_bytes();
            let plain = matches!(read.len(), 1 | 2) && read.iter().all(u8::is_ascii_digit);
            let second = || HeaderValue::from_static("2");
            let attempt = if plain { attempt.clone() } else { second() };
            headers.insert(ATTEMPT.clone(), attempt);
        }
        Ok(())
    }
}

/// Marks a request that is sent for the nth time.
pub(crate) fn mark_attempt(headers: &mut HeaderMap, nth: usize) {
    headers.insert(ATTEMPT.clone(), HeaderValue::from(nth.min(99)));
}

/// The hops of a line; what is none was not written by a sidecar, and says nothing.
fn hops(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let is_hop = |hop: &&[u8]| {
        hop.len() == DIGITS
            && hop
                .iter()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(c))
    };
    let items = line.as_bytes().split(|byte| *byte == b',');
    items.map(<[u8]>::trim_ascii).filter(is_hop)
}

fn digits(hash: u64) -> [u8; DIGITS] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| HEX[usize::from((hash >> (60 - 4 * place)) as u8 & 15)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const OUT: [&str; 4] = ["out", "orders", "GET", "/a"];
    const IN: [&str; 4] = ["in", "web", "GET", "/a"];

    /// Passes a head through one sidecar.
    fn pass(trail: &Trail, headers: &mut HeaderMap, what: [&str; 4]) -> Result<(), Lost> {
        let marks = Marks::take(headers);
        trail.mark(&marks, what, headers)
    }

    #[test]
    fn a_loop_ends_at_the_first_repeat_also_around_two_sidecars() {
        let (one, other) = (Trail::new(), Trail::new());
        let mut headers = HeaderMap::new();
        assert_eq!(pass(&one, &mut headers, OUT), Ok(()));
        assert_eq!(pass(&other, &mut headers, IN), Ok(()));
        let mut to_itself = headers.clone();
        assert_eq!(pass(&one, &mut headers, OUT), Err(Lost::Loop));
        assert_eq!(pass(&other, &mut to_itself, IN), Err(Lost::Loop));
    }

    #[test]
    fn another_sidecar_another_way_and_another_request_are_no_repeat() {
        let one = Trail::new();
        let mut headers = HeaderMap::new();
        assert_eq!(pass(&one, &mut headers, OUT), Ok(()));
        for what in [
            IN,
            ["out", "ledger", "GET", "/a"],
            ["out", "orders", "POST", "/a"],
            ["out", "orders", "GET", "/a?page=2"],
            ["out", "order", "sGET", "/a"],
        ] {
            assert_eq!(pass(&one, &mut headers.clone(), what), Ok(()), "{what:?}");
        }
        assert_eq!(pass(&Trail::new(), &mut headers, OUT), Ok(()));
    }

    #[test]
    fn a_loop_whose_rounds_differ_ends_too_and_marks_stay_bounded() {
        let one = Trail::new();
        let mut headers = HeaderMap::new();
        let mut path = String::from("/");
        for _ in 0..HOPS_MAX {
            assert_eq!(pass(&one, &mut headers, ["out", "s", "GET", &path]), Ok(()));
            path.push('x');
            assert!(headers[&HOPS].len() <= (DIGITS + 1) * HOPS_MAX);
            assert!(HOPS.as_str().len() + headers[&HOPS].len() + 64 <= BYTES);
        }
        let last = pass(&one, &mut headers, ["out", "s", "GET", &path]);
        assert_eq!(last, Err(Lost::TooFar));
    }

    #[test]
    fn what_no_sidecar_wrote_says_nothing_and_does_not_go_on() {
        let one = Trail::new();
        let mut headers = HeaderMap::new();
        for forged in [
            "",
            ",,,",
            "0123456789ABCDEF",
            "0123456789abcde",
            "\u{a7}",
            " 00000000000000aa ,x",
        ] {
            headers.append(
                HOPS.clone(),
                HeaderValue::from_bytes(forged.as_bytes()).unwrap(),
            );
        }
        headers.insert(ATTEMPT.clone(), HeaderValue::from_static("never; x"));
        let marks = Marks::take(&mut headers);
        assert!(headers.is_empty() && marks.is_retry());
        assert_eq!(one.mark(&marks, OUT, &mut headers), Ok(()));
        let hops = headers[&HOPS].to_str().unwrap();
        assert!(
            hops.starts_with("00000000000000aa,") && hops.len() == 33,
            "{hops}"
        );
        assert_eq!(headers[&ATTEMPT], "2");
    }

    #[test]
    fn a_request_without_marks_is_the_first_sending() {
        let mut headers = HeaderMap::new();
        let marks = Marks::take(&mut headers);
        assert!(!marks.is_retry());
        assert_eq!(Trail::new().mark(&marks, OUT, &mut headers), Ok(()));
        assert_eq!(headers.len(), 1);
        mark_attempt(&mut headers, 3);
        assert!(Marks::take(&mut headers).is_retry());
    }
}
