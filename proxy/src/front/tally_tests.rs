#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::written::*;
use super::*;

fn begun() -> Tally {
    begun_with(HEADER_BYTES)
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
        tally.went(&data, drop);
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
        tally.went(&answer, drop);
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
        tally.went(&data, drop);
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
