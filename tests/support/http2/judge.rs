//! Whether what came of a sequence is what was expected. Pure, so that it can be shown to fail.

use super::notation::{bytes, field, number, split};
use super::wire::{End, Heard, Seen, text};
use crate::support::app::Seen as AtApp;
use http::{HeaderMap, HeaderName};

/// What is expected of a sequence. The corpus says what the words mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The connection ends with one of these codes.
    GoAway(Vec<u32>),
    /// The connection ends, and nothing was answered.
    Closed,
    /// A stream is reset with one of these codes; empty: with any.
    Reset(u32, Vec<u32>),
    /// A stream is answered whole.
    Answer(u32, Answer),
    /// A stream is reset, or answered 502 by a sidecar: whichever comes first.
    Broken(u32),
    /// A stream began to be answered, and did not end.
    Open(u32),
    /// The connection goes on.
    Alive,
    /// No byte of a request came to the app.
    Nothing,
    /// No request came to the app whole.
    Unfinished,
    /// This came to the app, and nothing besides.
    App(Box<Request>),
    /// The app's stream was reset, with one of these codes.
    ServerReset(Vec<u32>),
    /// The app was told that its connection ends, with one of these codes.
    ServerGoAway(Vec<u32>),
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u32,
    /// Of an answer of a sidecar; empty: it is none.
    pub reason: String,
    pub has: Vec<(Vec<u8>, Vec<u8>)>,
    pub has_not: Vec<String>,
    pub body: Option<Vec<u8>>,
}

/// A request at the app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub authority: String,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is expected, of a column.
pub fn expectations(column: &str) -> Result<Vec<Expected>, String> {
    let each = split(column, ';');
    let read: Result<Vec<_>, _> = each
        .iter()
        .map(|text| expectation(text).map_err(|why| format!("{text}: {why}")))
        .collect();
    read
}

fn expectation(column: &str) -> Result<Expected, String> {
    let words = split(column, ' ');
    let (what, words) = words.split_first().ok_or("nothing")?;
    let word = |at: usize| {
        words
            .get(at)
            .copied()
            .ok_or_else(|| format!("word {} is missing", at + 1))
    };
    match (*what, words) {
        ("GOAWAY", [codes_of]) => Ok(Expected::GoAway(codes(codes_of)?)),
        ("CLOSED", []) => Ok(Expected::Closed),
        ("RST", [stream, codes_of]) => Ok(Expected::Reset(number(stream)?, codes(codes_of)?)),
        ("BROKEN", [stream]) => Ok(Expected::Broken(number(stream)?)),
        ("OPEN", [stream]) => Ok(Expected::Open(number(stream)?)),
        ("ALIVE", []) => Ok(Expected::Alive),
        ("SERVER", ["RST", codes_of]) => Ok(Expected::ServerReset(codes(codes_of)?)),
        ("SERVER", ["GOAWAY", codes_of]) => Ok(Expected::ServerGoAway(codes(codes_of)?)),
        ("APP", ["nothing"]) => Ok(Expected::Nothing),
        ("APP", ["unfinished"]) => Ok(Expected::Unfinished),
        ("APP", [method, target, rest @ ..]) => {
            let mut request = Request {
                method: (*method).into(),
                target: (*target).into(),
                authority: "orders".into(),
                ..Request::default()
            };
            for word in rest {
                if let Some(body) = word.strip_prefix("body=") {
                    request.body = bytes(body)?;
                } else if let Some(authority) = word.strip_prefix(":authority=") {
                    request.authority = authority.into();
                } else if let Some(trailer) = word.strip_prefix("trailer:") {
                    request.trailers.push(field(trailer)?);
                } else {
                    request.fields.push(field(word)?);
                }
            }
            Ok(Expected::App(Box::new(request)))
        }
        ("ANSWER", [_, _, rest @ ..]) => {
            let mut answer = Answer {
                status: number(word(1)?)?,
                ..Answer::default()
            };
            for word in rest {
                if let Some(body) = word.strip_prefix("body=") {
                    answer.body = Some(bytes(body)?);
                } else if let Some(name) = word.strip_prefix('!') {
                    answer.has_not.push(name.into());
                } else if word.contains('=') {
                    answer.has.push(field(word)?);
                } else {
                    answer.reason = (*word).into();
                }
            }
            Ok(Expected::Answer(number(word(0)?)?, answer))
        }
        _ => Err("is nothing that can be expected".into()),
    }
}

