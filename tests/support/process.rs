//! Processes: started, watched line by line, ended with the test.

use super::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The `countersign` command of this build.
pub fn countersign() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    // What the person who runs the tests has set must not decide how they end.
    for variable in [
        "COUNTERSIGN_LOG",
        "COUNTERSIGN_ADMIN",
        "COUNTERSIGN_CA_SOCKET",
    ] {
        command.env_remove(variable);
    }
    command
}

/// A command of the Python environment that `.ci/parts` makes beside what cargo builds.
pub fn part(name: &str) -> Command {
    let target = Path::new(env!("CARGO_BIN_EXE_countersign"))
        .ancestors()
        .nth(2)
        .expect("cargo builds into a folder of its own");
    Command::new(target.join("parts/venv/bin").join(name))
}

/// How a verb ended that runs to its end by itself.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A process that runs until it is dropped.
pub struct Process {
    child: Child,
    /// What it wrote to standard output, line by line.
    pub out: Lines,
    /// What it wrote to standard error, line by line.
    pub err: Lines,
}

impl Process {
    /// Starts a command and reads along.
    pub fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let name = command.get_program().to_string_lossy().into_owned();
        let out = Lines::read(
            format!("{name}, standard output"),
            child.stdout.take().expect("it is piped"),
        );
        let err = Lines::read(
            format!("{name}, standard error"),
            child.stderr.take().expect("it is piped"),
        );
        Process { child, out, err }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn terminate(mut self) -> ExitStatus {
        self.ask_to_end();
        self.end()
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_end(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it still runs");
    }

    /// Ends it where it stands (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("it still runs");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        // Its output closes when it ends: an event to wait for, unlike the end itself.
        self.err.wait_for_end();
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines as they come.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    name: String,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    pub(super) fn read(name: String, stream: impl Read + Send + 'static) -> Self {
        let lines = Lines(Arc::new(Shared {
            name,
            state: Mutex::default(),
            more: Condvar::new(),
        }));
        let Lines(shared) = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                shared
                    .state
                    .lock()
                    .expect("no reader panics")
                    .lines
                    .push(line);
                shared.more.notify_all();
            }
            shared.state.lock().expect("no reader panics").ended = true;
            shared.more.notify_all();
        });
        lines
    }

    /// All lines so far.
    pub fn so_far(&self) -> Vec<String> {
        self.0.state.lock().expect("no reader panics").lines.clone()
    }

    /// Waits for the first line, past or future, of which `wanted` makes something. Panics with all lines if none comes.
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_for_within(PATIENCE, what, wanted)
    }

    /// The same for what takes its time even on an idle machine.
    pub fn wait_for_within<T>(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> T {
        let found = |state: &State| state.lines.iter().find_map(|line| wanted(line));
        self.wait_within(patience, what, found, true)
    }

    /// The first line, past or future, of which `wanted` makes something; `None` if its writers end before.
    pub fn first_or_end<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = |state: &State| state.lines.iter().find_map(|line| wanted(line));
        self.wait(
            "a line or the end",
            |state| match found(state) {
                None if state.ended => Some(None),
                found => found.map(Some),
            },
            false,
        )
    }

    /// Whether its writers all end within that time.
    pub fn ended_within(&self, patience: Duration) -> bool {
        let state = self.0.state.lock().expect("no reader panics");
        let waited = self
            .0
            .more
            .wait_timeout_while(state, patience, |state| !state.ended);
        waited.expect("no reader panics").0.ended
    }

    /// Waits for the line with this number, from 0.
    pub fn wait_for_nth(&self, what: &str, number: usize) -> String {
        self.wait(what, |state| state.lines.get(number).cloned(), true)
    }

    fn wait_for_end(&self) {
        self.wait("the end", |state| state.ended.then_some(()), false);
    }

    fn wait<T>(&self, what: &str, wanted: impl Fn(&State) -> Option<T>, needs_more: bool) -> T {
        self.wait_within(PATIENCE, what, wanted, needs_more)
    }

    fn wait_within<T>(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&State) -> Option<T>,
        needs_more: bool,
    ) -> T {
        let ends = Instant::now() + patience;
        let mut state = self.0.state.lock().expect("no reader panics");
        loop {
            if let Some(found) = wanted(&state) {
                return found;
            }
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() || (needs_more && state.ended) {
                let only = state.lines.join("\n");
                // Those who end what was started read on while this test fails.
                drop(state);
                panic!(
                    "{}: waited for {what}, and there is only:\n{only}",
                    self.0.name
                );
            }
            state = self
                .0
                .more
                .wait_timeout(state, left)
                .expect("no reader panics")
                .0;
        }
    }
}
