//! What a verb prints on standard output: for people, or as JSON for programs.
//!
//! A reader that goes away (`countersign … | head`) ends the printing, and is no failure.

use crate::failure::Failure;
use std::io::{ErrorKind, IsTerminal, Write};

/// How a verb that lists prints its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One JSON array for programs.
    Json,
}

/// The option `-o table|json`: flatten it into the arguments of a verb that lists.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct OutputOption {
    /// How to print
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) output: Output,
}

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::Unfit(format!(
            "standard output: {e}; give it somewhere to go"
        ))),
        _ => Ok(()),
    }
}

/// Whether text for `stream` may carry colour: it is a terminal, and `NO_COLOR` is not set.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
