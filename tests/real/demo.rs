//! Every line that `countersign demo --for` prints to be copied, copied.

use crate::support::process::{Process, Ran, countersign, run};
use std::process::Command;

/// What each line shows, in their order: an exit code that is wanted, and what stands in its output.
const SHOWN: &[(Wanted, &str)] = &[
    (Wanted::Code(0), "200 OK"),
    (Wanted::Code(0), "<td>tea</td>"),
    (Wanted::Code(0), "403 Forbidden"),
    (Wanted::Code(1), "no rule names the caller"),
    (Wanted::Code(0), "403 Forbidden"),
    (Wanted::Code(1), "no rule allows it"),
    (Wanted::Failure, ""),
    (Wanted::Failure, ""),
    (Wanted::Code(0), "error=tls_certificate_error"),
    (
        Wanted::Code(0),
        "\"caller\":\"spiffe://shop.example/storefront\"",
    ),
    (
        Wanted::Code(0),
        "\"caller\":\"spiffe://shop.example/storefront\"",
    ),
    (Wanted::Code(0), "spiffe://shop.example/orders"),
    (Wanted::Code(0), "countersign_ca_reachable 1"),
];

#[derive(Debug)]
enum Wanted {
    Code(i32),
    /// Any code but 0: how curl names a connection that ended depends on its version.
    Failure,
}

#[test]
#[ignore = "needs curl: apt-get install curl"]
fn each_line_to_be_tried_by_hand_shows_what_is_said_of_it() {
    let demo = Process::start(countersign().args(["demo", "--for", "5m"]));
    // The promises that take their time come one after the other.
    for words in ["identities live for 20 s", "the CA stays away"] {
        let found = |line: &str| line.contains(words).then_some(());
        demo.out.wait_for(words, found);
    }
    let last = "countersign_(ca_reachable";
    demo.out
        .wait_for("the last line", |line| line.contains(last).then_some(()));
    let lines: Vec<String> = demo
        .out
        .so_far()
        .into_iter()
        .filter(|line| {
            line.starts_with("curl ")
                || line.contains(" policy explain ")
                || line.contains(" svid show ")
        })
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines.len(), SHOWN.len(), "{lines:#?}");

    for (line, (wanted, shown)) in lines.iter().zip(SHOWN) {
        let Ran { code, out, err } = run(Command::new("sh").args(["-c", line]));
        let right = match wanted {
            Wanted::Code(wanted) => code == Some(*wanted),
            Wanted::Failure => code.is_some_and(|code| code != 0) && out.is_empty(),
        };
        assert!(
            right && out.contains(shown),
            "{line}\n{wanted:?} {code:?}\n{out}{err}"
        );
    }

    assert_eq!(demo.terminate().code(), Some(0));
}
