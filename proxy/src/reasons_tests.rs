#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is written like a reason and is none: RFC 9209's errors, results of retries, names of things.
const NOT_REASONS: &[&str] = &[
    "access_log",
    "connection_read_timeout",
    "connection_terminated",
    "connection_timeout",
    "destination_ip_prohibited",
    "destination_not_found",
    "destination_unavailable",
    "dns_error",
    "dns_timeout",
    "http_protocol_error",
    "http_request_denied",
    "http_request_error",
    "http_response_timeout",
    "no_budget",
    "proxy_internal_error",
    "proxy_internal_response",
    "proxy_loop_detected",
    "tls_certificate_error",
    "tls_protocol_error",
];

/// Reasons of one word, which are not told from other words.
const ONE_WORD: &[&str] = &["cut", "idle", "loop", "silent", "userinfo"];

/// Calls that take a reason: one of one word would be missed otherwise.
const TAKE_A_REASON: &[&str] = &[
    "unsent(",
    "sent(",
    "limits_it(",
    "limited(",
    "refused_head(",
    "ends(",
    "condemn(",
    "because(",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// What is shipped of a file, without its comments.
fn shipped(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(letter)
}

/// Literals of several words, and those of one that are handed to who takes a reason.
fn written(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('"') {
        let Some(word) = text[at + 1..]
            .split('"')
            .next()
            .filter(|word| is_word(word))
        else {
            continue;
        };
        let call = text[..at].trim_end_matches(|c: char| c != '(');
        let handed = text[call.len()..at].len() < 60
            && TAKE_A_REASON.iter().any(|name| call.ends_with(name));
        if word.contains('_') || handed {
            found.insert(word.to_owned());
        }
    }
    found
}

fn reasons_in_sources() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for other in [
        "policy/src/path.rs",
        "policy/src/verdict.rs",
        "identity/src/tls/refusal.rs",
    ] {
        files.push(root.join("..").join(other));
    }
    let all = files.iter().flat_map(|path| written(&shipped(path)));
    all.filter(|word| !NOT_REASONS.contains(&word.as_str()))
        .collect()
}

/// The first column of the tables.
fn reasons_explained() -> Vec<&'static str> {
    let rows = REASONS.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap()).collect()
}

#[test]
fn every_reason_has_one_line_and_every_line_a_reason() {
    let mut written = reasons_in_sources();
    written.extend(ONE_WORD.iter().map(|word| (*word).to_owned()));
    let explained = reasons_explained();

    let without_line: Vec<_> = written
        .iter()
        .filter(|reason| !explained.contains(&reason.as_str()))
        .collect();
    assert_eq!(
        without_line,
        Vec::<&String>::new(),
        "give them lines in proxy/src/reasons.md"
    );
    let about_none: Vec<_> = explained
        .iter()
        .filter(|reason| !written.contains(**reason))
        .collect();
    assert_eq!(
        about_none,
        Vec::<&&str>::new(),
        "nothing gives these any more"
    );
    let once: BTreeSet<_> = explained.iter().collect();
    assert_eq!(once.len(), explained.len(), "one stands twice");
}

#[test]
fn every_line_says_what_becomes_an_example_and_what_to_do() {
    for line in REASONS.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
    }
}
