//! One clause, compiled: which requests it matches, and which of its fields say no.
//!
//! In: a [`config::policy::Clause`] with the `from` of its rule. Out: a yes or no without allocation for the way to yes,
//! and the [`Field`]s that failed for the way to no.
//!
//! A clause that denies is read in doubt as matching: encoded delimiters in paths are compared decoded, a path with several
//! readings matches by any of them, a host without a port is one with any, and on tcp its HTTP fields are ignored. A clause that allows is read in doubt as not matching.
use crate::path::decode_delimiters;
use crate::verdict::shown;
use crate::{Ambiguous, Canonical, Reading, Request};
use config::name::SegmentPattern;
use config::{HostPattern, IdPattern, SpiffeId};
use std::sync::Arc;

/// What of a long list a sentence shows.
const WANTED_MAX: usize = 6;

/// What a clause does to what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

impl Effect {
    /// What of a path clauses of this effect are compared with.
    pub(crate) fn text_of<'a>(self, path: &'a Canonical<'_>) -> &'a str {
        match self {
            Self::Allow => path.as_str(),
            Self::Deny => path.delimiters_decoded(),
        }
    }
}

/// A field of a clause, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    From,
    Listeners,
    Protocol,
    Hosts,
    Methods,
    Paths,
}

impl Field {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::Listeners => "listeners",
            Self::Protocol => "protocol",
            Self::Hosts => "hosts",
            Self::Methods => "methods",
            Self::Paths => "paths",
        }
    }
}

/// A compiled clause.
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) effect: Effect,
    pub(crate) listeners: Option<Box<[Box<str>]>>,
    pub(crate) hosts: Option<Box<[HostPattern]>>,
    methods: Option<Methods>,
    pub(crate) paths: Option<Box<[SegmentPattern]>>,
    pub(crate) line: usize,
    pub(crate) rule: Arc<str>,
    pub(crate) from: Arc<[IdPattern]>,
}

/// A request, read once for all clauses.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Http {
        method: Method<'a>,
        host: &'a str,
        port: Option<u16>,
        path: Option<&'a Reading<'a>>,
    },
    Tcp,
}

impl Asked<'_> {
    /// Why its path has several readings, if it has.
    pub(crate) fn doubt(&self) -> Option<Ambiguous> {
        match self {
            Self::Http { path, .. } => path.and_then(Reading::doubt),
            Self::Tcp => None,
        }
    }
}

impl<'a> From<&Request<'a>> for Asked<'a> {
    fn from(request: &Request<'a>) -> Self {
        match *request {
            Request::Http {
                method,
                host,
                port,
                path,
            } => Self::Http {
                method: Method::of(method),
                host,
                port,
                path,
            },
            Request::Tcp => Self::Tcp,
        }
    }
}

impl Clause {
    pub(crate) fn compile(
        effect: Effect,
        rule: &Arc<str>,
        from: &Arc<[IdPattern]>,
        clause: &config::policy::Clause,
    ) -> Self {
        let path = |pattern: &config::PathPattern| match effect {
            Effect::Allow => pattern.segments().clone(),
            Effect::Deny => pattern
                .segments()
                .map_exact(|text| decode_delimiters(text).into()),
        };
        Self {
            effect,
            listeners: clause
                .listeners
                .as_ref()
                .map(|names| names.iter().map(|name| name.as_str().into()).collect()),
            hosts: clause.hosts.as_deref().map(Into::into),
            methods: clause.methods.as_deref().map(Methods::compile),
            paths: clause
                .paths
                .as_ref()
                .map(|paths| paths.iter().map(path).collect()),
            line: clause.line,
            rule: Arc::clone(rule),
            from: Arc::clone(from),
        }
    }

    /// Whether the rule of this clause names `caller`.
    pub(crate) fn is_from(&self, caller: &SpiffeId) -> bool {
        self.from.iter().any(|pattern| pattern.matches(caller))
    }

    /// The same for a caller that need not be a whole ID.
    pub(crate) fn is_from_path(&self, trust_domain: &str, path: &str) -> bool {
        self.from
            .iter()
            .any(|id| id.trust_domain().as_str() == trust_domain && id.path().matches(path))
    }

    pub(crate) fn denies(&self) -> bool {
        self.effect == Effect::Deny
    }

    /// The methods as written, `None` for any.
    pub(crate) fn methods(&self) -> Option<impl Iterator<Item = &str>> {
        self.methods
            .as_ref()
            .map(|methods| methods.written.iter().map(|name| &**name))
    }

