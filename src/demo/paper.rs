//! How a line looks: bold and colour on a terminal, the bare text anywhere else.

use crate::output;

/// What text is written on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    colour: bool,
}

impl Paper {
    /// Standard output.
    pub(crate) fn of_stdout() -> Self {
        Paper {
            colour: output::colour(&std::io::stdout()),
        }
    }
    /// A file or a pipe.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Paper { colour: false }
    }
    pub(crate) fn bold(self, text: &str) -> String {
        self.dressed("1", text)
    }
    pub(crate) fn faint(self, text: &str) -> String {
        self.dressed("2", text)
    }
    pub(crate) fn good(self, text: &str) -> String {
        self.dressed("32", text)
    }
    pub(crate) fn bad(self, text: &str) -> String {
        self.dressed("1;31", text)
    }
    fn dressed(self, how: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{how}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
