//! What processes that serve share: threads, open files, and how they end.

use crate::failure::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// As many open files as this process may have: the usual 1024 are used up by as many strangers who connect and say nothing.
pub(crate) fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    limit_files(limit);
}

fn limit_files(limit: Rlimit) {
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays where it is");
    }
}

/// How many files this process may have open now.
pub(crate) fn files_allowed() -> Rlimit {
    getrlimit(Resource::Nofile)
}

/// Does something, such as starting a process, under another limit of open files, which that inherits: a program that was
/// written for the usual one may not bear with more.
pub(crate) fn under_limit_of_files<T>(limit: Rlimit, act: impl FnOnce() -> T) -> T {
    let own = files_allowed();
    limit_files(limit);
    let done = act();
    limit_files(own);
    done
}

/// One thread where there is one processor: there a second only adds hand-overs between them.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut runtime = if threads == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    let runtime = runtime.worker_threads(threads).enable_all().build();
    runtime.map_err(|error| {
        Failure::Unfit(format!(
            "cannot start threads: {error}; is a limit of processes reached?"
        ))
    })
}

/// SIGTERM or SIGINT ends a process well, a second one at once.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// Listens from now on: who is asked to end while it starts ends when it has started.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Ending {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits until the process is asked to end, then lets `end` do it: it says how many connections it cut after `patience`.
    pub(crate) async fn then<F: Future<Output = usize>>(
        mut self,
        patience: Duration,
        end: impl FnOnce(Duration) -> F,
    ) {
        let why = self.asked().await;
        tracing::info!("{why}: ending, at most {} s", patience.as_secs());
        // Who asks a second time does not want to wait.
        tokio::select! {
            cut = end(patience) => tracing::info!(cut, "ended; {cut} connections were cut"),
            why = self.asked() => tracing::info!("{why} again: ended at once"),
        }
    }

    /// Waits until the process is asked to end; by what. Cancel safe.
    pub(crate) async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP, which ends a process that does not listen to it.
pub(crate) fn hangup() -> Result<Signal, Failure> {
    listen(SignalKind::hangup())
}

/// Listens to a signal from now on.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error: io::Error| Failure::Unfit(format!("cannot listen to signals: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_open_as_many_files_as_its_user_may() {
        allow_many_files();

        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
