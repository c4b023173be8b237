#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use proptest::prelude::*;

const END_STREAM: u8 = kind::END_STREAM;
const END_HEADERS: u8 = kind::END_HEADERS;

/// A block in one frame, with these flags and this payload.
fn framed(fields: &mut Fields, flags: u8, payload: &[u8]) -> Option<Block> {
    part(fields, kind::HEADERS, flags | END_HEADERS, payload)
}

fn part(fields: &mut Fields, kind: u8, flags: u8, payload: &[u8]) -> Option<Block> {
    let length = u32::try_from(payload.len()).unwrap();
    fields.begins(Frame {
        length,
        kind,
        flags,
        stream: 5,
    });
    fields.payload(payload)
}

fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    match name {
        "" => [vec![first], text(value)].concat(),
        name => [vec![first], text(name), text(value)].concat(),
    }
}

#[track_caller]
fn check(what: &str, block: &[u8], has_pseudo: bool, is_final: bool) {
    let seen = framed(&mut Fields::new(), END_STREAM, block).unwrap();
    let expected = Block {
        stream: 5,
        ends_stream: true,
        has_pseudo,
        is_final,
    };
    assert_eq!(seen, expected, "{what}");
}

#[test]
fn a_pseudo_header_field_is_found_however_hpack_writes_it() {
    check("nothing", b"", false, false);
    check("a field of the static table", &[0x90], false, false);
    check(":method GET", &[0x82], true, true);
    check(":status 200", &[0x88], true, true);
    check(":status 500", &[0x8e], true, true);
    check("the first that is none", &[0x8f], false, false);
    check("a literal", &literal(0, "x", "y"), false, false);
    check(
        "a literal with a colon within",
        &literal(0, "x:", ":"),
        false,
        false,
    );
    check("a literal :x", &literal(0x10, ":x", "y"), true, true);
    check("a literal of nothing", &literal(0, ":x", ""), true, true);
    check("an interim :status", &literal(0x08, "", "103"), true, false);
    check("a final one", &literal(0x08, "", "204"), true, true);
    check(
        "in Huffman's code, 103",
        &[0x08, 0x82, 0x08, 0x19],
        true,
        false,
    );
    check(
        "in Huffman's code, 302",
        &[0x48, 0x82, 0x64, 0x02],
        true,
        true,
    );
    check(
        ":path in Huffman's code",
        &[0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 0x01, b'/'],
        true,
        true,
    );
    check("after a smaller table", &[0x20, 0x82], true, true);
    check(
        "after a larger number",
        &[0x3f, 0xe1, 0x1f, 0x82],
        true,
        true,
    );
    let long = [
        literal(0, "x", "y"),
        literal(0, "y", &"z".repeat(100)),
        vec![0x84],
    ]
    .concat();
    check("after others", &long, true, true);
}

#[test]
fn what_was_put_into_the_table_is_known_by_its_place() {
    let mut fields = Fields::new();
    framed(&mut fields, 0, &literal(0x40, ":x", "y")).unwrap();
    framed(&mut fields, 0, &literal(0x48, "", "103")).unwrap();
    framed(&mut fields, 0, &literal(0x40, "x", "y")).unwrap();
    for (index, has_pseudo, is_final) in [
        (0xbe, false, false),
        (0xbf, true, false),
        (0xc0, true, true),
    ] {
        let seen = framed(&mut fields, 0, &[index]).unwrap();
        assert_eq!(
            (seen.has_pseudo, seen.is_final),
            (has_pseudo, is_final),
            "{index:x}"
        );
    }
    // The name of an entry, with another value.
    for (name, has_pseudo) in [(62, false), (63, true), (64, true), (65, false)] {
        let seen = framed(&mut fields, 0, &[0x0f, name - 15, 1, b'2']).unwrap();
        assert_eq!(seen.has_pseudo, has_pseudo, "{name}");
    }
}

#[test]
fn padding_priorities_and_pieces_are_no_part_of_a_block() {
    let mut fields = Fields::new();
    let padded = [&[2][..], &[0x90], &[0x82, 0x82]].concat();
    assert!(!framed(&mut fields, PADDED, &padded).unwrap().has_pseudo);
    let both = [&[1][..], &[0x82; 5], &[0x90], &[0x82]].concat();
    assert!(
        !framed(&mut fields, PADDED | PRIORITY, &both)
            .unwrap()
            .has_pseudo
    );
    let prior = [&[0x90; 5][..], &[0x82]].concat();
    assert!(framed(&mut fields, PRIORITY, &prior).unwrap().has_pseudo);
    // More padding than there is: h2 refuses that.
    assert!(framed(&mut fields, PADDED, &[200, 0x82]).is_some());
    assert_eq!(part(&mut fields, kind::HEADERS, 0, &[0x00, 2, b':']), None);
    assert_eq!(part(&mut fields, kind::CONTINUATION, 0, &[]), None);
    assert_eq!(part(&mut fields, kind::DATA, END_HEADERS, &[0x82]), None);
    let seen = part(&mut fields, kind::CONTINUATION, END_HEADERS, b"x\x01y");
    assert!(seen.unwrap().has_pseudo);
}

proptest! {
    /// Whatever comes, in whatever pieces, ends the same way, and no number is too large.
    #[test]
    fn pieces_make_no_difference(block: Vec<u8>, cuts: Vec<u8>) {
        let whole = framed(&mut Fields::new(), END_STREAM, &block);
        let mut fields = Fields::new();
        let length = u32::try_from(block.len()).unwrap();
        let flags = END_STREAM | END_HEADERS;
        fields.begins(Frame { length, kind: kind::HEADERS, flags, stream: 5 });
        let (mut rest, mut seen) = (&block[..], None);
        for cut in cuts {
            let (piece, after) = rest.split_at(rest.len().min(cut.into()));
            seen = seen.or(fields.payload(piece));
            rest = after;
        }
        seen = seen.or(fields.payload(rest));
        prop_assert_eq!(seen, whole);
    }
}
