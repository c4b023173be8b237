//! Fields that belong to one hop, and those that claim an identity, in heads and in trailers.

use crate::headers::{strip_head, strip_trailers};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What goes is what a model says, and what stays keeps its order. Lines of `name: value`.
pub fn check(data: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':');
        let Some((name, value)) = colon.map(|at| (&line[..at], &line[at + 1..])) else {
            continue;
        };
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    head(&fields);
    trailers(&fields);
}

fn head(fields: &HeaderMap) {
    let named: Vec<String> = tokens(fields, "connection").collect();
    let is_named = |name: &str| {
        !matches!(name, "content-length" | "host") && named.iter().any(|other| other == name)
    };
    let stays = |name: &str| !is_claim(name) && !is_of_hop(name) && !is_named(name);
    let trailers = tokens(fields, "te").any(|token| token == "trailers");

    let mut stripped = fields.clone();
    let upgrade = strip_head(&mut stripped);
    let te: Vec<_> = stripped.get_all("te").iter().collect();
    assert_eq!(te, if trailers { vec!["trailers"] } else { vec![] });
    let left = pairs(&stripped, |name| name != "te" && !frames_others(name));
    let expected = pairs(fields, |name| stays(name) && !frames_others(name));
    assert_eq!(left, expected);
    let asks = named.iter().any(|token| token == "upgrade");
    let websocket = tokens(fields, "upgrade").any(|token| token == "websocket");
    assert_eq!(upgrade.websocket, asks && websocket);

    let once = stripped.clone();
    strip_head(&mut stripped);
    assert_eq!(stripped, once, "there was more to take away");
}

fn trailers(fields: &HeaderMap) {
    const NEVER: &[&str] = &[
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    let stays = |name: &str| !is_claim(name) && !NEVER.contains(&&*name.replace('_', "-"));
    let mut stripped = fields.clone();
    strip_trailers(&mut stripped);
    assert_eq!(pairs(&stripped, |_| true), pairs(fields, stays));
}

fn tokens<'a>(fields: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + 'a {
    let values = fields.get_all(name).into_iter();
    values.flat_map(|value| {
        let members = value.as_bytes().split(|byte| *byte == b',');
        members.map(|member| String::from_utf8_lossy(member.trim_ascii()).to_ascii_lowercase())
    })
}

fn is_claim(name: &str) -> bool {
    let name = name.replace('_', "-");
    let claims = ["x-countersign-", "x-envoy-", "l5d-", "dapr-caller-"];
    name == "x-forwarded-client-cert" || claims.iter().any(|claim| name.starts_with(claim))
}

/// What servers take for framing that hand fields on as variables: it goes where a message goes to such.
fn frames_others(name: &str) -> bool {
    matches!(
        &*name.replace('_', "-"),
        "content-length" | "transfer-encoding"
    ) && name.contains('_')
}

fn is_of_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade"
    )
}

fn pairs(fields: &HeaderMap, stays: impl Fn(&str) -> bool) -> Vec<(&str, &[u8])> {
    let all = fields.iter().filter(|(name, _)| stays(name.as_str()));
    all.map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}
