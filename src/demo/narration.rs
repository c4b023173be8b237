//! What is told: for people the story with its facts, for programs one line a promise.

use super::by_hand::{self, Try};
use super::mesh::Mesh;
use super::observe::Broken;
use super::paper::Paper;
use super::promises::Promise;
use super::trial::Fact;
use std::time::Duration;

/// Columns that a terminal has at least.
const WIDTH: usize = 80;
/// Where facts begin.
const MARGIN: usize = 17;

/// How it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Telling {
    /// A story.
    Story(Paper),
    /// One line a promise.
    Check,
}

impl Telling {
    /// What stands before the promises.
    pub(crate) fn opening(self, mesh: &Mesh<'_>) -> String {
        let Telling::Story(paper) = self else {
            return String::new();
        };
        format!(
            "{}\n\n{}\n{}{}\n",
            paper
                .bold("A shop, a sidecar for each of its services, and a CA, all in this process."),
            picture(paper),
            line(paper, "files", &mesh.folder.path().display().to_string()),
            line(paper, "root of trust", mesh.folder.fingerprint()),
        )
    }

    /// What is said while a promise takes its time.
    pub(crate) fn patience(self, promise: Promise) -> String {
        match (self, promise.patience()) {
            (Telling::Story(paper), Some(why)) => line(paper, "", &format!("… {why}")),
            _ => String::new(),
        }
    }

    /// What became of a promise.
    pub(crate) fn outcome(
        self,
        number: usize,
        promise: Promise,
        outcome: &Result<Vec<Fact>, Broken>,
    ) -> String {
        let claim = promise.claim();
        match (self, outcome) {
            (Telling::Check, Ok(_)) => format!("ok {claim}\n"),
            (Telling::Check, Err(broken)) => format!("FAILED {claim}: {broken}\n"),
            (Telling::Story(paper), outcome) => {
                let title = paper.bold(&format!("{number}  {}.", capital(claim)));
                let told = match outcome {
                    Ok(facts) => facts
                        .iter()
                        .map(|fact| line(paper, fact.of, &fact.what))
                        .collect(),
                    Err(broken) => line(paper, "", &broken.to_string()),
                };
                let mark = match outcome {
                    Ok(_) => paper.good("ok"),
                    Err(_) => paper.bad("FAILED"),
                };
                format!("{title}  {mark}\n{told}\n")
            }
        }
    }

    /// What stands after the promises.
    pub(crate) fn closing(self, kept: usize, took: Duration) -> String {
        let Telling::Story(paper) = self else {
            return String::new();
        };
        let all = Promise::ALL.len();
        let summary = format!(
            "{kept} of {all} promises observed at the apps, in {:.1} s.",
            took.as_secs_f64()
        );
        let summary = if kept == all {
            paper.bold(&summary)
        } else {
            paper.bad(&summary)
        };
        format!("{summary}\n")
    }

    /// How to try it by hand while it runs for `time`.
    pub(crate) fn by_hand(self, mesh: &Mesh<'_>, time: Duration) -> String {
        let paper = match self {
            Telling::Story(paper) => paper,
            Telling::Check => Paper::of_stdout(),
        };
        // No `#` before what is no command: not every shell takes it for a comment.
        let tries: String = Promise::ALL
            .into_iter()
            .map(|promise| {
                let Try { expect, lines } = by_hand::of(promise, mesh);
                let claim = paper.faint(&format!("{}: {expect}", capital(promise.claim())));
                format!("\n{claim}\n{}\n", lines.join("\n"))
            })
            .collect();
        format!(
            "\n{}\n{}{tries}",
            paper.bold(&format!(
                "It runs on for {}; Ctrl-C ends it and removes its files. To try it by hand:",
                config::unit::duration_text(time)
            )),
            line(paper, "files", &mesh.folder.path().display().to_string()),
        )
    }
}

fn picture(paper: Paper) -> String {
    let lines = [
        "  storefront ─► sidecar ══╗",
        "                          ╠═► sidecar ─► orders ─► sidecar ═══► sidecar ─► ledger",
        "  reports ────► sidecar ══╝",
    ];
    let key = "  ─► clear text, on one machine    ═► mutual TLS, between machines";
    format!("{}\n\n{}\n", lines.join("\n"), paper.faint(key))
}

/// A fact, broken into lines at blanks, its continuation below its beginning.
fn line(paper: Paper, of: &str, what: &str) -> String {
    let mut rows = vec![String::new()];
    for word in what.split(' ') {
        match rows.last_mut() {
            Some(row) if row.is_empty() => row.push_str(word),
            Some(row) if MARGIN + row.chars().count() + 1 + word.chars().count() <= WIDTH => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    let label = format!("   {of:<width$}", width = MARGIN - 3);
    let below = format!("\n{}", " ".repeat(MARGIN));
    format!("{}{}\n", paper.faint(&label), rows.join(&below))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Result<Vec<Fact>, Broken> {
        Err(Broken::Saw {
            app: "orders",
            what: "GET /x".into(),
        })
    }

    #[test]
    fn a_check_is_one_line_a_promise() {
        for (outcome, expected) in [
            (
                Ok(Vec::new()),
                "ok a stranger without a certificate is refused\n",
            ),
            (
                broken(),
                "FAILED a stranger without a certificate is refused: orders saw GET /x and should have seen nothing\n",
            ),
        ] {
            let told = Telling::Check.outcome(4, Promise::Stranger, &outcome);
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_story_shows_facts_within_the_width_of_a_terminal() {
        let fact = Fact {
            of: "why",
            what: "no rule names the caller; nearest is a rule of a name that is long enough to need another line".into(),
        };
        let told = Telling::Story(Paper::plain()).outcome(2, Promise::WrongRoute, &Ok(vec![fact]));
        let expected = "2  A caller is denied on a route that it may not call.  ok\n   \
                        why           no rule names the caller; nearest is a rule of a name that is\n                 \
                        long enough to need another line\n\n";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_story_tells_what_failed() {
        let told = Telling::Story(Paper::plain()).outcome(4, Promise::Stranger, &broken());
        assert!(
            told.contains("  FAILED\n") && told.contains("should have seen nothing"),
            "{told}"
        );
    }
}
