#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::written::*;
use super::*;

#[test]
fn a_server_has_settled_when_its_first_frame_came_whole() {
    let settings = frame(kind::SETTINGS, 0, 6);
    let mut answers = Answers::new(HEADER_BYTES);
    for part in [&settings[..9], &settings[9..14]] {
        answers.came(&mut part.to_vec()).unwrap();
        assert!(!answers.has_settled());
    }
    answers.came(&mut settings[14..].to_vec()).unwrap();
    assert!(answers.has_settled());
    answers.came(&mut frame(kind::DATA, 0, 10)[..12]).unwrap();
    assert!(answers.has_settled(), "whatever comes later");
}

#[test]
fn a_stream_that_is_reset_without_an_error_within_its_answer_is_cancelled() {
    let reset = |code| on(1, kind::RST_STREAM, 0, &[0, 0, 0, code]);
    let head = on(1, kind::HEADERS, EH, STATUS_200);
    let interim = on(1, kind::HEADERS, EH, STATUS_103);
    let data = on(1, kind::DATA, 0, b"abc");
    for (what, before, code, passes_as) in [
        ("in the middle", [&head[..], &data], 0, 8),
        ("after an interim answer", [&interim, &head], 0, 8),
        ("with an error", [&head, &data], 2, 2),
        ("after the end", [&head, &on(1, kind::DATA, ES, b"c")], 0, 0),
        (
            "after trailers",
            [&head, &on(1, kind::HEADERS, EH | ES, FIELD)],
            0,
            0,
        ),
        ("before the head", [&interim, &[]], 0, 0),
    ] {
        for pieces in [1, 1000] {
            let mut bytes = [before.concat(), reset(code)].concat();
            let mut answers = Answers::new(HEADER_BYTES);
            for piece in bytes.chunks_mut(pieces) {
                assert_eq!(answers.came(piece), Ok(()), "{what}");
            }
            let expected = [before.concat(), reset(passes_as)].concat();
            assert_eq!(bytes, expected, "{what}");
        }
    }
}

#[test]
fn an_answer_is_not_taken_back_and_its_trailers_are_no_head() {
    let head = on(5, kind::HEADERS, EH, STATUS_200);
    let interim = on(5, kind::HEADERS, EH, STATUS_103);
    let away = |last| on(0, kind::GOAWAY, 0, &[0, 0, 0, last, 0, 0, 0, 0]);
    let end = on(5, kind::HEADERS, EH | ES, STATUS_200);
    let both = on(5, kind::HEADERS, EH | ES, &[FIELD, STATUS_200].concat());
    for (what, frames, expected) in [
        ("an answer that goes on", [&head[..], &away(5)], Ok(())),
        ("one that is over", [&end, &away(0)], Ok(())),
        (
            "one that is taken back",
            [&head, &away(3)],
            Err(Wrong::TakenBack),
        ),
        ("a head after an interim one", [&interim, &end], Ok(())),
        ("a head after the head", [&head, &end], Err(Wrong::Trailers)),
        ("trailers with both", [&head, &both], Err(Wrong::Trailers)),
        (
            "trailers",
            [&head, &on(5, kind::HEADERS, EH | ES, FIELD)],
            Ok(()),
        ),
    ] {
        let mut bytes = frames.concat();
        assert_eq!(
            Answers::new(HEADER_BYTES).came(&mut bytes),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_notice_is_kept_where_it_is_to_be_and_what_takes_streams_back_never_is() {
    const NOBODY: u8 = 0xff;
    let away = |last: u32| {
        let code = [0, 0, 0, 0];
        on(
            0,
            kind::GOAWAY,
            0,
            &[&last.to_be_bytes(), &code[..]].concat(),
        )
    };
    let opened = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        on(5, kind::HEADERS, EH, FIELD),
        on(3, kind::HEADERS, EH | ES, FIELD),
    ];
    for (keeps, last, pieces, kind, notice) in [
        (true, 0x7fff_ffff, 1000, NOBODY, Notice::Kept),
        (true, 0xffff_ffff, 1000, NOBODY, Notice::Kept),
        (true, 7, 1000, NOBODY, Notice::Kept),
        (true, 5, 1000, kind::GOAWAY, Notice::None),
        (true, 0, 1000, kind::GOAWAY, Notice::None),
        (false, 0x7fff_ffff, 1000, kind::GOAWAY, Notice::Passed),
        (true, 0x7fff_ffff, 1, kind::GOAWAY, Notice::Passed),
        (true, 0x7fff_ffff, 9, kind::GOAWAY, Notice::Passed),
        (true, 0x7fff_ffff, 13, NOBODY, Notice::Kept),
    ] {
        let what = format!("{keeps} {last} {pieces}");
        let mut answers = Answers::new(HEADER_BYTES);
        opened
            .concat()
            .chunks(4)
            .for_each(|piece| answers.went(piece));
        answers.keeps_notices(keeps);
        let mut bytes = away(last);
        for piece in bytes.chunks_mut(pieces) {
            assert_eq!(answers.came(piece), Ok(()), "{what}");
        }
        let mut expected = away(last);
        expected[3] = kind;
        assert_eq!((bytes, answers.notice()), (expected, notice), "{what}");
    }
}
