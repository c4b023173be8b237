//! Whether all that one clause matches is matched by others: decided exactly.
//!
//! In: compiled clauses of one document, and what is known of the listeners. Out: those of the others that together
//! cover the clause, or `None`.
//!
//! Why a handful of requests decides about infinitely many. A clause matches a product of lists, and every item of a list
//! stands for one value or for all values of a kind. Put for each `{segment}`, absent field and open port a *fresh* value
//! that no document can name: what matches the fresh value does so by a `{segment}`, a `/**` or an absent field, and so
//! matches every other value in its place. `/**` is the union of its depths; one more than the deepest pattern of the
//! document has segments stands for all that are deeper. So the clause is covered if and only if each of these generic
//! requests is matched by one of the others. Where paths may come raw, a path with several readings is one more kind, for each
//! start that a clause which allows can be sure of; for one that denies nothing is added, since it matches by any reading.
use crate::Canonical;
use crate::Reading;
use crate::clause::{Asked, Clause, Method};
use crate::reading::Doubtful;
use config::name::{Segment, SegmentPattern};
use config::sidecar::{Inbound, Paths, Protocol};
use std::collections::BTreeSet;

/// In no grammar of a name.
const FRESH: &str = "\u{1}";
/// No pattern can name it.
const FRESH_PORT: Option<u16> = Some(0);

/// What the clauses of a document are compared within.
pub(crate) struct World<'a> {
    segments_max: usize,
    /// Whether paths with several readings are known to come to any listener.
    raw: bool,
    /// `None`: any names, each of either protocol.
    inbound: Option<&'a [Inbound]>,
}

/// All requests at once that are made alike.
enum Generic {
    Http {
        method: String,
        host: String,
        port: Option<u16>,
        path: Option<Reading<'static>>,
    },
    Tcp,
}

impl Generic {
    fn asked(&self) -> Asked<'_> {
        match self {
            Self::Tcp => Asked::Tcp,
            Self::Http {
                method,
                host,
                port,
                path,
            } => Asked::Http {
                method: Method::of(method),
                host,
                port: *port,
                path: path.as_ref(),
            },
        }
    }

    fn is_on(&self, protocol: Option<Protocol>) -> bool {
        match protocol {
            None => true,
            Some(Protocol::Tcp) => matches!(self, Self::Tcp),
            Some(Protocol::Http) => matches!(self, Self::Http { .. }),
        }
    }
}

