use super::*;
use std::collections::HashSet;

/// What the machine remembers of a head, in whatever pieces it comes.
#[track_caller]
fn names(head: &[u8]) -> Vec<u8> {
    let sizes = [head.len(), 1, 7];
    let [whole, bytes, pieces] = sizes.map(|size| {
        let mut machine = Requests::new(Bounds {
            head_bytes: usize::MAX,
            fields: usize::MAX,
        });
        for end in (size..head.len()).step_by(size) {
            assert_eq!(machine.judge(&head[..end]).unwrap(), Step::More);
        }
        let judged = machine.judge(head).unwrap();
        assert!(matches!(judged, Step::Head(length, _) if length == head.len()));
        let names = machine.names();
        assert_eq!(machine.names(), b"");
        names
    });
    assert_eq!(whole, bytes);
    assert_eq!(whole, pieces);
    whole
}

/// Names, a colon after each, as they are remembered.
fn remembered(names: &str) -> Vec<u8> {
    let mut remembered = Vec::new();
    for name in names.split_terminator(':') {
        super::super::spelling::remember(&mut remembered, name.as_bytes());
    }
    remembered
}

fn request(fields: &str) -> Vec<u8> {
    format!("GET /A HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

#[track_caller]
fn read(fields: &str, expected: &str) {
    let names = names(&request(fields));
    let expected = remembered(expected);
    assert_eq!(names, expected, "{}", names.escape_ascii());
}

#[track_caller]
fn written(names: &str, fields: &str, expected: &str) {
    let mut head = request(fields);
    let length = head.len();
    head.extend_from_slice(b"A: body\r\n\r\n");
    let end = spell(&mut head, &remembered(names));
    assert_eq!(end, Some(length));
    let expected = [&request(expected)[..], b"A: body\r\n\r\n"].concat();
    assert_eq!(head, expected, "{}", head.escape_ascii());
}

#[test]
fn names_are_remembered_only_where_one_of_them_has_a_capital() {
    read("host: a\r\nx-a: Value\r\n", "");
    read("host: a\r\nx_1!: B\r\n", "");
    read("Host: a\r\nx-a: B:c\r\n", "Host:x-a:");
    read("host: B:c\r\nx-a:\r\nX-A: 1\r\nb: 2\r\n", "host:x-a:X-A:b:");
}

#[test]
fn names_of_answers_are_remembered_one_head_at_a_time() {
    let mut machine = Answers::new(BOUNDS);
    machine.ask(GET);
    for (head, expected) in [
        ("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", "Link:"),
        ("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nETag: a\r\n\r\n", "ETag:"),
    ] {
        assert!(matches!(machine.judge(head.as_bytes()), Ok(Step::Head(..))));
        assert_eq!(machine.names(), remembered(expected));
    }
}

#[test]
fn fields_are_spelled_as_the_one_that_came_at_their_place_among_those_of_their_name() {
    written("Host:", "host: a\r\n", "Host: a\r\n");
    written("", "host: a\r\n", "host: a\r\n");
    // Removed, and added.
    written(
        "A:B:Host:C:",
        "host: b\r\nx-added: c\r\nc: A\r\n",
        "Host: b\r\nx-added: c\r\nC: A\r\n",
    );
    // Of one name, and no more of them than came.
    written(
        "X-A:b:x-a:X-a:",
        "x-a: 1\r\nx-a: 2\r\nx-a: 3\r\nx-a: 4\r\nb: 5\r\n",
        "X-A: 1\r\nx-a: 2\r\nX-a: 3\r\nx-a: 4\r\nb: 5\r\n",
    );
    // In another order.
    written(
        "A:B:C:",
        "c: 1\r\na: 2\r\nb: 3\r\n",
        "C: 1\r\nA: 2\r\nB: 3\r\n",
    );
    // One is the beginning of another; values are nobody's names.
    written("Ab:A:", "a: ab: ab\r\nab:a\r\n", "A: ab: ab\r\nAb:a\r\n");
}

#[test]
fn what_is_no_head_is_not_spelled() {
    for bytes in [
        "",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n\r",
        "GET / HTTP/1.1\r\nhost\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\n\n",
        "\0",
    ] {
        let mut head = bytes.as_bytes().to_vec();
        assert_eq!(spell(&mut head, &remembered("Host:")), None, "{bytes:?}");
    }
}

/// Quadratic otherwise: of 40 000 fields it would take minutes.
#[test]
fn who_sends_names_in_an_order_that_takes_long_gets_them_in_lower_case() {
    let came: String = (0..40_000).map(|at| format!("X{}:", at % 20_000)).collect();
    let fields = (0..40_000).map(|at| format!("x{}: 1\r\n", at / 2));
    let mut head = request(&fields.collect::<String>());
    let length = head.len();
    assert_eq!(spell(&mut head, &remembered(&came)), Some(length));
    assert!(head.windows(4).any(|name| name == b"X0: "));
    assert!(head.ends_with(b"\r\nx19999: 1\r\n\r\n"));
}

/// A few names, so that they come more than once.
fn spelled() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(&["a", "b", "ab", "x-a", "host-of", "etag"][..]);
    (name, any::<u16>()).prop_map(|(name, capitals)| {
        let spelled = name.chars().enumerate().map(|(at, letter)| {
            if capitals >> at & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        });
        spelled.collect()
    })
}

proptest! {
    /// As hyper writes a head: fields of one name where the first of them came, all in lower case.
    #[test]
    fn every_head_comes_out_with_the_spellings_that_went_in(
        names_in in proptest::collection::vec(spelled(), 0..12),
        removed in proptest::collection::vec(spelled(), 0..2),
        added in 0..3,
    ) {
        let came: String = names_in.iter().map(|name| format!("{name}: V\r\n")).collect();
        let names = names(&request(&format!("host: a\r\n{came}")));
        let removed: HashSet<_> = removed.iter().map(|name| name.to_lowercase()).collect();
        let (mut expected, mut seen) = (Vec::new(), HashSet::new());
        for name in names_in.iter().map(|name| name.to_lowercase()) {
            if !removed.contains(&name) && seen.insert(name.clone()) {
                let alike = names_in.iter().filter(|it| it.to_lowercase() == name);
                expected.extend(alike.cloned());
            }
        }
        expected.extend((0..added).map(|at| format!("x-added-{at}")));
        let fields: String = expected.iter().map(|name| format!("{name}: V\r\n")).collect();
        let expected = request(&format!("host: a\r\n{fields}"));
        let mut head = expected.to_ascii_lowercase();
        head[..b"GET /A HTTP/1.1".len()].copy_from_slice(b"GET /A HTTP/1.1");
        let head = String::from_utf8(head).unwrap().replace(": v\r\n", ": V\r\n");
        let mut head = head.into_bytes();
        prop_assert_eq!(spell(&mut head, &names), Some(head.len()));
        prop_assert_eq!(head, expected);
    }
    #[test]
    fn nothing_but_the_case_of_letters_changes(
        bytes in nearly(),
        names in proptest::collection::vec(spelled(), 0..8),
    ) {
        let names: String = names.iter().map(|name| format!("{name}:")).collect();
        let mut spelled = bytes.clone();
        let _ = spell(&mut spelled, &remembered(&names));
        prop_assert!(spelled.eq_ignore_ascii_case(&bytes));
    }
}
