//! `/connections`: what is open at the listeners, the oldest first.
//!
//! In: the listeners, `?listener=NAME`. Out: a JSON document. Looked at without stopping anything: who connects waits for as
//! long as it takes to copy some pointers.
//!
//! 1. However many are open, at most [`SHOWN_MAX`] are shown, and it is said that there are more.

use crate::explain::decoded;
use crate::open::{Connection, Kind, Opened};
use crate::version::Version;
use daemon::pages::Page;
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use telemetry::Direction;

/// How many connections are shown: more than anybody reads, in less than half a mebibyte.
const SHOWN_MAX: usize = 1000;

/// A listener that carries traffic, as the pages show it.
pub(crate) struct Listens {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Which way it looks.
    pub(crate) direction: Direction,
    /// Its port, if it has one: the one that it got where the configuration says 0.
    pub(crate) at: Option<SocketAddr>,
    /// It is not configured any more, and has had connections.
    pub(crate) leaves: bool,
    /// What is open there.
    pub(crate) opened: Arc<Opened>,
}

/// The page.
pub(crate) fn page(asked: &Uri, listeners: &[Listens]) -> Page {
    match wanted(asked.query().unwrap_or_default()) {
        Ok(None) => Page::json(format!("{:#}\n", document(listeners.iter()))),
        Ok(Some(name)) => {
            let mut named = listeners.iter().filter(|it| *it.name == *name).peekable();
            if named.peek().is_some() {
                return Page::json(format!("{:#}\n", document(named)));
            }
            let why = format!("no listener `{}`", name.escape_debug());
            Page::text(StatusCode::NOT_FOUND, why)
        }
        Err(why) => Page::text(StatusCode::BAD_REQUEST, why),
    }
}

fn wanted(query: &str) -> Result<Option<String>, String> {
    let usage = "ask with ?listener=NAME for those of one listener, without for all";
    let mut wanted = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.strip_prefix("listener=").and_then(decoded);
        let Some(name) = name.filter(|_| wanted.is_none()) else {
            return Err(format!("`{}`: {usage}", pair.escape_debug()));
        };
        wanted = Some(name.into_owned());
    }
    Ok(wanted)
}

fn document<'a>(listeners: impl Iterator<Item = &'a Listens>) -> Value {
    let (mut open, mut oldest) = (0, Vec::new());
    for listener in listeners {
        let (count, connections) = listener.opened.oldest(SHOWN_MAX);
        open += count;
        oldest.extend(connections.into_iter().map(|it| (listener, it)));
    }
    oldest.sort_by_key(|(_, connection)| connection.since);
    oldest.truncate(SHOWN_MAX);
    let shown = oldest.iter().map(|(listener, it)| line(listener, it));
    let shown: Vec<_> = shown.collect();
    let note = (shown.len() < open)
        .then(|| format!("{open} are open, and these are the {SHOWN_MAX} oldest; ?listener=NAME shows those of one listener"));
    json!({ "open": open, "note": note, "connections": shown })
}

fn line(listener: &Listens, connection: &Connection) -> Value {
    let (protocol, requests) = match connection.kind() {
        None => ("unknown", None),
        Some(Kind::Tcp) => ("tcp", None),
        Some(Kind::Http(version, facts)) => {
            let (open, upgraded) = facts.exchanges();
            let requests =
                json!({ "begun": facts.begun(), "inFlight": open, "upgraded": upgraded });
            let protocol = match version {
                Version::Http1 => "http/1.1",
                Version::Http2 => "h2",
            };
            (protocol, Some(requests))
        }
    };
    let proven = connection.proven();
    json!({
        "direction": listener.direction.as_str(),
        "listener": &*listener.name,
        "leaves": listener.leaves,
        "peer": proven.map(|proven| &*proven.id),
        "peerAddress": connection.from.to_string(),
        "notAfter": proven.map(|proven| identity::rfc3339(proven.not_after)),
        "since": identity::rfc3339(connection.since),
        "protocol": protocol,
        "bytesIn": connection.passed.came(),
        "bytesOut": connection.passed.went(),
        "requests": requests,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use daemon::socket::{Peer, Socket};
    use tokio::net::UnixStream;

    fn listens(name: &str, opened: &Arc<Opened>) -> Listens {
        Listens {
            name: name.into(),
            direction: Direction::Inbound,
            at: None,
            leaves: false,
            opened: opened.clone(),
        }
    }

    #[tokio::test]
    async fn however_many_are_open_what_is_shown_is_bounded_and_says_so() {
        let (crowded, quiet) = (Arc::<Opened>::default(), Arc::<Opened>::default());
        let list = |opened: &Arc<Opened>, uid: u32| {
            let (socket, _far) = UnixStream::pair().unwrap();
            let (_socket, listed) =
                opened.list(Socket::Unix(socket), Peer::Unix { uid, pid: None });
            listed
        };
        let first = list(&quiet, 7);
        first.carries(Kind::Tcp);
        let crowd: Vec<_> = (0..SHOWN_MAX).map(|_| list(&crowded, 8)).collect();
        let listeners = [listens("crowded", &crowded), listens("quiet", &quiet)];
        let ask = |query: &str| {
            let page = page(&format!("/connections{query}").parse().unwrap(), &listeners);
            let document = serde_json::from_slice::<Value>(&page.body).unwrap_or_default();
            (page.status.as_u16(), document)
        };

        let (status, all) = ask("");
        assert_eq!((status, &all["open"]), (200, &json!(SHOWN_MAX + 1)));
        let shown = all["connections"].as_array().unwrap();
        assert_eq!(shown.len(), SHOWN_MAX);
        assert!(all["note"].as_str().unwrap().starts_with("1001 are open"));
        assert_eq!(shown[0]["peerAddress"], "uid 7", "the oldest is first");
        assert!(format!("{all:#}").len() < 512 * 1024);

        let (_, one) = ask("?listener=quiet");
        assert_eq!((&one["open"], &one["note"]), (&json!(1), &Value::Null));
        assert_eq!(one["connections"][0]["protocol"], "tcp");
        for (query, status) in [
            ("?listener=%71uiet", 200),
            ("?listener=other", 404),
            ("?listner=quiet", 400),
            ("?listener=quiet&listener=crowded", 400),
            ("?listener=%7", 400),
        ] {
            assert_eq!(ask(query).0, status, "{query}");
        }
        drop(crowd);
    }
}
