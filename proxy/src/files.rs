//! Whether this process may open as many files as its limits let in.
//!
//! In: a configuration, the soft limit of open files (which whoever starts a sidecar has raised as far as it may). Out: a warning
//! where it is too small: then what connects beyond it waits in the kernel until it gives up, and no limit of ours is counted.

use config::sidecar::{Protocol, Sidecar};
use rustix::process::{Resource, getrlimit};

/// Listeners, pages, logs, timers, questions to name servers and a CA.
const OWN: usize = 100;

/// How many files are open when everything is taken that `limits` give.
fn needed(config: &Sidecar) -> usize {
    let limits = &config.limits;
    let protocols = config.inbound.iter().map(|it| it.protocol);
    let mut protocols = protocols.chain(config.outbound.iter().map(|it| it.protocol));
    let onward = match protocols.any(|protocol| protocol == Protocol::Tcp) {
        // Each has one of its own.
        true => limits.connections,
        // Requests of both directions.
        false => limits.connections.min(2 * limits.in_flight),
    };
    limits.connections + onward + limits.handshakes + OWN
}

/// Warns if there are too few, unless the configuration before it needed as many.
pub(crate) fn warn_of_few(config: &Sidecar, before: Option<&Sidecar>) {
    let needed = needed(config);
    if before.is_some_and(|before| self::needed(before) >= needed) {
        return;
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if allowed.is_some_and(|allowed| usize::try_from(allowed).is_ok_and(|it| it < needed)) {
        let allowed = allowed.unwrap_or_default();
        tracing::warn!(
            allowed,
            needed,
            "this process may open {allowed} files, and limits.connections, inFlight and handshakes let in {needed}: raise the \
             limit (ulimit -n, LimitNOFILE, --ulimit nofile) or lower limits.connections"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::path::Path;

    fn check(limits: &str, protocol: &str, expected: usize) {
        let text = format!(
            "identity: {{ trustDomain: shop.example, files: {{ certificate: a, key: b, bundle: c }} }}\npolicy: {{ file: p }}\n\
             inbound: [{{ name: web, listen: \"127.0.0.1:1\", app: \"127.0.0.1:2\", protocol: {protocol} }}]\nlimits: {limits}\n"
        );
        let config = Sidecar::parse(&text, Path::new("/nowhere/sidecar.yaml")).unwrap();
        assert_eq!(needed(&config), expected, "{limits} {protocol}");
    }

    #[test]
    fn every_connection_is_a_file_and_so_is_what_it_leads_to() {
        check("{}", "http", 10_000 + 2_000 + 1_000 + OWN);
        check("{}", "tcp", 10_000 + 10_000 + 1_000 + OWN);
        check(
            "{ connections: 50, handshakes: 10 }",
            "http",
            50 + 50 + 10 + OWN,
        );
    }
}