/// `1/9`: one of these; `*`: any.
fn codes(word: &str) -> Result<Vec<u32>, String> {
    match word {
        "*" => Ok(Vec::new()),
        word => word.split('/').map(number).collect(),
    }
}

fn is_one(code: u32, codes: &[u32]) -> bool {
    codes.is_empty() || codes.contains(&code)
}

impl Expected {
    fn stream(&self) -> Option<u32> {
        match self {
            Self::Reset(stream, _)
            | Self::Answer(stream, _)
            | Self::Open(stream)
            | Self::Broken(stream) => Some(*stream),
            _ => None,
        }
    }
    fn is_end(&self) -> bool {
        matches!(self, Self::GoAway(_) | Self::Closed)
    }
}

/// Whether something was refused that the metrics must name.
pub fn is_refusal(expected: &Expected) -> bool {
    match expected {
        Expected::GoAway(_) => true,
        Expected::Reset(_, codes) => !codes.iter().all(|code| matches!(code, 0 | 8)),
        _ => false,
    }
}

/// Whether nothing more has to be waited for.
pub fn is_settled(expected: &[Expected], seen: &Seen) -> bool {
    let is_over = |stream| seen.streams.get(&stream).is_some_and(Heard::is_over);
    let ends = expected.iter().any(Expected::is_end);
    let mut closing = expected
        .iter()
        .filter(|it| !matches!(it, Expected::Open(_)));
    seen.end.is_some() || !ends && closing.all(|it| it.stream().is_none_or(is_over))
}

/// Whether what a client saw is what was expected; else why not.
pub fn client(expected: &[Expected], seen: &Seen) -> Result<(), String> {
    for (stream, heard) in &seen.streams {
        let named = expected.iter().any(|it| it.stream() == Some(*stream));
        // Of other streams of a connection that ends anything may have come, but for an answer where there is none.
        let ends = expected.iter().any(|it| matches!(it, Expected::GoAway(_)));
        if !named && !ends {
            return Err(format!(
                "of stream {stream} nothing was expected, but {heard:?} came"
            ));
        }
    }
    if let Some(code) = seen.goaway
        && !expected.iter().any(Expected::is_end)
    {
        return Err(format!("the connection ended with {code}"));
    }
    expected.iter().try_for_each(|it| one(it, seen))
}

fn one(expected: &Expected, seen: &Seen) -> Result<(), String> {
    let heard = |stream: u32| {
        seen.streams
            .get(&stream)
            .ok_or(format!("nothing came of stream {stream}"))
    };
    match expected {
        Expected::GoAway(codes) => match (seen.goaway, seen.end) {
            (_, None) => Err("the connection goes on".into()),
            // A reset may overtake what was said before it.
            (None, Some(End::Reset)) => Ok(()),
            (None, Some(End::Closed)) => Err("the connection ended without a word".into()),
            (Some(code), _) if is_one(code, codes) => Ok(()),
            (Some(code), _) => Err(format!("the connection ended with {code}")),
        },
        Expected::Closed if seen.end.is_none() => Err("the connection goes on".into()),
        Expected::Reset(stream, codes) => match heard(*stream)? {
            Heard {
                reset: Some(code),
                ended: false,
                ..
            } if is_one(*code, codes) => Ok(()),
            heard => Err(format!("stream {stream} was not reset so: {heard:?}")),
        },
        Expected::Broken(stream) => match heard(*stream)? {
            Heard {
                reset: Some(_),
                ended: false,
                ..
            } => Ok(()),
            heard if is_refused(heard) => Ok(()),
            heard => Err(format!("stream {stream} did not break: {heard:?}")),
        },
        Expected::Open(stream) => match heard(*stream)? {
            open if !open.is_over() => Ok(()),
            over => Err(format!("stream {stream} is over: {over:?}")),
        },
        Expected::Answer(stream, answer) => answer
            .judge(heard(*stream)?)
            .map_err(|why| format!("stream {stream}: {why}")),
        _ => Ok(()),
    }
}

/// Whether a sidecar says that the app did not answer.
fn is_refused(heard: &Heard) -> bool {
    let head = heard.head().unwrap_or_default();
    let status = text(head, ":status");
    heard.is_over() && status.as_deref() == Some("502") && text(head, "proxy-status").is_some()
}

