//! How field names are spelled: remembered of a head that is read, and put back into one that was written without it.
//!
//! Names mean the same in any case (RFC 9110 §5.1). Who writes a head from what was read of another writes them in lower case; devices
//! and scripts that do not read HTTP see the difference.

use super::class::{TOKEN, run, run_of_value};

/// Adds a name to those that were read: its length, itself as it will be written, and as it came. One that is longer than two bytes
/// can say does not get here.
pub(super) fn remember(names: &mut Vec<u8>, name: &[u8]) {
    if let Ok(length) = u16::try_from(name.len()) {
        names.extend_from_slice(&length.to_be_bytes());
        let lower = names.len();
        names.extend_from_slice(name);
        names[lower..].make_ascii_lowercase();
        names.extend_from_slice(name);
    }
}

/// A name that was read.
#[derive(Clone, Copy, Default)]
struct Name<'a> {
    lower: &'a [u8],
    spelled: &'a [u8],
}

/// The first of some names, and the others.
fn first(names: &[u8]) -> Option<(Name<'_>, &[u8])> {
    let (length, rest) = names.split_first_chunk()?;
    let length = u16::from_be_bytes(*length).into();
    let (lower, rest) = rest.split_at_checked(length)?;
    let (spelled, rest) = rest.split_at_checked(length)?;
    Some((Name { lower, spelled }, rest))
}

/// A head is compared with the names that were read so often at most: they are few, and nearly always in its order.
const LOOKS_MAX: usize = 16 * 1024;

/// Spells the names of a head, which are in lower case, in place as `names` do: of fields of one name each as the one that came at its
/// place among them. Others stay as they are. Nothing but letters' case changes. Where the head ends; `None`: these bytes do not begin with one.
///
/// `names` are [`Requests::names`](super::Requests::names) or [`Answers::names`](super::Answers::names) of the head that was read.
pub(crate) fn spell(written: &mut [u8], names: &[u8]) -> Option<usize> {
    let mut names = Names::of(names);
    let mut at = line(written, 0)?;
    loop {
        let rest = &mut written[at..];
        if rest.starts_with(b"\r\n") {
            return Some(at + 2);
        }
        let length = match names.next_in(rest) {
            Some(length) => length,
            None => {
                let (name, after) = rest.split_at_mut(run(rest, TOKEN));
                if after.first() != Some(&b':') {
                    return None;
                }
                names.spell(name);
                name.len()
            }
        };
        at = line(written, at + length + 1)?;
    }
}

/// Where a line ends of which there are only values from there on.
fn line(bytes: &[u8], from: usize) -> Option<usize> {
    let end = from + run_of_value(bytes.get(from..)?);
    bytes[end..].starts_with(b"\r\n").then_some(end + 2)
}

/// Names that were read, and how far they were written.
struct Names<'a> {
    all: &'a [u8],
    /// Those before which none is awaited: heads keep the order of names.
    next: &'a [u8],
    /// The one that was found last, and those that follow it.
    last: Name<'a>,
    after: &'a [u8],
    looks: usize,
}

impl<'a> Names<'a> {
    fn of(all: &'a [u8]) -> Self {
        Self {
            all,
            next: all,
            last: Name::default(),
            after: all,
            looks: 0,
        }
    }
    /// Spells the name with which a line begins if it is the next one. Its length.
    fn next_in(&mut self, line: &mut [u8]) -> Option<usize> {
        let (name, after) = first(self.next)?;
        let (written, [b':', ..]) = line.split_at_mut_checked(name.lower.len())? else {
            return None;
        };
        if written != name.lower {
            return None;
        }
        written.copy_from_slice(name.spelled);
        (self.next, self.last, self.after) = (after, name, after);
        Some(name.lower.len())
    }
    /// Spells a name that is another. Fields of one name follow one another in what is written.
    fn spell(&mut self, written: &mut [u8]) {
        let is_again = written == self.last.lower;
        let found = match is_again {
            true => self.look(written, self.after),
            false => self
                .look(written, self.next)
                .or_else(|| self.look(written, self.all)),
        };
        let Some((name, after)) = found else {
            return;
        };
        written.copy_from_slice(name.spelled);
        (self.last, self.after) = (name, after);
        if !is_again {
            self.next = after;
        }
    }
    fn look(&mut self, wanted: &[u8], among: &'a [u8]) -> Option<(Name<'a>, &'a [u8])> {
        let mut rest = among;
        while self.looks < LOOKS_MAX {
            self.looks += 1;
            let (name, after) = first(rest)?;
            if name.lower == wanted {
                return Some((name, after));
            }
            rest = after;
        }
        None
    }
}
