//! What a verb prints on standard output: text, or a list as an aligned table or as JSON.
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

/// Rows under named columns.
pub(crate) struct List {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl List {
    /// A list without rows. Column names are lower case: they are the keys of the JSON.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        List {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, one cell for each column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(
            row.len(),
            self.columns.len(),
            "a row has a cell for each column"
        );
        self.rows.push(row);
    }

    /// The list as text, a line feed at its end.
    pub(crate) fn render(&self, output: Output) -> String {
        match output {
            Output::Table => self.table(),
            Output::Json => self.json(),
        }
    }

    fn table(&self) -> String {
        let header = self
            .columns
            .iter()
            .map(|name| name.to_uppercase())
            .collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&header).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let cells = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self) -> String {
        let row = |row: &Vec<String>| -> serde_json::Value {
            let cells = self
                .columns
                .iter()
                .zip(row)
                .map(|(name, cell)| ((*name).to_owned(), cell.clone().into()));
            serde_json::Value::Object(cells.collect())
        };
        format!(
            "{:#}\n",
            serde_json::Value::Array(self.rows.iter().map(row).collect())
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves() -> List {
        let mut list = List::new(&["id", "ends"]);
        list.push(vec!["spiffe://shop.example/orders".into(), "soon".into()]);
        list.push(vec!["é".into(), String::new()]);
        list
    }

    #[test]
    fn a_table_is_aligned_and_ends_no_line_with_blanks() {
        let expected =
            "ID                            ENDS\nspiffe://shop.example/orders  soon\né\n";
        assert_eq!(leaves().render(Output::Table), expected);
    }

    #[test]
    fn json_keeps_the_order_of_the_columns() {
        let expected = "[\n  {\n    \"id\": \"spiffe://shop.example/orders\",\n    \"ends\": \"soon\"\n  },\n  \
                        {\n    \"id\": \"é\",\n    \"ends\": \"\"\n  }\n]\n";
        assert_eq!(leaves().render(Output::Json), expected);
        assert_eq!(List::new(&["id"]).render(Output::Json), "[]\n");
    }
}
