//! How the measuring commands begin and end.

use crate::online::Failed;
use std::process::ExitCode;

/// Runs one with its arguments; what failed is told under its name.
pub fn run(name: &str, run: impl FnOnce(&[&str]) -> Result<(), Failed>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{name}: {failed}");
            ExitCode::FAILURE
        }
    }
}
