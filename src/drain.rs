//! `countersign drain`: a running sidecar takes nothing more from the network.

use crate::admin::{self, Asked, runtime};
use crate::asking::{Door, Unanswered};
use crate::failure::Failure;
use crate::output::{print, printable};
use clap::Args;
use hyper::Method;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often it is asked how far the drain is.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// Take a running sidecar out of service: not ready at once, then no new connections, then what is open may end.
///
/// The sidecar itself goes on and serves what its app calls, until it is told to end. Exits with 0 when the drain has begun, with
/// --wait when nothing from the network is open any more, and with 1 if something had to be cut for that.
#[derive(Debug, Args)]
#[command(after_help = "Example: countersign drain --admin /run/countersign/admin.sock --wait")]
pub(crate) struct Drain {
    /// The sidecar's `admin.socket`
    #[arg(long, value_name = "SOCKET", env = "COUNTERSIGN_ADMIN")]
    admin: PathBuf,
    /// Wait until nothing is open any more, at most for the sidecar's `limits.drainDeadline`
    #[arg(long)]
    wait: bool,
}

impl Drain {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        runtime()?.block_on(self.ask())
    }

    async fn ask(self) -> Result<ExitCode, Failure> {
        let door = Door::Socket(self.admin);
        let mut state = ask(&door, Method::POST)
            .await
            .map_err(|failed| failed.failure(&door))?;
        while self.wait && !is_over(&state) {
            tokio::time::sleep(ASKED_EVERY).await;
            state = match ask(&door, Method::GET).await {
                Ok(state) if state["stage"] == SERVING => {
                    return Err(Failure::No(RESTARTED.to_owned()));
                }
                Ok(state) => state,
                // It was told to end besides, and has: nothing is open.
                Err(Asked::Unanswered(Unanswered::Connect(_) | Unanswered::Ended)) => {
                    print("the sidecar has ended\n")?;
                    return Ok(ExitCode::SUCCESS);
                }
                Err(failed) => return Err(failed.failure(&door)),
            };
        }
        let stage = printable(state["stage"].as_str().unwrap_or_default());
        let (open, cut) = (counts(&state["open"]), counts(&state["cut"]));
        print(&format!("{stage}; open: {open}; cut: {cut}\n"))?;
        match cut.as_str() {
            _ if !self.wait => Ok(ExitCode::SUCCESS),
            NOTHING => Ok(ExitCode::SUCCESS),
            _ => Err(Failure::No(String::new())),
        }
    }
}

/// Where a sidecar is that nobody asked to drain.
const SERVING: &str = "serving";
const RESTARTED: &str = "not drained: the sidecar that was asked has ended, and the one that answers in its place serves; ask again";

const NOTHING: &str = "nothing";

/// Whether nothing from the network is open.
fn is_over(state: &Value) -> bool {
    matches!(state["stage"].as_str(), Some("drained" | "over"))
}

/// `2 requests, 1 tcp`; what is not there is not named.
fn counts(kinds: &Value) -> String {
    let counts = kinds.as_object().into_iter().flatten();
    let some: Vec<String> = counts
        .filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0))
        .map(|(kind, count)| format!("{count} {}", printable(kind)))
        .collect();
    match some.as_slice() {
        [] => NOTHING.to_owned(),
        some => some.join(", "),
    }
}

async fn ask(door: &Door, method: Method) -> Result<Value, Asked> {
    let state = admin::ask(door, method, "/drain").await?;
    match state["stage"].is_string() {
        true => Ok(state),
        false => Err(Asked::Unexpected("it says no stage".into())),
    }
}
