#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

mod requests;
mod bodies;
mod answers;
mod spelling;

const BOUNDS: Bounds = Bounds {
    head_bytes: 1024,
    fields: 8,
};

/// What was made of some bytes: lengths of heads and bodies, in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Head(usize, Framing),
    Body(usize),
}

/// All that a machine makes of bytes that come in pieces of these sizes, over and over.
fn run<H>(
    mut judge: impl FnMut(&[u8]) -> Result<Step<H>, Fault>,
    framing: impl Fn(&H) -> Framing,
    bytes: &[u8],
    sizes: &[usize],
) -> (Vec<Seen>, Option<Fault>) {
    let (mut seen, mut held, mut body) = (Vec::new(), Vec::new(), 0);
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).min(rest.len());
        held.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        while !held.is_empty() {
            match judge(&held) {
                Err(fault) => return (seen, Some(fault)),
                Ok(Step::More) => break,
                Ok(Step::Head(length, head)) => {
                    seen.push(Seen::Head(length, framing(&head)));
                    held.drain(..length);
                }
                Ok(Step::Body(length, end)) => {
                    assert!(length > 0, "it goes on");
                    body += length;
                    held.drain(..length);
                    if end == End::Here {
                        seen.push(Seen::Body(std::mem::take(&mut body)));
                    }
                }
            }
        }
    }
    (seen, None)
}

fn requests_in(bytes: &[u8], sizes: &[usize]) -> (Vec<Seen>, Option<Fault>) {
    let mut machine = Requests::new(BOUNDS);
    run(
        |bytes| machine.judge(bytes),
        |head| head.framing,
        bytes,
        sizes,
    )
}

fn answers_in(asked: Asked, bytes: &[u8], sizes: &[usize]) -> (Vec<Seen>, Option<Fault>) {
    let mut machine = Answers::new(BOUNDS);
    machine.ask(asked);
    run(
        |bytes| machine.judge(bytes),
        |head| head.framing,
        bytes,
        sizes,
    )
}

const GET: Asked = Asked {
    kind: Kind::Other,
    wants_upgrade: false,
};

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, fault: Fault) {
    let bytes = bytes.as_ref();
    for sizes in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        let (_, seen) = requests_in(bytes, sizes);
        assert_eq!(seen, Some(fault), "{}", bytes.escape_ascii());
    }
}

#[track_caller]
fn passed(bytes: impl AsRef<[u8]>, expected: &[Seen]) {
    let bytes = bytes.as_ref();
    for sizes in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        let seen = requests_in(bytes, sizes);
        assert_eq!(seen, (expected.to_vec(), None), "{}", bytes.escape_ascii());
    }
}

#[track_caller]
fn passed_line(line: &str) {
    let head = format!("{line}\r\nHost: a\r\n\r\n");
    passed(&head, &[Seen::Head(head.len(), Framing::None)]);
}

#[track_caller]
fn passed_fields(fields: &str, framing: Framing) {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    passed(&head, &[Seen::Head(head.len(), framing)]);
}

#[track_caller]
fn refused_line(line: impl AsRef<[u8]>, fault: Fault) {
    refused([line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat(), fault);
}

#[track_caller]
fn refused_fields(fields: impl AsRef<[u8]>, fault: Fault) {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\n";
    refused([head, fields.as_ref(), b"\r\n"].concat(), fault);
}

/// Bytes that are nearly requests.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X: a\r\n",
        b"\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"hello",
        b"0\r\n\r\n",
        b"5;a=\"b\"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\0",
    ];
    let part = prop_oneof![
        20 => proptest::sample::select(parts).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..20),
        1 => (0usize..1500).prop_map(|length| vec![b'a'; length]),
    ];
    proptest::collection::vec(part, 1..16).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn values_are_scanned_eight_bytes_at_a_time_as_they_are_one_by_one(
        mut bytes in proptest::collection::vec(0x20u8..0x7f, 0..40),
        other in any::<u8>(),
        at in any::<prop::sample::Index>(),
    ) {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = other;
        }
        prop_assert_eq!(class::run_of_value(&bytes), class::run(&bytes, class::VALUE));
    }
    #[test]
    fn requests_are_judged_alike_however_they_are_cut(
        bytes in nearly(),
        sizes in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let whole = requests_in(&bytes, &[usize::MAX]);
        prop_assert_eq!(&requests_in(&bytes, &sizes), &whole);
        prop_assert_eq!(&requests_in(&bytes, &[1]), &whole);
    }
    #[test]
    fn answers_are_judged_alike_however_they_are_cut(
        bytes in nearly(),
        sizes in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let whole = answers_in(GET, &bytes, &[usize::MAX]);
        prop_assert_eq!(&answers_in(GET, &bytes, &sizes), &whole);
        prop_assert_eq!(&answers_in(GET, &bytes, &[1]), &whole);
    }
}