impl<'a> World<'a> {
    pub(crate) fn of<'c>(
        clauses: impl Iterator<Item = &'c Clause>,
        inbound: Option<&'a [Inbound]>,
    ) -> Self {
        let deepest = |clause: &Clause| {
            let ids = clause.from.iter().map(|id| id.path());
            ids.chain(clause.paths.iter().flatten())
                .map(|pattern| pattern.segments().len())
                .max()
        };
        Self {
            segments_max: clauses.filter_map(deepest).max().unwrap_or(0),
            raw: inbound.is_some_and(|all| all.iter().any(|known| known.paths == Paths::Raw)),
            inbound,
        }
    }

    /// The indices of those among `others` that together match all that `clause` does. One alone is preferred, the
    /// earliest first. Empty if `clause` matches nothing.
    pub(crate) fn covering(&self, clause: &Clause, others: &[&Clause]) -> Option<BTreeSet<usize>> {
        let alone = (0..others.len()).find(|&other| {
            self.union_covering(clause, &others[other..=other])
                .is_some()
        });
        match alone {
            Some(other) => Some(BTreeSet::from([other])),
            None => self.union_covering(clause, others),
        }
    }

    fn union_covering(&self, clause: &Clause, others: &[&Clause]) -> Option<BTreeSet<usize>> {
        let mut used = BTreeSet::new();
        let mut requests = None;
        for (trust_domain, path) in self.callers(clause) {
            let naming: Vec<usize> = (0..others.len())
                .filter(|&other| others[other].is_from_path(trust_domain, &path))
                .collect();
            for (listener, protocol) in self.listeners(clause) {
                let near: Vec<usize> = naming
                    .iter()
                    .copied()
                    .filter(|&other| others[other].is_on(listener))
                    .collect();
                if near.is_empty() {
                    return None;
                }
                let requests = requests.get_or_insert_with(|| self.requests(clause));
                for request in requests.iter().filter(|request| request.is_on(protocol)) {
                    let asked = request.asked();
                    used.insert(
                        near.iter()
                            .copied()
                            .find(|&other| others[other].matches(&asked))?,
                    );
                }
            }
        }
        Some(used)
    }

    /// Trust domain and path of every caller that the clause names.
    fn callers<'c>(&self, clause: &'c Clause) -> impl Iterator<Item = (&'c str, String)> {
        clause.from.iter().flat_map(|id| {
            // An ID has a path and no trailing slash.
            let paths = self
                .expanded(id.path())
                .into_iter()
                .filter(|path| !path.is_empty() && !path.ends_with('/'));
            paths.map(|path| (id.trust_domain().as_str(), path))
        })
    }

    fn listeners<'c>(&'c self, clause: &'c Clause) -> Vec<(&'c str, Option<Protocol>)> {
        match (self.inbound, &clause.listeners) {
            (Some(inbound), _) => inbound
                .iter()
                .filter(|known| clause.is_on(&known.name))
                .map(|known| (known.name.as_str(), Some(known.protocol)))
                .collect(),
            (None, Some(names)) => names.iter().map(|name| (&**name, None)).collect(),
            (None, None) => vec![(FRESH, None)],
        }
    }

    fn requests(&self, clause: &Clause) -> Vec<Generic> {
        let hosts: Vec<(String, Option<u16>)> = match &clause.hosts {
            Some(hosts) => hosts
                .iter()
                .map(|host| (host.host().to_owned(), host.port().or(FRESH_PORT)))
                .collect(),
            None => vec![(FRESH.to_owned(), FRESH_PORT)],
        };
        let methods = clause.methods().map_or_else(
            || vec![FRESH.to_owned()],
            |names| names.map(str::to_owned).collect(),
        );
        let mut requests = Vec::new();
        if clause.matches(&Asked::Tcp) {
            requests.push(Generic::Tcp);
        }
        for path in self.paths(clause) {
            for (host, port) in &hosts {
                requests.extend(methods.iter().map(|method| Generic::Http {
                    method: method.clone(),
                    host: host.clone(),
                    port: *port,
                    path: path.clone(),
                }));
            }
        }
        requests
    }

    /// The paths that a clause matches, and the target without one.
    fn paths(&self, clause: &Clause) -> Vec<Option<Reading<'static>>> {
        let canonical =
            |text: String| (!text.is_empty()).then(|| Reading::Plain(Canonical::generic(text)));
        let mut paths: Vec<_> = match &clause.paths {
            Some(patterns) => patterns
                .iter()
                .flat_map(|pattern| self.expanded(pattern))
                .filter(|text| !text.is_empty())
                .map(canonical)
                .collect(),
            // Absent means any: `/**`, whose expansion begins with the empty path, which stands for no path here.
            None => self
                .depths(String::new(), 0)
                .into_iter()
                .map(canonical)
                .collect(),
        };
        if self.raw && !clause.denies() {
            let doubtful = |start| Some(Reading::Doubtful(Doubtful::generic(start)));
            match &clause.paths {
                Some(patterns) => {
                    let below = patterns.iter().filter(|pattern| pattern.below());
                    paths.extend(below.map(exact).map(doubtful));
                }
                None => paths.push(doubtful(String::new())),
            }
        }
        paths
    }

    /// One path for each kind of path that a pattern matches.
    fn expanded(&self, pattern: &SegmentPattern) -> Vec<String> {
        let path = exact(pattern);
        if pattern.below() {
            self.depths(path, pattern.segments().len())
        } else {
            vec![path]
        }
    }

    /// What `/**` behind `path` stands for: `path`, and each depth with and without a trailing slash.
    fn depths(&self, path: String, segments: usize) -> Vec<String> {
        let mut paths = vec![path.clone()];
        let mut path = path;
        for _ in segments..=self.segments_max {
            path.push('/');
            paths.push(path.clone());
            path.push_str(FRESH);
            paths.push(path.clone());
        }
        paths
    }
}

/// The segments of a pattern, each that may be any as one that no document can name.
fn exact(pattern: &SegmentPattern) -> String {
    let mut path = String::new();
    for segment in pattern.segments() {
        path.push('/');
        path.push_str(match segment {
            Segment::Exact(text) => text,
            Segment::Any(_) => FRESH,
        });
    }
    path
}
