//! What really reached a service.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many requests are remembered; older ones are only counted.
const REMEMBERED_MAX: usize = 1000;

/// One request as the service saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method, or the ledger's command.
    pub method: String,
    /// The path and query as they came, or the command's key.
    pub path: String,
    /// The `x-forwarded-client-cert` header as it came, joined with `,` if it came more than once; always `None` at the ledger.
    pub client_cert: Option<String>,
}

impl Request {
    /// The caller's identity: the `URI` of the last element of `client_cert`, which the nearest sidecar wrote.
    pub fn caller(&self) -> Option<&str> {
        let last = self.client_cert.as_deref()?.rsplit(',').next()?;
        last.split(';')
            .find_map(|pair| pair.trim().strip_prefix("URI="))
    }
}

/// Everything that reached a service since it started.
#[derive(Debug, Default)]
pub struct Seen {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    count: u64,
    last: VecDeque<Request>,
}

impl Seen {
    /// Connections accepted.
    pub fn connections(&self) -> u64 {
        self.lock().connections
    }

    /// Requests seen, remembered or not.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// The last requests, oldest first; at most 1000.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().last.iter().cloned().collect()
    }

    pub(crate) fn connection(&self) {
        self.lock().connections += 1;
    }

    pub(crate) fn request(&self, request: Request) {
        let mut inner = self.lock();
        inner.count += 1;
        if inner.last.len() == REMEMBERED_MAX {
            inner.last.pop_front();
        }
        inner.last.push_back(request);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics half way: what a poisoned lock guards is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_the_uri_of_the_last_element() {
        for (client_cert, expected) in [
            (None, None),
            (
                Some("By=spiffe://a/b;Hash=00;URI=spiffe://a/c"),
                Some("spiffe://a/c"),
            ),
            (
                Some("URI=spiffe://a/far, Hash=00;URI=spiffe://a/near"),
                Some("spiffe://a/near"),
            ),
            (Some("Hash=00"), None),
        ] {
            let client_cert = client_cert.map(str::to_owned);
            let request = Request {
                method: "GET".into(),
                path: "/".into(),
                client_cert,
            };
            assert_eq!(request.caller(), expected, "{request:?}");
        }
    }

    #[test]
    fn only_the_last_requests_are_remembered_and_all_are_counted() {
        let seen = Seen::default();
        for n in 0..=REMEMBERED_MAX {
            seen.request(Request {
                method: "GET".into(),
                path: format!("/{n}"),
                client_cert: None,
            });
        }

        assert_eq!(seen.count(), 1001);
        assert_eq!(
            seen.requests().first().map(|request| request.path.clone()),
            Some("/1".into())
        );
    }
}
