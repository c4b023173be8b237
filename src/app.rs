//! The app that is started beside a sidecar: one process, waited for along with every orphan.

use crate::failure::Failure;
use crate::process::under_limit_of_files;
use rustix::fs::Access;
use rustix::process::{Pid, Rlimit, Signal, WaitOptions, WaitStatus, kill_process};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use tokio::signal::unix;

/// A process that was started. It is waited for by [`App::reap`] only.
pub(crate) struct App {
    // Its id is the app's for as long as nobody has waited for it.
    child: Child,
    code: Option<u8>,
}

impl App {
    /// Whether there is such a program, so that a misspelt one is told before anything starts.
    pub(crate) fn can_start(command: &[OsString]) -> Result<(), Failure> {
        let Some(program) = command.first() else {
            return Err(Failure::Unfit("the app's command is missing".into()));
        };
        let there = |path: &Path| rustix::fs::access(path, Access::EXEC_OK).is_ok();
        let found = match program.as_encoded_bytes().contains(&b'/') {
            true => there(Path::new(program)),
            false => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|folder| there(&folder.join(program)))
            }
        };
        match found {
            true => Ok(()),
            false => Err(unfit(
                program,
                "there is no such program, or it may not be run",
            )),
        }
    }

    /// Starts it with our standard streams and environment, and the limit of open files that is usual here. In a group of its own
    /// unless it shares our terminal.
    pub(crate) fn start(
        command: &[OsString],
        usual: Rlimit,
        terminal: bool,
    ) -> Result<Self, Failure> {
        let Some((program, args)) = command.split_first() else {
            return Err(Failure::Unfit("the app's command is missing".into()));
        };
        let mut command = Command::new(program);
        command.args(args);
        if !terminal {
            command.process_group(0);
        }
        let child = under_limit_of_files(usual, || command.spawn());
        let child = child.map_err(|error| unfit(program, &error.to_string()))?;
        tracing::info!(pid = child.id(), "the app has started");
        Ok(Self { child, code: None })
    }

    /// Sends it a signal, unless it has exited.
    pub(crate) fn tell(&self, signal: Signal) {
        if self.code.is_some() {
            return;
        }
        tracing::info!(signal = signal.as_raw(), "the app is told");
        // It may just have exited: then there is nobody to tell.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for every child that has ended. The app's exit code, if it was among them.
    pub(crate) fn reap(&mut self) -> Option<u8> {
        let app = Pid::from_child(&self.child);
        let mut code = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == app && self.code.is_none() {
                code = Some(exit_code(status));
                self.code = code;
            }
        }
        code
    }

    /// Its exit code; if it still runs, it is killed.
    pub(crate) async fn end(&mut self, children: &mut unix::Signal) -> u8 {
        self.reap();
        if self.code.is_none() {
            tracing::warn!("the app still runs, and is killed");
            self.tell(Signal::KILL);
        }
        loop {
            if let Some(code) = self.code {
                return code;
            }
            children.recv().await;
            self.reap();
        }
    }
}

/// Its own, or 128 and the signal that ended it, as a shell has it.
fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = || Some(128 + status.terminating_signal()?);
    let code = status.exit_status().or_else(by_signal);
    // There is no other way to have ended.
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

fn unfit(program: &OsStr, why: &str) -> Failure {
    Failure::Unfit(format!(
        "{}: cannot be started: {why}; name a program after `--`",
        program.to_string_lossy()
    ))
}
