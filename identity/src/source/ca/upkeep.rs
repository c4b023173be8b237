//! What the client does for as long as it lives: renew, keep, and read the bundles of other trust domains again.
//!
//! In: a [`Client`]. Out: nothing; each goes on until it is dropped.
//!
//! 1. Nobody sleeps longer than [`SLEEP_MAX`]: after a suspend everything is judged again within that.
//! 2. A failed attempt is followed by another, for ever.

use super::client::Client;
use super::failed::Failed;
use super::report::About;
use crate::renew::{Retry, SLEEP_MAX};
use crate::source::chance::chance;
use crate::source::files;
use crate::{Bundle, StateDir};
use config::sidecar::Federated;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// A CA that asks for more waits for less: its word bounds nothing but its own load.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Joins, and renews whenever it is time.
pub(super) async fn renewing(client: &Client) {
    let mut changes = client.held.changes();
    let mut failed: Option<Retry> = None;
    loop {
        serve_resumed(client);
        let now = client.clock.boot();
        client.held.age(now, client.clock.unix_ms());
        let wait = match &failed {
            Some(retry) => retry.sleep(now),
            None => client.held.sleep(now),
        };
        if let Some(wait) = wait {
            // Another wish of the CA, or the end of the sleep: either way all is judged anew.
            let _changed = timeout(wait, changes.changed()).await;
            continue;
        }
        failed = match client.attempt().await {
            Ok(()) => {
                client.report.reached(true);
                None
            }
            Err(why) => Some(again(client, failed, &why)),
        };
    }
}

/// What was resumed and not good to serve with may be good by now: a clock was set right.
fn serve_resumed(client: &Client) {
    let waiting = client.held.member().is_some() && client.held.current().load().is_none();
    if !waiting {
        return;
    }
    match client.held.serve_if_good(client.clock.unix()) {
        Ok(Ok(())) => client.report.right(About::Identity),
        Ok(Err(refused)) => tracing::debug!(
            reason = refused.reason(),
            "the kept certificate does not serve: {refused}"
        ),
        Err(why) => tracing::debug!("the kept certificate does not serve: {why}"),
    }
}

/// When to try again.
fn again(client: &Client, before: Option<Retry>, why: &Failed) -> Retry {
    client
        .report
        .wrong(About::Identity, why.reason(), why.to_string());
    if let Some(reached) = why.reached() {
        client.report.reached(reached);
    }
    let now = client.clock.boot();
    let member = client.held.member();
    let life = member.as_ref().map(|member| member.life());
    let left = member.and_then(|member| member.ends.checked_sub(now));
    // While there is something to lose, no more than half of it is waited for.
    let most = left.map_or(WAIT_MAX, |left| WAIT_MAX.min(left / 2));
    let asked = why.wait().unwrap_or_default().min(most);
    before
        .unwrap_or(Retry::new(life))
        .failed(now, chance())
        .not_before(now, asked)
}

/// Keeps on disk what changes from what is held at the start. What cannot be kept is used all the same, and kept as soon as it
/// can be.
pub(super) async fn keeping(client: &Client, state: &Arc<Mutex<StateDir>>) {
    let mut changes = client.held.changes();
    let mut retry = Retry::new(None);
    let mut kept = worth_keeping(client);
    loop {
        changes.borrow_and_update();
        let now = worth_keeping(client);
        let done = match now == kept {
            true => Ok(()),
            false => keep(client, state).await,
        };
        match done {
            Ok(()) => {
                if now != kept {
                    client.report.right(About::Disk);
                }
                (kept, retry) = (now, Retry::new(None));
                // It cannot fail: the sender lives in `client`.
                let _changed = changes.changed().await;
            }
            Err(why) => {
                let text = format!("what is new is used but not kept: {why}");
                client.report.wrong(About::Disk, why.reason(), text);
                let now = client.clock.boot();
                retry = retry.failed(now, chance());
                sleep(retry.sleep(now).unwrap_or_default()).await;
            }
        }
    }
}

/// The certificate and the statement, by what tells them from others.
fn worth_keeping(client: &Client) -> Option<(String, u64)> {
    let (member, statement) = (client.held.member()?, client.held.statement()?);
    Some((member.serial().to_owned(), statement.statement().sequence()))
}

async fn keep(client: &Client, state: &Arc<Mutex<StateDir>>) -> Result<(), Failed> {
    let (Some(member), Some(statement)) = (client.held.member(), client.held.statement()) else {
        return Ok(());
    };
    let state = Arc::clone(state);
    let kept = spawn_blocking(move || {
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keep(&member.svid, &statement, member.issued_at_unix_ms)
    });
    Ok(kept.await.map_err(|_| Failed::Interrupted)??)
}

/// Reads the bundles of other trust domains.
pub(super) fn read(federated: &[Federated]) -> Result<Vec<Bundle>, files::FilesError> {
    federated
        .iter()
        .map(|one| files::bundle(&one.trust_domain, &one.bundle))
        .collect()
}

/// Reads them again and takes what is new, whole or not at all.
pub(super) async fn federating(client: &Client, federated: Vec<Federated>) {
    let roots =
        |bundles: &[Bundle]| -> Vec<_> { bundles.iter().map(Bundle::fingerprints).collect() };
    let mut taken = client.held.other_bundles();
    loop {
        sleep(SLEEP_MAX).await;
        let paths = federated.clone();
        let Ok(found) = spawn_blocking(move || read(&paths)).await else {
            continue;
        };
        match found {
            Ok(found) if roots(&found) == roots(&taken) => client.report.right(About::Federated),
            Ok(found) => match client.held.federated(found.clone()) {
                Ok(()) => {
                    tracing::info!("bundles of other trust domains taken");
                    client.report.right(About::Federated);
                    taken = found;
                }
                Err(why) => {
                    let why = Failed::Generation(why);
                    client
                        .report
                        .wrong(About::Federated, why.reason(), why.to_string());
                }
            },
            Err(why) => client
                .report
                .wrong(About::Federated, why.reason(), why.to_string()),
        }
    }
}