impl Answer {
    fn judge(&self, heard: &Heard) -> Result<(), String> {
        let head = heard.head().ok_or(format!("no answer: {heard:?}"))?;
        let told = text(head, "proxy-status").unwrap_or_default();
        let reason = told
            .split("details=\"")
            .nth(1)
            .and_then(|it| it.split('"').next());
        let status = text(head, ":status").unwrap_or_default();
        if (status.as_str(), reason.unwrap_or_default())
            != (self.status.to_string().as_str(), self.reason.as_str())
        {
            return Err(format!("answered {status} {}", reason.unwrap_or_default()));
        }
        if !heard.ended {
            return Err(format!("its answer did not end well: {heard:?}"));
        }
        let all = || heard.blocks.iter().flatten();
        for (name, value) in &self.has {
            if !all().any(|held| (&held.0, &held.1) == (name, value)) {
                return Err(format!(
                    "{} is missing in {heard:?}",
                    String::from_utf8_lossy(name)
                ));
            }
        }
        if let Some(name) = self
            .has_not
            .iter()
            .find(|name| all().any(|held| held.0 == name.as_bytes()))
        {
            return Err(format!("{name} is in {heard:?}"));
        }
        match &self.body {
            Some(body) if *body != heard.body => Err(format!(
                "its body is {:?}",
                String::from_utf8_lossy(&heard.body)
            )),
            _ => Ok(()),
        }
    }
}

/// Whether what came to the app, `begun` requests and of these `whole` ones, is what was expected.
pub fn app(expected: &[Expected], begun: u64, whole: &[AtApp]) -> Result<(), String> {
    let requests: Vec<_> = expected
        .iter()
        .filter_map(|it| match it {
            Expected::App(request) => Some(request),
            _ => None,
        })
        .collect();
    let unfinished = expected.contains(&Expected::Unfinished);
    if whole.len() != requests.len() {
        return Err(format!(
            "{} requests came to the app whole: {whole:?}",
            whole.len()
        ));
    }
    if begun != requests.len() as u64 && !unfinished {
        return Err(format!("{begun} requests came to the app"));
    }
    requests
        .iter()
        .zip(whole)
        .try_for_each(|(request, came)| request.judge(came))
}

/// What sidecars add to a request.
const ADDED: [&str; 3] = [
    "x-forwarded-client-cert",
    "x-countersign-hops",
    "x-request-id",
];

impl Request {
    fn judge(&self, came: &AtApp) -> Result<(), String> {
        let line = (
            came.method.as_str(),
            came.target.as_str(),
            came.authority.as_str(),
        );
        if line != (&*self.method, &*self.target, &*self.authority) {
            return Err(format!("the app got {line:?}"));
        }
        let mut fields = came.headers.clone();
        for name in ADDED {
            fields.remove(name);
        }
        if fields != map(&self.fields) {
            return Err(format!("the app got {fields:?}"));
        }
        if came.body != self.body {
            return Err(format!("the app got the body {:?}", came.body));
        }
        let trailers = came.trailers.clone().unwrap_or_default();
        if trailers != map(&self.trailers) {
            return Err(format!("the app got the trailers {trailers:?}"));
        }
        Ok(())
    }
}

fn map(fields: &[(Vec<u8>, Vec<u8>)]) -> HeaderMap {
    let field = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let name = HeaderName::from_bytes(name).expect("what comes to an app has names");
        (name, value.as_slice().try_into().expect("and values"))
    };
    let mut all = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        all.append(name, value);
    }
    all
}

/// Whether what an app was told of a stream and its connection, `reset` and `goaway`, is what was expected.
pub fn server(
    expected: &[Expected],
    reset: Option<u32>,
    goaway: Option<u32>,
) -> Result<(), String> {
    let told = |what: &str, code: Option<u32>, codes: &[u32]| match code {
        Some(code) if is_one(code, codes) => Ok(()),
        other => Err(format!("the app was told {other:?} by {what}")),
    };
    expected.iter().try_for_each(|it| match it {
        Expected::ServerReset(codes) => told("RST_STREAM", reset, codes),
        Expected::ServerGoAway(codes) => told("GOAWAY", goaway, codes),
        _ => Ok(()),
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
