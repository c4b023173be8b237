//! What a verb prints on standard output: for people, or as JSON for programs.
//!
//! A reader that goes away (`countersign … | head`) ends the printing, and is no failure.

use crate::failure::Failure;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// How a verb that lists prints its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns for people.
    #[default]
    Table,
    /// JSON for programs.
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

/// The most that is printed of a text that came from elsewhere: four times the longest name.
const PRINTED_MAX: usize = 8 * 1024;

/// A text that came from elsewhere, on one line and without what would play with a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len().min(PRINTED_MAX));
    for character in text.chars() {
        if printed.len() >= PRINTED_MAX {
            printed.push('…');
            break;
        }
        match character.is_control() {
            true => printed.extend(character.escape_default()),
            false => printed.push(character),
        }
    }
    printed
}

/// Widths of columns, which only grow: a table that is printed in parts stays one.
#[derive(Debug)]
pub(crate) struct Columns<const N: usize>([usize; N]);

impl<const N: usize> Default for Columns<N> {
    fn default() -> Self {
        Columns([0; N])
    }
}

impl<const N: usize> Columns<N> {
    /// Rows, aligned with all before; nothing follows the last cell of a row.
    pub(crate) fn of(&mut self, rows: &[[String; N]]) -> String {
        for row in rows {
            for (width, cell) in self.0.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in rows {
            let line: String = row
                .iter()
                .zip(self.0)
                .map(|(cell, width)| format!("{cell:width$}  "))
                .collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Such as `59 min left` or `ended 3 d ago`, of what ends after its last second.
pub(crate) fn after(now_s: u64, last_s: u64) -> String {
    match last_s.checked_sub(now_s) {
        Some(left_s) => format!("{} left", roughly(Duration::from_secs(left_s))),
        None => {
            let since = Duration::from_secs(now_s - last_s);
            format!("ended {} ago", roughly(since))
        }
    }
}

/// The largest unit of which there are two or more, rounded down.
pub(crate) fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_elsewhere_plays_with_no_terminal() {
        assert_eq!(
            printable("köln \u{1b}[2J\n…\u{9b}"),
            "köln \\u{1b}[2J\\n…\\u{9b}"
        );
        let long = printable(&"x".repeat(3 * PRINTED_MAX));
        assert_eq!(long.chars().count(), PRINTED_MAX + 1);
    }

    #[test]
    fn columns_are_aligned_across_the_parts_of_a_table() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let mut columns = Columns::default();

        let first = columns.of(&[row(["a", "größe", "x"]), row(["long", "b", ""])]);
        let second = columns.of(&[row(["c", "d", "e"])]);

        assert_eq!(first, "a     größe  x\nlong  b\n");
        assert_eq!(second, "c     d      e\n");
    }

    #[test]
    fn what_is_left_is_said_in_the_unit_that_fits() {
        for (now_s, last_s, said) in [
            (100, 100, "0 s left"),
            (100, 219, "119 s left"),
            (100, 220, "2 min left"),
            (0, 7_200, "2 h left"),
            (0, 172_800, "2 d left"),
            (101, 100, "ended 1 s ago"),
            (u64::MAX, 0, "ended 213503982334601 d ago"),
        ] {
            assert_eq!(after(now_s, last_s), said, "{now_s} {last_s}");
        }
    }
}
