#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::frame::HEAD_BYTES;
use super::*;
use proptest::prelude::*;

const HUNDRED: Rate = Rate {
    times: 100,
    per: Duration::from_secs(1),
};

/// Large enough that no other test comes near.
const HEADER_BYTES: usize = 64 * 1024;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let bytes = u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = vec![bytes[1], bytes[2], bytes[3], kind, flags, 0, 0, 0, 1];
    frame.resize(HEAD_BYTES + length, 0);
    frame
}

fn begun() -> Tally {
    begun_with(HEADER_BYTES)
}

fn begun_with(header_bytes: usize) -> Tally {
    let mut tally = Tally::new(HUNDRED, HUNDRED, header_bytes);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    tally.came(preface, || Duration::ZERO).unwrap();
    let settings = frame(kind::SETTINGS, 0, 0);
    tally.came(&settings, || Duration::ZERO).unwrap();
    tally
}

#[test]
fn a_connection_begins_with_settings_and_until_then_with_a_head() {
    for (first, expected) in [
        (frame(kind::SETTINGS, 0, 6), Ok(())),
        (frame(kind::SETTINGS, kind::ACK, 0), Err(Flood::Unsettled)),
        (
            frame(kind::HEADERS, kind::END_HEADERS, 9),
            Err(Flood::Unsettled),
        ),
        (frame(kind::PING, 0, 8), Err(Flood::Unsettled)),
    ] {
        let mut tally = Tally::new(HUNDRED, HUNDRED, HEADER_BYTES);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for part in [&preface[..9], &preface[9..]] {
            tally.came(part, || Duration::ZERO).unwrap();
            assert!(tally.in_head());
        }
        assert_eq!(tally.came(&first, || Duration::ZERO), expected);
        assert!(!tally.in_head());
    }
}

/// So many of a frame at one moment: which of them, from 0, is one too many?
fn one_too_many(tally: &mut Tally, bytes: &[u8], at_ms: u64) -> Option<(usize, Flood)> {
    let now = || Duration::from_millis(at_ms);
    (0..2000).find_map(|n| tally.came(bytes, now).err().map(|flood| (n, flood)))
}

#[test]
fn each_kind_that_carries_nothing_has_its_bound_and_its_reason() {
    for (kind, flags, length, flood) in [
        (kind::RST_STREAM, 0, 4, Some(Flood::Resets)),
        (kind::PING, 0, 8, Some(Flood::Pings)),
        (kind::PING, kind::ACK, 8, Some(Flood::Pings)),
        (kind::SETTINGS, 0, 6, Some(Flood::Settings)),
        (kind::SETTINGS, kind::ACK, 0, None),
        (kind::DATA, 0, 0, Some(Flood::EmptyData)),
        (kind::DATA, kind::END_STREAM, 0, None),
        (kind::DATA, 0, 1, None),
        (kind::WINDOW_UPDATE, 0, 4, Some(Flood::Windows)),
        (kind::PRIORITY, 0, 5, Some(Flood::Priorities)),
        (kind::HEADERS, kind::END_HEADERS, 30, None),
        (0xb, 0, 0, Some(Flood::Unknown)),
    ] {
        let seen = one_too_many(&mut begun(), &frame(kind, flags, length), 0);
        assert_eq!(seen, flood.map(|flood| (100, flood)), "{kind} {flags}");
    }
}

#[test]
fn what_was_taken_comes_back_at_its_rate() {
    let ping = frame(kind::PING, 0, 8);
    let mut tally = begun();
    assert_eq!(
        one_too_many(&mut tally, &ping, 0),
        Some((100, Flood::Pings))
    );
    assert_eq!(one_too_many(&mut tally, &ping, 50), Some((5, Flood::Pings)));
    assert_eq!(
        one_too_many(&mut tally, &ping, 9_000),
        Some((100, Flood::Pings))
    );
}

#[test]
fn pings_that_measure_a_bandwidth_while_data_flows_are_never_too_many() {
    let (ping, window) = (frame(kind::PING, 0, 8), frame(kind::WINDOW_UPDATE, 0, 4));
    let data = frame(kind::DATA, 0, 100);
    let mut tally = begun();
    for n in 0..10_000 {
        tally.went(&data);
        for bytes in [&window, &window, &ping] {
            assert_eq!(tally.came(bytes, || Duration::ZERO), Ok(()), "{n}");
        }
    }
}

#[test]
fn who_gets_answers_may_reset_as_many_and_who_waits_for_none_may_not() {
    let (head, reset) = (
        frame(kind::HEADERS, kind::END_HEADERS, 30),
        frame(kind::RST_STREAM, 0, 4),
    );
    let answer = frame(kind::HEADERS, kind::END_HEADERS | kind::END_STREAM, 20);
    let mut tally = begun();
    for n in 0..10_000 {
        tally.came(&head, || Duration::ZERO).unwrap();
        tally.went(&answer);
        assert_eq!(tally.came(&reset, || Duration::ZERO), Ok(()), "{n}");
    }
    let rapid = [head, reset].concat();
    assert_eq!(
        one_too_many(&mut begun(), &rapid, 0),
        Some((100, Flood::Resets))
    );
}

