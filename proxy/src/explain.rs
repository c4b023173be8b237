//! `/explain`: what the policy in force would decide, asked by a person.
//!
//! In: `?from=ID&method=M&path=P&host=H&listener=L`, as `countersign policy explain` takes them (`tcp` in place of method and
//! path asks for a connection). Out: its one line.

use crate::wanted::Wanted;
use config::sidecar::Paths;
use config::{HostPattern, SpiffeId};
use daemon::pages::Page;
use http::{StatusCode, Uri};
use policy::explain::{Question, What};
use std::borrow::Cow;

const USAGE: &str = "ask with ?from=SPIFFE_ID&method=METHOD&path=PATH, and host= and listener= where clauses name them; \
                     ?from=SPIFFE_ID&tcp asks for a connection; values percent-encoded";

/// The page.
pub(crate) fn page(asked: &Uri, wanted: &Wanted) -> Page {
    match answer(asked.query().unwrap_or_default(), wanted) {
        Ok(answer) => Page::text(StatusCode::OK, answer),
        Err(why) => Page::text(StatusCode::BAD_REQUEST, format!("{why}; {USAGE}")),
    }
}

fn answer(query: &str, wanted: &Wanted) -> Result<String, String> {
    let asked = Asked::read(query)?;
    let from = asked.from.ok_or("`from` is missing")?;
    let from = SpiffeId::parse(&from).map_err(|error| format!("`from`: {error}"))?;
    let host = asked.host.map(|host| HostPattern::parse(&host));
    let host = host
        .transpose()
        .map_err(|error| format!("`host`: {error}"))?;
    let what = match (&asked.method, &asked.path, asked.tcp) {
        (None, None, true) if host.is_none() => What::Tcp,
        (_, _, true) => {
            return Err("`tcp` stands alone: a connection has no method, path or host".into());
        }
        (Some(method), Some(path), false) => What::Http {
            method,
            path,
            host: host.as_ref(),
        },
        (None, ..) => return Err("`method` is missing".into()),
        (_, None, _) => return Err("`path` is missing".into()),
    };
    let listener = asked.listener.as_deref().unwrap_or_default();
    let mut inbound = wanted.config.inbound.iter();
    let named = inbound.find(|inbound| inbound.name == listener);
    let question = Question {
        from: &from,
        listener,
        paths: named.map_or(Paths::Strict, |inbound| inbound.paths),
        what,
    };
    Ok(question.answer(&wanted.rules).to_string())
}

/// As it stands in the query.
#[derive(Default)]
struct Asked<'a> {
    from: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
    path: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
    listener: Option<Cow<'a, str>>,
    tcp: bool,
}

impl<'a> Asked<'a> {
    fn read(query: &'a str) -> Result<Self, String> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "tcp" => {
                    asked.tcp = true;
                    continue;
                }
                "from" => &mut asked.from,
                "method" => &mut asked.method,
                "path" => &mut asked.path,
                "host" => &mut asked.host,
                "listener" => &mut asked.listener,
                _ => return Err(format!("`{}` is not asked for", name.escape_debug())),
            };
            let value =
                decoded(value).ok_or_else(|| format!("`{name}` is not percent-encoded text"))?;
            if slot.replace(value).is_some() {
                return Err(format!("`{name}` stands twice"));
            }
        }
        Ok(asked)
    }
}

/// Percent-decoded, once: what was asked about may itself be encoded. `None`: not in the form of RFC 3986 §2.1, or no UTF-8.
pub(crate) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_once() {
        for (text, plain) in [
            ("/a", Some("/a")),
            ("%2Fa%2fb", Some("/a/b")),
            ("%252F", Some("%2F")),
            ("%2", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(text).as_deref(), plain, "{text}");
        }
    }
}