    pub(crate) fn is_on(&self, listener: &str) -> bool {
        self.listeners
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| **name == *listener))
    }

    /// Whether `asked` matches, once caller and listener do.
    pub(crate) fn matches(&self, asked: &Asked<'_>) -> bool {
        match *asked {
            Asked::Tcp => self.matches_tcp(),
            Asked::Http {
                method,
                host,
                port,
                path,
            } => {
                self.matches_method(method)
                    && self.matches_path(path)
                    && self.matches_host(host, port)
            }
        }
    }

    pub(crate) fn matches_tcp(&self) -> bool {
        self.effect == Effect::Deny
            || self.hosts.is_none() && self.methods.is_none() && self.paths.is_none()
    }

    fn matches_host(&self, host: &str, port: Option<u16>) -> bool {
        // Who names no port may mean any.
        let any_port = self.denies() && port.is_none();
        self.hosts.as_ref().is_none_or(|hosts| {
            hosts.iter().any(|pattern| {
                let port = if any_port { pattern.port() } else { port };
                pattern.matches(host, port)
            })
        })
    }

    fn matches_method(&self, method: Method<'_>) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.contain(method))
    }

    fn matches_path(&self, path: Option<&Reading<'_>>) -> bool {
        let Some(patterns) = &self.paths else {
            return true;
        };
        let Some(path) = path else { return false };
        let doubtful = match path {
            Reading::Plain(path) | Reading::Resolved(path) => {
                let text = self.effect.text_of(path);
                return patterns.iter().any(|pattern| pattern.matches(text));
            }
            Reading::Doubtful(path) => path,
        };
        let start = self.effect.text_of(doubtful.start());
        patterns.iter().any(|pattern| match self.effect {
            Effect::Allow => pattern.matches_all_under(start),
            Effect::Deny => pattern.matches_any_under(start),
        })
    }

    /// The fields that fail, in their order.
    pub(crate) fn failures(
        &self,
        caller: &SpiffeId,
        listener: &str,
        asked: &Asked<'_>,
    ) -> impl Iterator<Item = Field> {
        let http = |matches: fn(&Self, &Asked<'_>) -> bool| {
            matches!(asked, Asked::Http { .. }) && !matches(self, asked)
        };
        [
            (Field::From, !self.is_from(caller)),
            (Field::Listeners, !self.is_on(listener)),
            (Field::Protocol, matches!(asked, Asked::Tcp) && !self.matches_tcp()),
            (Field::Hosts, http(|clause, asked| matches!(*asked, Asked::Http { host, port, .. } if clause.matches_host(host, port)))),
            (Field::Methods, http(|clause, asked| matches!(*asked, Asked::Http { method, .. } if clause.matches_method(method)))),
            (Field::Paths, http(|clause, asked| matches!(*asked, Asked::Http { path, .. } if clause.matches_path(path)))),
        ]
        .into_iter()
        .filter_map(|(field, failed)| failed.then_some(field))
    }

    /// What `field` wants, as written in the document.
    pub(crate) fn wanted(&self, field: Field) -> String {
        match field {
            Field::From => listed(self.from.iter().map(IdPattern::as_str)),
            Field::Listeners => listed(self.listeners.iter().flatten().map(|name| &**name)),
            Field::Hosts => listed(self.hosts.iter().flatten().map(HostPattern::as_str)),
            Field::Methods => listed(
                self.methods
                    .iter()
                    .flat_map(|methods| &methods.written)
                    .map(|name| &**name),
            ),
            Field::Paths => listed(self.paths.iter().flatten().map(SegmentPattern::as_str)),
            Field::Protocol => {
                let fields = [
                    ("hosts", self.hosts.is_some()),
                    ("methods", self.methods.is_some()),
                    ("paths", self.paths.is_some()),
                ];
                listed(
                    fields
                        .into_iter()
                        .filter(|(_, named)| *named)
                        .map(|(name, _)| name),
                )
            }
        }
    }
}

/// What was asked in the place of `field`.
pub(crate) fn asked_instead(
    field: Field,
    caller: &SpiffeId,
    listener: &str,
    asked: &Asked<'_>,
) -> String {
    match (field, asked) {
        (Field::From, _) => caller.as_str().to_owned(),
        (Field::Listeners, _) if listener.is_empty() => "a listener without a name".to_owned(),
        (Field::Listeners, _) => shown(listener),
        (Field::Hosts, Asked::Http { host: "", .. }) => "a request without a host".to_owned(),
        (
            Field::Hosts,
            Asked::Http {
                host,
                port: Some(port),
                ..
            },
        ) => format!("{}:{port}", shown(host)),
        (
            Field::Hosts,
            Asked::Http {
                host, port: None, ..
            },
        ) => shown(host),
        (Field::Methods, Asked::Http { method, .. }) => shown(method.text),
        (
            Field::Paths,
            Asked::Http {
                path: Some(path), ..
            },
        ) => path_asked(path),
        (Field::Paths, Asked::Http { path: None, .. }) => "a target without a path".to_owned(),
        (Field::Protocol, _) | (_, Asked::Tcp) => "tcp".to_owned(),
    }
}

fn path_asked(path: &Reading<'_>) -> String {
    match path {
        Reading::Plain(path) | Reading::Resolved(path) => shown(path.as_str()),
        Reading::Doubtful(path) => format!("all of {}/**", shown(path.start().as_str())),
    }
}

fn listed<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    let more = items.len().saturating_sub(WANTED_MAX);
    let shown = items[..items.len() - more].join(", ");
    if more == 0 {
        format!("[{shown}]")
    } else {
        format!("[{shown}, … {more} more]")
    }
}

/// A method and, if it is one of the usual ones, its bit.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    text: &'a str,
    bit: u16,
}

impl<'a> Method<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self {
            text,
            bit: known(text),
        }
    }
}

/// The methods of a clause: usual ones are one bit each, so that a clause costs one `and`.
#[derive(Debug)]
struct Methods {
    known: u16,
    written: Box<[Box<str>]>,
}

impl Methods {
    fn compile(names: &[String]) -> Self {
        Self {
            known: names
                .iter()
                .map(|name| known(name))
                .fold(0, |all, bit| all | bit),
            written: names.iter().map(|name| name.as_str().into()).collect(),
        }
    }

    fn contain(&self, method: Method<'_>) -> bool {
        if method.bit != 0 {
            self.known & method.bit != 0
        } else {
            self.written.iter().any(|name| **name == *method.text)
        }
    }
}

/// The bit of a usual method, 0 for any other. Case matters (RFC 9110 §9.1).
fn known(method: &str) -> u16 {
    match method {
        "GET" => 1,
        "HEAD" => 1 << 1,
        "POST" => 1 << 2,
        "PUT" => 1 << 3,
        "DELETE" => 1 << 4,
        "PATCH" => 1 << 5,
        "OPTIONS" => 1 << 6,
        "CONNECT" => 1 << 7,
        "TRACE" => 1 << 8,
        _ => 0,
    }
}
