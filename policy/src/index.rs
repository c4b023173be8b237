//! The clauses that concern one caller, found by the first segment of the path.
//!
//! In: clauses and the indices of those that concern a caller on a listener. Out: the first of them, in the order of the file,
//! that matches a request. A policy names many paths and a request has one: what cannot match by its first segment is not
//! looked at, so that a hundred rules cost what a few do.
use crate::clause::{Asked, Clause, Effect};
use crate::{Canonical, Reading};
use config::name::Segment;
use std::collections::HashMap;

/// Indices into a list of clauses, each list in the order of the file.
#[derive(Debug)]
pub(crate) struct Index {
    all: Box<[usize]>,
    /// Those that may match whatever the first segment is.
    open: Box<[usize]>,
    /// Those all of whose paths begin with an exact segment, under each of these.
    by_first: HashMap<Box<str>, Vec<usize>>,
}

impl Index {
    pub(crate) fn new(clauses: &[Clause], concerning: Vec<usize>) -> Self {
        let mut open = Vec::new();
        let mut by_first: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for &at in &concerning {
            match first_segments(&clauses[at]) {
                None => open.push(at),
                Some(firsts) => {
                    for first in firsts {
                        let under = by_first.entry(first).or_default();
                        if under.last() != Some(&at) {
                            under.push(at);
                        }
                    }
                }
            }
        }
        Self {
            all: concerning.into(),
            open: open.into(),
            by_first,
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[usize] {
        &self.all
    }

    /// The first in the order of the file that matches. Does not allocate.
    pub(crate) fn first_match(
        &self,
        clauses: &[Clause],
        effect: Effect,
        asked: &Asked<'_>,
    ) -> Option<usize> {
        let matches = |at: &usize| clauses[*at].matches(asked);
        let path = match asked {
            // On tcp a clause that denies ignores its paths: none may be passed over.
            Asked::Tcp => return self.all.iter().copied().find(matches),
            Asked::Http { path, .. } => path.map(known),
        };
        // Nor where nothing of the path is sure.
        if path.is_some_and(|path| path.as_str().is_empty()) {
            return self.all.iter().copied().find(matches);
        }
        let named = path.and_then(|path| self.by_first.get(first_segment(effect.text_of(path))));
        let open = self.open.iter().copied().find(matches);
        let named = named.and_then(|under| under.iter().copied().find(matches));
        match (open, named) {
            (Some(open), Some(named)) => Some(open.min(named)),
            (open, named) => open.or(named),
        }
    }
}

/// What all readers agree on: all of a path, or its start.
fn known<'a>(path: &'a Reading<'a>) -> &'a Canonical<'a> {
    match path {
        Reading::Plain(path) | Reading::Resolved(path) => path,
        Reading::Doubtful(path) => path.start(),
    }
}

/// The first segments that a clause's paths begin with; `None` if one of them may begin with any, or if it names no paths.
fn first_segments(clause: &Clause) -> Option<Vec<Box<str>>> {
    let first = |segment: &Segment| match segment {
        Segment::Exact(text) => Some(Box::from(&**text)),
        Segment::Any(_) => None,
    };
    let paths = clause.paths.as_ref()?;
    paths
        .iter()
        .map(|path| path.segments().first().and_then(first))
        .collect()
}

fn first_segment(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').map_or(path, |(first, _)| first)
}
