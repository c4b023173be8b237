//! `countersign demo`, through the real binary: what it promises, what it prints, and that it leaves nothing behind.

use crate::support::process::{Process, Ran, countersign, run};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `countersign demo` with a place of its own for temporary files.
fn demo(place: &TempDir, args: &[&str]) -> Command {
    let mut command = countersign();
    command.arg("demo").args(args).env("TMPDIR", place.path());
    command
}

fn left_in(place: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(place.path()).expect("it is there");
    entries
        .map(|entry| entry.expect("it can be listed").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_check_sees_every_promise_kept_in_time_and_leaves_nothing() {
    let place = TempDir::new().expect("a folder");
    let begun = Instant::now();

    let ran = run(&mut demo(&place, &["--check"]));

    let took = begun.elapsed();
    let ok = ran
        .out
        .lines()
        .filter(|line| line.starts_with("ok "))
        .count();
    assert_eq!(
        (ran.code, ok, ran.out.lines().count(), ran.err.as_str()),
        (Some(0), 8, 8, ""),
        "{ran:?}"
    );
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(left_in(&place), Vec::<String>::new());
}

#[test]
fn a_story_is_plain_where_nobody_sees_colours() {
    let place = TempDir::new().expect("a folder");

    let Ran { code, out, err } = run(&mut demo(&place, &[]));

    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    assert!(out.contains("8 of 8 promises observed"), "{out}");
    assert!(!out.contains("FAILED"), "{out}");
    for line in out.lines() {
        assert!(line.chars().count() <= 90, "{line}");
    }
}

#[test]
fn it_says_that_temporary_files_have_no_place() {
    let ran = run(countersign().arg("demo").env("TMPDIR", "/nowhere/at/all"));

    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.contains("TMPDIR"), "{}", ran.err);
}

/// A demo that runs, with a place of its own.
struct Running {
    place: TempDir,
    process: Process,
}

impl Running {
    fn start() -> Self {
        let place = TempDir::new().expect("a folder");
        let process = Process::start(&mut demo(&place, &["--for", "5m"]));
        Running { place, process }
    }
    /// Waits for a line. A promise takes ten seconds and more on an idle machine.
    fn told(&self, words: &str) {
        let found = |line: &str| line.contains(words).then_some(());
        let out = &self.process.out;
        out.wait_for_within(Duration::from_secs(60), words, found);
    }
    /// Asks it to end: nothing of it is left then, and its exit code is one of these.
    fn check_ended(mut self, signal: Signal, codes: &[i32]) {
        assert_eq!(left_in(&self.place).len(), 1);
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);

        // Between its last line and its end it may be gone.
        let _ = kill_process(pid.expect("a process id"), signal);

        let said = self.process.err.so_far();
        let status = self.process.end();
        assert!(
            status.code().is_some_and(|ended| codes.contains(&ended)),
            "{signal:?}: {status}, {said:?}"
        );
        assert_eq!(left_in(&self.place), Vec::<String>::new(), "{signal:?}");
    }
}

#[test]
fn whoever_ends_it_finds_nothing_left() {
    let all = [Signal::INT, Signal::TERM, Signal::HUP].map(|signal| (signal, Running::start()));
    for (signal, running) in all {
        // The promises that take their time come one after the other.
        running.told("identities live for 20 s");
        running.told("the CA stays away");
        // Waited for by name, so that what is printed when it does not come says which promise was broken.
        running.told("8 of 8 promises observed");
        running.told("It runs on for 5m");
        running.check_ended(signal, &[0]);
    }
}

#[test]
fn whoever_ends_it_early_finds_nothing_left_and_gets_no_yes() {
    let running = Running::start();
    running.told("A shop, a sidecar");

    // The story may be over before the signal comes: then it is a yes.
    running.check_ended(Signal::INT, &[0, 1]);
}

#[test]
fn it_ends_by_itself_when_its_time_is_over() {
    let place = TempDir::new().expect("a folder");

    let ran = run(&mut demo(&place, &["--check", "--for", "1s"]));

    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.contains("\ncurl -i "), "{}", ran.out);
    assert_eq!(left_in(&place), Vec::<String>::new());
}
