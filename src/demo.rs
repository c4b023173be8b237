//! `countersign demo`: a CA, a shop and its sidecars in one process, and what they promise, observed at the apps.
//!
//! Out: a story on standard output, or with `--check` one line a promise; exit code 0 only if each was observed. Everything
//! is on loopback at free ports and in a temporary folder, and is gone when it ends, however it ends.
//!
//! Order of the files: `paper` `signals` `folder` `authority` `mesh` `caller` `observe` `journal` `trial` `traffic`
//! `lasting` `promises` `by_hand` `narration`.

mod paper;
mod signals;
mod folder;
mod authority;
mod mesh;
mod caller;
mod observe;
mod journal;
mod trial;
mod traffic;
mod lasting;
mod promises;
mod by_hand;
mod narration;

use crate::failure::Failure;
use crate::output::print;
use crate::process::runtime;
use folder::Folder;
use mesh::Mesh;
use narration::Telling;
use observe::Broken;
use paper::Paper;
use promises::Promise;
use signals::Signals;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Everything was observed by then, or was not. It takes some 25 seconds, most of them waiting for identities to be renewed.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// How long what is in flight may take at the end. Nothing is, unless somebody tries something by hand.
const PATIENCE: Duration = Duration::from_secs(2);

/// A whole mesh in one process on loopback, narrated.
///
/// A CA, a shop of three services and a sidecar for each, at free ports of 127.0.0.1, with files in a temporary folder that is
/// removed at the end. Each promise is observed at the app, not at the proxy. Exit code 0 if all were, else 1.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: countersign demo\n          countersign demo --check\n          countersign demo --for 5m"
)]
pub(crate) struct Demo {
    /// One `ok` or `FAILED` line a promise instead of the story
    #[arg(long)]
    check: bool,
    /// Run on for that long, with lines to copy that try each promise by hand
    #[arg(long = "for", value_name = "TIME", value_parser = run_on)]
    run_on: Option<Duration>,
}

fn run_on(text: &str) -> Result<Duration, String> {
    config::unit::duration(text).map_err(|error| error.to_string())
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        runtime()?.block_on(self.perform())
    }

    async fn perform(self) -> Result<ExitCode, Failure> {
        let mut signals = Signals::listen()?;
        let started = Instant::now();
        let folder = Folder::create()?;
        let mesh = tokio::select! {
            biased;
            () = signals.asked() => Err(interrupted()),
            mesh = Mesh::start(&folder) => mesh,
        };
        let told = match mesh {
            Err(failure) => Err(failure),
            Ok(mesh) => {
                let told = self.tell(&mesh, started, &mut signals).await;
                tokio::select! {
                    () = mesh.end(PATIENCE) => {}
                    // Asked once more: whatever is open is cut.
                    () = signals.asked() => {}
                }
                told
            }
        };
        let removed = folder.remove();
        told.and_then(|code| removed.map(|()| code))
    }

    async fn tell(
        &self,
        mesh: &Mesh<'_>,
        started: Instant,
        signals: &mut Signals,
    ) -> Result<ExitCode, Failure> {
        let telling = if self.check {
            Telling::Check
        } else {
            Telling::Story(Paper::of_stdout())
        };
        let kept = tokio::select! {
            biased;
            () = signals.asked() => return Err(interrupted()),
            kept = observe_all(telling, mesh, started) => kept?,
        };
        if let Some(time) = self.run_on {
            print(&telling.by_hand(mesh, time))?;
            tokio::select! {
                () = sleep(time) => {}
                () = signals.asked() => {}
            }
        }
        Ok(verdict(kept))
    }
}

/// Every promise, told as it is observed; returns how many were kept.
async fn observe_all(
    telling: Telling,
    mesh: &Mesh<'_>,
    started: Instant,
) -> Result<usize, Failure> {
    print(&telling.opening(mesh))?;
    let mut kept = 0;
    for (number, promise) in (1..).zip(Promise::ALL) {
        print(&telling.patience(promise))?;
        let outcome = timeout_at(started + TOLD_WITHIN, promise.observe(mesh))
            .await
            .unwrap_or(Err(Broken::Late));
        kept += usize::from(outcome.is_ok());
        print(&telling.outcome(number, promise, &outcome))?;
    }
    print(&telling.closing(kept, started.elapsed()))?;
    Ok(kept)
}

/// Exit code 0 only if each was observed.
fn verdict(kept: usize) -> ExitCode {
    if kept == Promise::ALL.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn interrupted() -> Failure {
    Failure::No(
        "demo: interrupted before every promise was observed; nothing is left behind".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_promise_that_was_not_kept_is_a_no() {
        for kept in 0..Promise::ALL.len() {
            assert_eq!(verdict(kept), ExitCode::FAILURE, "{kept}");
        }
        assert_eq!(verdict(Promise::ALL.len()), ExitCode::SUCCESS);
    }

    #[test]
    fn it_runs_on_for_longer_than_its_identities_live() {
        for (text, expected) in [
            ("5m", Some(Duration::from_secs(300))),
            ("22h", Some(Duration::from_secs(22 * 3600))),
            ("7d", Some(Duration::from_secs(7 * 24 * 3600))),
            ("5", None),
            ("-5m", None),
        ] {
            assert_eq!(run_on(text).ok(), expected, "{text}");
        }
    }
}
