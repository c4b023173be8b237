//! What holds for every text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use countersign_config::{Document, Findings, Kind};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::path::Path;

/// Valid documents to spoil: the references, as they are and with some of the hidden keys live.
fn seeds() -> Vec<String> {
    let mut seeds: Vec<String> = Kind::ALL.map(Kind::reference).into();
    let hidden =
        |line: &str| line.starts_with('#') && (!line.starts_with("# ") || line.starts_with("#  "));
    let live = |page: &String| {
        page.lines()
            .map(|line| if hidden(line) { &line[1..] } else { line })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let all: Vec<String> = seeds.iter().map(live).collect();
    seeds.extend(all);
    // Without comments a change hits something that counts.
    seeds
        .iter()
        .map(|page| {
            page.lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect()
        })
        .collect()
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Cut(Index, usize),
    Put(Index, String),
    DropLine(Index),
    CopyLine(Index, Index),
    Indent(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let pieces = vec![
        ":",
        " ",
        "\n",
        "-",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "!!str ",
        "|\n",
        ">\n",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "~",
        "true",
        "0",
        "\u{feff}",
        "é",
        "\r\n",
        "<<: ",
        "%YAML 1.2\n",
        "999999999999999999999",
        "10s",
        "spiffe://a/b",
        "unix:/x",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
    ];
    prop_oneof![
        (any::<Index>(), 1..20_usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), select(pieces)).prop_map(|(at, piece)| Edit::Put(at, piece.into())),
        (any::<Index>(), "\\PC{1,3}").prop_map(|(at, text)| Edit::Put(at, text)),
        any::<Index>().prop_map(Edit::DropLine),
        any::<(Index, Index)>().prop_map(|(from, to)| Edit::CopyLine(from, to)),
        any::<Index>().prop_map(Edit::Indent),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<String> = text.split('\n').map(str::to_string).collect();
    match edit {
        Edit::Cut(at, length) => {
            let at = at.index(chars.len() + 1);
            chars.drain(at..(at + length).min(chars.len()));
            return chars.into_iter().collect();
        }
        Edit::Put(at, piece) => {
            let at = at.index(chars.len() + 1);
            return chars[..at]
                .iter()
                .copied()
                .chain(piece.chars())
                .chain(chars[at..].iter().copied())
                .collect();
        }
        Edit::DropLine(at) => drop(lines.remove(at.index(lines.len()))),
        Edit::CopyLine(from, to) => {
            let line = lines[from.index(lines.len())].clone();
            lines.insert(to.index(lines.len()), line);
        }
        Edit::Indent(at) => {
            let at = at.index(lines.len());
            lines[at].insert(0, ' ');
        }
    }
    lines.join("\n")
}

fn check_findings(text: &str, findings: &Findings) {
    let lines = text.lines().count().max(1);
    assert!(!findings.0.is_empty());
    assert!(findings.0.len() <= 101);
    for finding in &findings.0 {
        assert!(finding.line <= lines, "{finding} in {lines} lines");
        assert_eq!(finding.line == 0, finding.column == 0, "{finding}");
        assert!(!finding.to_string().contains('\n'), "{finding}");
    }
}

/// What is valid is shown so that it reads back, from the working directory, as the same.
fn check_shown(kind: Kind, document: &Document) {
    let forms = [
        document.effective_yaml(),
        format!("{:#}", document.effective()),
    ];
    for shown in forms {
        let again = Document::parse(kind, &shown, Path::new("shown.yaml"))
            .unwrap_or_else(|findings| panic!("{findings}\n{shown}"));
        assert_eq!(
            without_lines(again),
            without_lines(document.clone()),
            "{shown}"
        );
    }
}

fn without_lines(document: Document) -> Document {
    let Document::Policy(mut policy) = document else {
        return document;
    };
    for rule in &mut policy.rules {
        rule.line = 0;
        rule.allow
            .iter_mut()
            .chain(&mut rule.deny)
            .for_each(|clause| clause.line = 0);
    }
    Document::Policy(policy)
}

fn check(text: &str) {
    let _ = Kind::guess(text);
    for kind in Kind::ALL {
        match Document::parse(kind, text, Path::new("etc/document.yaml")) {
            Ok(document) => check_shown(kind, &document),
            Err(findings) => check_findings(text, &findings),
        }
    }
}

#[test]
fn every_reference_is_shown_so_that_it_reads_back() {
    seeds().iter().for_each(|seed| check(seed));
}

#[test]
fn a_document_full_of_mistakes_says_how_many_are_left_out() {
    let text: String = (0..5000).map(|n| format!("wrong{n}: 1\n")).collect();
    let findings = Document::parse(Kind::Policy, &text, Path::new("p.yaml")).unwrap_err();
    check_findings(&text, &findings);
    assert_eq!(findings.0.len(), 101);
    assert_eq!(findings.0[100].what, "4901 more findings are not shown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics_and_every_finding_lies_inside(text: String, yaml in "[a-z:\\-\\[\\]{}\"'#&*!|>%@, \n]{0,60}") {
        check(&text);
        check(&yaml);
    }

    #[test]
    fn no_spoilt_document_panics_and_every_finding_lies_inside(seed in select(seeds()), edits in prop::collection::vec(edit(), 1..6)) {
        let text = edits.iter().fold(seed, |text, edit| apply(&text, edit));
        check(&text);
    }

    #[test]
    fn every_rule_name_that_is_valid_reads_back(name: String) {
        let name = serde_json::Value::from(name);
        check(&format!("rules: [{{ name: {name}, from: [\"spiffe://a/b\"], allow: [{{}}] }}]\n"));
    }
}
