//! What answers on a CA's socket and is none: a verb ends in one printable line, in time, and writes nothing.

use crate::operators::{ORDERS, answer, now_s, wrong};
use crate::support::ca::Home;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

/// Answers every connection to a socket with these bytes.
fn pretend(home: &Home, bytes: Vec<u8>) {
    // The one before may stand there still.
    let _ = fs::remove_file(home.path("ca.sock"));
    let listener = UnixListener::bind(home.path("ca.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: UnixStream = stream.unwrap();
            let mut head = [0; 1024];
            // Whoever has heard enough goes away.
            let _ = stream
                .read(&mut head)
                .and_then(|_| stream.write_all(&bytes));
        }
    });
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn what_answers_and_is_no_ca_ends_a_verb_in_one_printable_line() {
    let home = Home::new();
    let unexpected = |why: &str| {
        format!("ca.sock: unexpected answer: {why}; is this the socket of the CA? look at its log")
    };
    let closed = "ca.sock: no answer: the connection was closed; ask as root or as the CA's own user, nobody else is heard, and look at its log";
    let whole = http("200 OK", "{\"listed\":[],\"next\":null}");
    let large = "x".repeat(4 * 1024 * 1024 + 1);
    let refusal = "{\"error\":\"x\",\"message\":\"no: \\u001b[2Jwhy\\nnot; wait\"}";
    for (bytes, code, expected) in [
        (Vec::new(), 3, closed.to_owned()),
        (whole[..whole.len() - 4].to_vec(), 3, closed.to_owned()),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec(), 3, unexpected("it is no HTTP")),
        (
            http("200 OK", "hello"),
            3,
            "ca.sock: not understood: it is no JSON object; look at both versions".into(),
        ),
        (
            http("200 OK", "{\"listed\":7}"),
            3,
            "ca.sock: not understood: `listed` is missing or not of its kind; look at both versions".into(),
        ),
        (
            http("200 OK", "{\"listed\":[],\"next\":\"1.1\"}"),
            3,
            unexpected("its list goes on without certificates"),
        ),
        (
            http("200 OK", &large),
            3,
            unexpected("it has more than 4194304 bytes"),
        ),
        (
            http("503 Service Unavailable", "no answer within 5 s\nx"),
            3,
            unexpected("HTTP 503, no answer within 5 s"),
        ),
        (
            http("403 Forbidden", refusal),
            1,
            "no: \\u{1b}[2Jwhy\\nnot; wait".into(),
        ),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        pretend(&home, bytes);
        assert_eq!(wrong(&home, "list"), (Some(code), expected), "{shown}");
    }
}

#[test]
fn a_certificate_that_was_not_asked_for_is_not_written() {
    let home = Home::new();
    let other = Home::new();
    answer(
        &other,
        &format!("issue --dir ca --id {ORDERS} --out orders"),
    );
    let read = |name: &str| fs::read_to_string(other.path("orders").join(name)).unwrap();
    let chain = identity::pem::certificates(read("svid.pem").as_bytes()).unwrap();
    let right = identity::Leaf::parse(&chain[0]).unwrap().serial;
    for (serial, why) in [
        ("42", "its certificate is not the one that it speaks of"),
        (&right, "the private key does not belong to the certificate"),
    ] {
        let body = serde_json::json!({
            "serial": serial, "index": 0, "not_after_unix_s": now_s() + 3600,
            "chain": read("svid.pem"), "bundle": read("bundle.pem"),
        });
        pretend(&home, http("200 OK", &body.to_string()));

        let refused = wrong(&home, &format!("issue --id {ORDERS} --out orders"));

        let expected = format!(
            "ca.sock: unexpected answer: {why}; is this the socket of the CA? look at its log"
        );
        assert_eq!(refused, (Some(3), expected));
        assert!(!home.path("orders").exists());
    }
}
