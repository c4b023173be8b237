//! Documents of every kind: a sidecar's, a CA's, a policy.

use config::{Document, Kind};
use std::path::Path;

/// A document is valid, and its effective form says the same; or it has findings that point into it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = Path::new("document.yaml");
    // What holds for a kind, a guess does not change.
    let _ = Kind::guess(text);
    for kind in Kind::ALL {
        match Document::parse(kind, text, file) {
            Ok(document) => {
                let effective = document.effective_yaml();
                match Document::parse(kind, &effective, file) {
                    Ok(again) => assert_same(&again, &document, &effective),
                    Err(findings) => {
                        panic!("the effective form is refused: {findings}\n{effective}")
                    }
                }
            }
            Err(findings) => {
                assert!(!findings.0.is_empty(), "refused for nothing");
                let lines = text.lines().count() + 1;
                for finding in &findings.0 {
                    assert!(finding.line <= lines, "{finding}: of {lines} lines");
                    let line = finding.to_string();
                    assert!(!line.contains('\n'), "{line:?} is not one line");
                }
            }
        }
    }
}

/// Lines of clauses are those of the text, and the effective form is another text.
fn assert_same(again: &Document, first: &Document, text: &str) {
    if let (Document::Policy(_), Document::Policy(_)) = (again, first) {
        assert_eq!(again.effective(), first.effective(), "{text}");
    } else {
        assert_eq!(again, first, "{text}");
    }
}
