//! A page that a person follows by hand: its sections, the shell blocks in them, and what it says they print.
//!
//! A block fenced as `sh` is run; one fenced as `text` right after it is what the block prints, where `…` stands for what
//! differs each time: part of a line, or, alone on its line, any number of lines.

/// A page of sections.
pub struct Page(Vec<Section>);

struct Section {
    title: String,
    blocks: Vec<Block>,
}

/// A shell block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// What a person types.
    pub script: String,
    /// What they then read, if the page says so.
    pub prints: Option<String>,
}

enum Reading {
    Prose,
    Script,
    Printed,
    Other,
}

impl Page {
    /// Reads Markdown.
    pub fn read(markdown: &str) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        let mut reading = Reading::Prose;
        for line in markdown.lines() {
            let blocks = sections.last_mut().map(|section| &mut section.blocks);
            match (&reading, line, blocks) {
                (Reading::Prose, "```sh", Some(blocks)) => {
                    blocks.push(Block::default());
                    reading = Reading::Script;
                }
                (Reading::Prose, "```text", Some(blocks)) => {
                    blocks.last_mut().expect("printed after a script").prints = Some(String::new());
                    reading = Reading::Printed;
                }
                (Reading::Prose, line, _) => {
                    if let Some(title) = line.strip_prefix("## ") {
                        sections.push(Section {
                            title: title.into(),
                            blocks: Vec::new(),
                        });
                    } else if line.starts_with("```") {
                        reading = Reading::Other;
                    }
                }
                (_, "```", _) => reading = Reading::Prose,
                (Reading::Other, ..) | (_, _, None) => {}
                (Reading::Script | Reading::Printed, line, Some(blocks)) => {
                    let block = blocks.last_mut().expect("in a block");
                    let text = block.prints.as_mut().unwrap_or(&mut block.script);
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        Page(sections)
    }

    /// The titles, in order.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|section| section.title.as_str())
    }

    /// The shell blocks of one section.
    pub fn blocks(&self, title: &str) -> &[Block] {
        let section = self.0.iter().find(|section| section.title == title);
        let section = section.unwrap_or_else(|| panic!("the page has no section {title:?}"));
        &section.blocks
    }
}

/// Whether what was printed is what the page says.
pub fn is_as_said(said: &str, printed: &str) -> bool {
    let (said, printed): (Vec<&str>, Vec<&str>) =
        (said.lines().collect(), printed.lines().collect());
    lines_are(&said, &printed)
}

fn lines_are(said: &[&str], printed: &[&str]) -> bool {
    match said.split_first() {
        None => printed.is_empty(),
        Some((&"…", said)) => {
            (0..=printed.len()).any(|skipped| lines_are(said, &printed[skipped..]))
        }
        Some((first, said)) => printed
            .split_first()
            .is_some_and(|(line, printed)| line_is(first, line) && lines_are(said, printed)),
    }
}

/// The first place where a piece fits is as good as any later one, but for the last piece, which ends the line.
fn line_is(said: &str, printed: &str) -> bool {
    let Some((first, rest)) = said.split_once('…') else {
        return said == printed;
    };
    let Some(mut printed) = printed.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('…').collect();
    let last = pieces.pop().expect("a split has a last piece");
    for piece in pieces {
        let Some(at) = printed.find(piece) else {
            return false;
        };
        printed = &printed[at + piece.len()..];
    }
    printed.ends_with(last)
}
