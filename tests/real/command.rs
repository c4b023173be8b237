//! The command line as a person or a script meets it: exit codes, one line that says what to do, nothing on the wrong stream.

use crate::support::process::{Ran, countersign, run};
use std::process::Stdio;

fn ran(args: &[&str]) -> Ran {
    run(countersign().args(args))
}

#[test]
fn a_mistake_is_one_line_on_standard_error_and_exit_code_2() {
    for (args, line) in [
        (
            &["prxy"][..],
            "countersign prxy: no such verb; did you mean `proxy`? `countersign --help` lists them\n",
        ),
        (
            &["top", "--once"],
            "countersign top: not supported yet; `countersign --help` lists what is\n",
        ),
        (
            &["ca", "serve"],
            "countersign ca serve: `--config <FILE>` is missing; `countersign ca serve --help` shows how\n",
        ),
    ] {
        let ran = ran(args);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(2), "", line),
            "{args:?}"
        );
    }
}

#[test]
fn a_filter_of_the_log_that_cannot_be_read_stops_the_start() {
    let ran = run(countersign()
        .args(["demo"])
        .env("COUNTERSIGN_LOG", "proxy=loud"));

    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(
        ran.err.starts_with("COUNTERSIGN_LOG=proxy=loud: ") && ran.err.lines().count() == 1,
        "{}",
        ran.err
    );
}

#[test]
fn help_is_an_answer_and_names_the_exit_codes() {
    let ran = ran(&["--help"]);

    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("Exit codes: 0 ok"), "{}", ran.out);
    assert!(
        !ran.out.contains('\u{1b}'),
        "no colour where there is no terminal"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = countersign()
        .args(["config", "schema", "sidecar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());

    let output = child.wait_with_output().unwrap();

    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}
