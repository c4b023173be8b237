//! The same promises to be tried by hand: lines to copy, with the ports and files of the mesh that runs.

use super::caller::Call;
use super::folder::Who;
use super::mesh::Mesh;
use super::promises::{FORGED, PAYMENTS, Promise, REMOVE_TEA};
use super::trial::TEA;
use std::net::SocketAddr;

/// What to type for a promise.
pub(crate) struct Try {
    /// What comes of it.
    pub(crate) expect: &'static str,
    /// Each is one command for a shell.
    pub(crate) lines: Vec<String>,
}

/// What to type for a promise on a running mesh.
pub(crate) fn of(promise: Promise, mesh: &Mesh<'_>) -> Try {
    let (at, network) = (&mesh.at, mesh.at.orders_in);
    let (expect, lines) = match promise {
        Promise::Allowed => (
            "200, and orders names its caller",
            vec![
                through(at.storefront_out, &TEA),
                straight(&format!("http://{}/", at.storefront)),
            ],
        ),
        Promise::WrongCaller => (
            "403, and the reason for the operator alone",
            vec![
                through(at.reports_out, &TEA),
                explain(mesh, Who::Reports, &TEA),
            ],
        ),
        Promise::WrongRoute => (
            "403, and the reason for the operator alone",
            vec![
                through(at.storefront_out, &REMOVE_TEA),
                explain(mesh, Who::Storefront, &REMOVE_TEA),
            ],
        ),
        Promise::Stranger => (
            "no answer, the connection ends",
            vec![
                straight(&format!("-k https://{network}{}", TEA.path)),
                straight(&format!("http://{network}{}", TEA.path)),
            ],
        ),
        Promise::WrongServer => (
            "502, tls_certificate_error",
            vec![through(at.storefront_out, &PAYMENTS)],
        ),
        Promise::ForgedName => (
            "200, and orders names storefront all the same",
            forged(mesh),
        ),
        Promise::Renewed => (
            "another serial every 10 seconds or so",
            vec![format!(
                "{} svid show {}",
                program(),
                path(mesh, Who::Orders, "state/current/svid.pem")
            )],
        ),
        Promise::CaAway => (
            "1 while the CA is there; and how long it may be away",
            vec![format!(
                "curl -s --noproxy '*' http://{}/metrics | grep -E '^countersign_(ca_reachable|expiry_seconds)'",
                at.orders_metrics
            )],
        ),
    };
    Try { expect, lines }
}

/// A call through a sidecar, which is a forward proxy too.
fn through(sidecar: SocketAddr, call: &Call<'_>) -> String {
    let method = match call.method {
        "GET" => String::new(),
        other => format!("-X {other} "),
    };
    format!(
        "curl -i --proxy http://{sidecar} {method}http://{}{}",
        call.host, call.path
    )
}

/// A call to a port itself: no proxy of the user's may stand between.
fn straight(url: &str) -> String {
    format!("curl -i --noproxy '*' {url}")
}

/// Another's name, said by storefront through its sidecar and with its certificate alone.
fn forged(mesh: &Mesh<'_>) -> Vec<String> {
    let [(name, value), _] = FORGED;
    let lie = format!("-H {}", quoted(&format!("{name}: {value}")));
    let file = |name| path(mesh, Who::Storefront, name);
    vec![
        format!("{} {lie}", through(mesh.at.storefront_out, &TEA)),
        // curl looks for a host's name, which a SPIFFE certificate does not have: -k.
        straight(&format!(
            "-k --cert {} --key {} -H 'host: {}' {lie} https://{}{}",
            file("state/current/svid.pem"),
            file("state/current/key.pem"),
            TEA.host,
            mesh.at.orders_in,
            TEA.path
        )),
    ]
}

/// The line that asks orders' policy the same question.
fn explain(mesh: &Mesh<'_>, who: Who, call: &Call<'_>) -> String {
    format!(
        "{} policy explain --policy {} --from {} --method {} --path {}",
        program(),
        path(mesh, Who::Orders, "policy.yaml"),
        who.id(),
        call.method,
        call.path
    )
}

/// This program, for a shell.
fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "countersign".into());
    quoted(&program.display().to_string())
}

fn path(mesh: &Mesh<'_>, who: Who, name: &str) -> String {
    quoted(&mesh.folder.file(who, name).display().to_string())
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_stays_one_word_in_a_shell() {
        for (word, expected) in [
            ("/tmp/a-b_c.1/key.pem", "/tmp/a-b_c.1/key.pem"),
            ("/tmp/my files/key.pem", "'/tmp/my files/key.pem'"),
            ("x: a;b", "'x: a;b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
