//! What is wrong with a document, and where.
use std::path::PathBuf;
use std::sync::Arc;

/// One mistake at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file as the user named it.
    pub file: Arc<PathBuf>,
    /// From 1; 0 when it concerns the file as a whole.
    pub line: usize,
    /// From 1, in characters; 0 when it concerns the file as a whole.
    pub column: usize,
    /// Where in the document, such as `inbound[0].listen`; empty for the whole.
    pub at: String,
    /// What is wrong, with what was seen: one lower-case line.
    pub what: String,
    /// What is wanted, or what to do; for a misspelt key what was probably meant.
    pub help: String,
}

/// Everything that is wrong, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": ")?;
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        write!(f, "{}", self.what)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}
impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}
impl std::error::Error for Findings {}