#[test]
fn nobody_saves_up_for_a_flood() {
    let mut tally = begun();
    let data = frame(kind::DATA, 0, 1);
    for _ in 0..100_000 {
        tally.went(&data);
    }
    let flood = one_too_many(&mut tally, &frame(kind::PING, 0, 8), 0);
    assert_eq!(flood, Some((1100, Flood::Pings)));
}

#[test]
fn a_head_is_under_way_until_its_last_frame_has_begun() {
    let now = || Duration::ZERO;
    let mut tally = begun();
    assert!(!tally.in_head());
    tally.came(&frame(kind::HEADERS, 0, 10)[..3], now).unwrap();
    assert!(tally.in_head(), "a part of a frame's head");
    tally.came(&frame(kind::HEADERS, 0, 10)[3..], now).unwrap();
    assert!(tally.in_head(), "it is to be continued");
    tally.came(&frame(kind::CONTINUATION, 0, 5), now).unwrap();
    assert!(tally.in_head());
    let last = frame(kind::CONTINUATION, kind::END_HEADERS, 5);
    tally.came(&last, now).unwrap();
    assert!(!tally.in_head());
}

#[test]
fn a_block_is_refused_by_the_bytes_of_all_its_frames_whoever_sends_it() {
    // Of a limit of 1 KiB: 12 KiB.
    let max = Blocks::encoded_max(1024);
    let check = |what: &str, frames: &[(u8, usize)], ok: bool| {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(kind, length)| frame(*kind, 0, *length))
            .collect();
        let mut answers = Answers::new(1024);
        assert_eq!(
            answers.came(&mut bytes.clone()).is_ok(),
            ok,
            "{what}, of a server"
        );
        let mut tally = begun_with(1024);
        let expected = if ok { Ok(()) } else { Err(Flood::Head) };
        let judged = tally.came(&bytes, || Duration::ZERO);
        assert_eq!(judged, expected, "{what}, of a client");
    };
    let (head, more, data) = (kind::HEADERS, kind::CONTINUATION, kind::DATA);
    check("as many as may be", &[(head, max)], true);
    check("one more", &[(head, max + 1)], false);
    check("in parts", &[(head, 1), (more, max - 1)], true);
    check(
        "one more in parts",
        &[(head, 1), (more, max), (more, 0)],
        false,
    );
    check("one after the other", &[(head, max), (head, max)], true);
    check(
        "between data",
        &[(head, 1), (data, 2 * max), (head, max)],
        true,
    );
}

#[test]
fn what_h2_leaves_over_of_a_block_is_never_small_enough() {
    for header_bytes in [0, 1, 1024, 64 * 1024, 16 << 20] {
        let block = Blocks::encoded_max(header_bytes) as u64;
        let largest_field = 32 + 4096 + block * 8 / 5;
        let left_over = u64::from(Blocks::listed_max(header_bytes)) - largest_field;
        assert!(left_over > header_bytes as u64 + 1024, "{header_bytes}");
    }
}

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

proptest! {
    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut(
        frames in proptest::collection::vec((any::<u8>(), any::<u8>(), 0usize..300), 0..20),
        sizes in proptest::collection::vec(1usize..64, 1..50),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
        let (mut cutter, mut found, mut rest) = (Cutter::of_server(), Vec::new(), &bytes[..]);
        for size in sizes.iter().cycle() {
            let (part, after) = rest.split_at((*size).min(rest.len()));
            let mut part = part;
            while let (Some(frame), left) = cutter.next(part) {
                found.push((frame.kind, frame.flags, frame.length as usize));
                part = left;
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, frames);
        prop_assert!(cutter.is_between());
    }
}

/// A frame on a stream, with this payload.
fn on(stream: u8, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

const STATUS_200: &[u8] = &[0x88];
const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];
const FIELD: &[u8] = &[0x00, 1, b'x', 1, b'y'];
const EH: u8 = kind::END_HEADERS;
const ES: u8 = kind::END_STREAM;

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
fn fields_of_a_stream_that_has_begun_are_trailers() {
    let get = |stream, flags| on(stream, kind::HEADERS, EH | flags, &[0x82, 0x84, 0x86]);
    for (what, frames, expected) in [
        ("one after the other", [get(1, ES), get(3, ES)], Ok(())),
        (
            "trailers",
            [get(1, 0), on(1, kind::HEADERS, EH | ES, FIELD)],
            Ok(()),
        ),
        ("of the same", [get(1, 0), get(1, ES)], Err(Flood::Trailers)),
        (
            "of one before",
            [get(5, 0), get(3, ES)],
            Err(Flood::Trailers),
        ),
    ] {
        let judged = begun().came(&frames.concat(), || Duration::ZERO);
        assert_eq!(judged, expected, "{what}");
    }
}
