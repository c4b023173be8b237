//! HTTP/2 by the frame: what is sent stands in `tests/corpus`, what comes back is read and judged.

pub mod hpack;
pub mod notation;
pub mod wire;
pub mod judge;

use judge::Expected;
use notation::{Act, acts, split};
use std::path::Path;

/// A line of the corpus of clients.
pub struct Case {
    pub name: String,
    /// Whether it is played at the listener for apps, and at that for peers.
    pub outbound: bool,
    pub inbound: bool,
    pub acts: Vec<Act>,
    /// Nothing is sent before it.
    pub bare: bool,
    pub expected: Vec<Expected>,
}

/// The cases of `tests/corpus/http2.txt`; panics with every line that is none.
pub fn cases(corpus: &str) -> Vec<Case> {
    read(corpus, |columns| {
        let [name, listeners, acts_of, expected] = columns else {
            return Err("four columns".into());
        };
        let (outbound, inbound) = match *listeners {
            "both" => (true, true),
            "outbound" => (true, false),
            "inbound" => (false, true),
            other => return Err(format!("{other} is no listener")),
        };
        let (bare, acts_of) = match acts_of.strip_prefix("BARE") {
            Some(rest) => (true, rest.trim_start().trim_start_matches(';')),
            None => (false, *acts_of),
        };
        Ok(Case {
            name: (*name).to_owned(),
            outbound,
            inbound,
            acts: acts(acts_of)?,
            bare,
            expected: judge::expectations(expected)?,
        })
    })
}

/// A line of the corpus of servers.
pub struct Lie {
    pub name: String,
    /// What the caller does.
    pub asks: Vec<Act>,
    /// What the app does, once a request has come to it.
    pub says: Vec<Act>,
    pub expected: Vec<Expected>,
}

/// The cases of `tests/corpus/http2-answers.txt`.
pub fn lies(corpus: &str) -> Vec<Lie> {
    read(corpus, |columns| {
        let [name, asks, says, expected] = columns else {
            return Err("four columns".into());
        };
        Ok(Lie {
            name: (*name).to_owned(),
            asks: acts(asks)?,
            says: acts(says)?,
            expected: judge::expectations(expected)?,
        })
    })
}

fn read<T>(corpus: &str, case: impl Fn(&[&str]) -> Result<T, String>) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(corpus);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let (mut cases, mut wrong) = (Vec::new(), String::new());
    for (number, line) in lines {
        match case(&split(line, '|')) {
            Ok(case) => cases.push(case),
            Err(why) => wrong.push_str(&format!("\n{corpus}:{number}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    cases
}
