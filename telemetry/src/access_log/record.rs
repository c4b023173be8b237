//! A request as one line of JSON.
//!
//! In: a record and a time stamp. Out: its bytes, fields in the contract's order, nothing for what has no value. Pure, and
//! written by hand: a line costs a few hundred nanoseconds and no allocation.
use crate::decision_id::DecisionId;
use crate::label::{Direction, Verdict};
use crate::names::{ACCESS_LOG, Field};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// What a stranger may make us write for one value.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// One request. Empty text, a status of 0 and `None` mean that there is none, and leave the field out.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// Which way.
    pub direction: Direction,
    /// The listener's name.
    pub listener: &'a str,
    /// This sidecar's SPIFFE ID.
    pub local_id: &'a str,
    /// The other side's verified SPIFFE ID.
    pub peer_id: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path as it came, without its query.
    pub path: &'a str,
    /// Host or :authority.
    pub host: &'a str,
    /// The service called.
    pub service: &'a str,
    /// The address that it was sent to.
    pub endpoint: &'a str,
    /// The status that the caller got.
    pub status: u16,
    /// What policy said.
    pub verdict: Verdict,
    /// The rule that decided or came nearest.
    pub rule: &'a str,
    /// Why, as a label.
    pub reason: &'a str,
    /// The decision's id.
    pub decision_id: Option<DecisionId>,
    /// From the head to the end of the answer.
    pub duration: Duration,
    /// From sending it on to the head of the answer.
    pub upstream: Option<Duration>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// The trace it belongs to.
    pub trace_id: &'a str,
    /// This hop's span.
    pub span_id: &'a str,
    /// What secures the hop: `mutual`, `server` or `none`.
    pub tls: &'a str,
    /// The TLS session's key exchange group.
    pub tls_group: &'a str,
    /// What went wrong, for the operator.
    pub error: &'a str,
}

impl AccessRecord<'_> {
    /// A record of which nothing is known but its direction.
    #[must_use]
    pub const fn of(direction: Direction) -> Self {
        Self {
            direction,
            listener: "",
            local_id: "",
            peer_id: "",
            method: "",
            path: "",
            host: "",
            service: "",
            endpoint: "",
            status: 0,
            verdict: Verdict::None,
            rule: "",
            reason: "",
            decision_id: None,
            duration: Duration::ZERO,
            upstream: None,
            request_bytes: 0,
            response_bytes: 0,
            trace_id: "",
            span_id: "",
            tls: "",
            tls_group: "",
            error: "",
        }
    }
}

/// Appends the record's line, newline included. Names come from the table, whose order this function follows.
pub(super) fn encode(record: &AccessRecord<'_>, time: &[u8], line: &mut Vec<u8>) {
    let decision_id = record.decision_id.map(DecisionId::hex);
    let mut object = Object {
        line,
        names: ACCESS_LOG.iter(),
    };
    object.line.push(b'{');
    object.plain(time);
    object.plain(record.direction.as_str().as_bytes());
    object.text(record.listener);
    object.text(record.local_id);
    object.text(record.peer_id);
    object.text(record.method);
    object.text(record.path);
    object.text(record.host);
    object.text(record.service);
    object.text(record.endpoint);
    object.number((record.status != 0).then_some(u64::from(record.status)));
    object.plain(record.verdict.as_str().as_bytes());
    object.text(record.rule);
    object.text(record.reason);
    object.plain(decision_id.as_ref().map_or(b"", |hex| hex.as_slice()));
    object.milliseconds(Some(record.duration));
    object.milliseconds(record.upstream);
    object.number(Some(record.request_bytes));
    object.number(Some(record.response_bytes));
    object.text(record.trace_id);
    object.text(record.span_id);
    object.text(record.tls);
    object.text(record.tls_group);
    object.text(record.error);
    object.line.extend_from_slice(b"}\n");
}

/// An object whose fields are given in the order of the table; each call takes the next name.
struct Object<'a> {
    line: &'a mut Vec<u8>,
    names: std::slice::Iter<'static, Field>,
}

impl Object<'_> {
    fn name(&mut self) {
        let name = self.names.next().map_or("", |field| field.name);
        if self.line.last() != Some(&b'{') {
            self.line.push(b',');
        }
        self.line.push(b'"');
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn skip(&mut self) {
        self.names.next();
    }

    /// Text of ours, which needs no escape.
    fn plain(&mut self, value: &[u8]) {
        if value.is_empty() {
            return self.skip();
        }
        self.name();
        self.line.push(b'"');
        self.line.extend_from_slice(value);
        self.line.push(b'"');
    }

    /// Anybody's text.
    fn text(&mut self, value: &str) {
        if value.is_empty() {
            return self.skip();
        }
        self.name();
        self.line.push(b'"');
        if value.len() <= VALUE_BYTES_MAX {
            escape(value.as_bytes(), self.line);
        } else {
            let end = (0..=VALUE_BYTES_MAX)
                .rev()
                .find(|end| value.is_char_boundary(*end))
                .unwrap_or(0);
            escape(&value.as_bytes()[..end], self.line);
            self.line.extend_from_slice("…".as_bytes());
        }
        self.line.push(b'"');
    }

    fn number(&mut self, value: Option<u64>) {
        let Some(value) = value else {
            return self.skip();
        };
        self.name();
        decimal(value, 1, self.line);
    }

    /// Milliseconds with three places: microseconds are what a hop costs.
    fn milliseconds(&mut self, value: Option<Duration>) {
        let Some(value) = value else {
            return self.skip();
        };
        self.name();
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        decimal(micros / 1000, 1, self.line);
        self.line.push(b'.');
        decimal(micros % 1000, 3, self.line);
    }
}

/// Appends a number with at least this many digits.
fn decimal(mut value: u64, digits_min: usize, line: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    line.extend_from_slice(&digits[start.min(digits.len() - digits_min)..]);
}

/// Whether JSON wants this byte escaped (RFC 8259 section 7). DEL is escaped too: it moves cursors.
fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f)
}

/// Appends UTF-8 text as the inside of a JSON string.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    // Nearly all text is clean, and a fold without an early exit is one that the compiler turns into vector code.
    if !text
        .iter()
        .fold(false, |any, byte| any | needs_escape(*byte))
    {
        return line.extend_from_slice(text);
    }
    let mut rest = text;
    while let Some(place) = rest.iter().position(|byte| needs_escape(*byte)) {
        line.extend_from_slice(&rest[..place]);
        match rest[place] {
            b'"' => line.extend_from_slice(b"\\\""),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            control => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                line.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(control >> 4),
                    digit(control & 15),
                ]);
            }
        }
        rest = &rest[place + 1..];
    }
    line.extend_from_slice(rest);
}

/// Writes times; formats a second once.
pub(super) struct Clock {
    second: u64,
    /// `2026-11-24T15:34:02.123456Z`
    text: [u8; 27],
}

impl Clock {
    pub(super) const fn new() -> Self {
        Clock {
            second: 0,
            text: *b"1970-01-01T00:00:00.000000Z",
        }
    }

    /// The time in RFC 3339, UTC, with microseconds. A clock before 1970 reads as 1970, one after 9999 as 1970 plus its fraction.
    pub(super) fn stamp(&mut self, now: SystemTime) -> &[u8] {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.second = since.as_secs();
            self.format_second();
        }
        put(&mut self.text[20..26], since.subsec_micros());
        &self.text
    }

    fn format_second(&mut self) {
        let second = i64::try_from(self.second).unwrap_or_default();
        let at = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        put(&mut self.text[0..4], at.year().unsigned_abs());
        put(&mut self.text[5..7], u8::from(at.month()).into());
        put(&mut self.text[8..10], at.day().into());
        put(&mut self.text[11..13], at.hour().into());
        put(&mut self.text[14..16], at.minute().into());
        put(&mut self.text[17..19], at.second().into());
    }
}

/// Fills the place with the number's last digits.
fn put(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
pub(in crate::access_log) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    pub(in crate::access_log) const EMPTY: AccessRecord<'static> = AccessRecord {
        direction: Direction::Outbound,
        listener: "db",
        local_id: "",
        peer_id: "",
        method: "",
        path: "",
        host: "",
        service: "",
        endpoint: "",
        status: 0,
        verdict: Verdict::None,
        rule: "",
        reason: "",
        decision_id: None,
        duration: Duration::ZERO,
        upstream: None,
        request_bytes: 0,
        response_bytes: 0,
        trace_id: "",
        span_id: "",
        tls: "",
        tls_group: "",
        error: "",
    };

    fn line(record: &AccessRecord<'_>) -> String {
        let mut line = Vec::new();
        encode(record, b"T", &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_record_with_every_value_has_every_field_in_the_tables_order() {
        let record = AccessRecord {
            local_id: "l",
            peer_id: "p",
            method: "GET",
            path: "/",
            host: "h",
            service: "s",
            endpoint: "e",
            status: 200,
            verdict: Verdict::Allowed,
            rule: "r",
            reason: "w",
            decision_id: Some(DecisionId::fresh()),
            upstream: Some(Duration::from_micros(1)),
            trace_id: "t",
            span_id: "i",
            tls: "m",
            tls_group: "g",
            error: "x",
            ..EMPTY
        };
        let value: serde_json::Value = serde_json::from_str(&line(&record)).unwrap();
        let found: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let wanted: Vec<&str> = ACCESS_LOG.iter().map(|field| field.name).collect();
        assert_eq!(found, wanted);
        for field in ACCESS_LOG {
            assert_eq!(
                value[field.name].is_string(),
                field.json == "string",
                "{}",
                field.name
            );
        }
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        let wanted = r#"{"time":"T","direction":"outbound","listener":"db","duration_ms":0.000,"request_bytes":0,"response_bytes":0}"#;
        assert_eq!(line(&EMPTY), format!("{wanted}\n"));
    }

    #[test]
    fn any_text_comes_back_from_json_as_it_was() {
        let all: String = (0..=0x600).filter_map(char::from_u32).collect();
        for text in [
            "plain",
            "\"",
            "\\",
            "a\nb\r\tc",
            "\u{0}\u{1f}\u{7f}",
            "ü€😀",
            "\u{2028}",
            &all,
        ] {
            let line = line(&AccessRecord {
                path: text,
                ..EMPTY
            });
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["path"], text);
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let path = "ü".repeat(VALUE_BYTES_MAX);
        let value: serde_json::Value = serde_json::from_str(&line(&AccessRecord {
            path: &path,
            ..EMPTY
        }))
        .unwrap();
        assert_eq!(
            value["path"],
            format!("{}…", "ü".repeat(VALUE_BYTES_MAX / 2))
        );
    }

    #[test]
    fn a_duration_is_milliseconds_with_three_places() {
        for (micros, shown) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_234, "1.234"),
            (60_000_050, "60000.050"),
        ] {
            let record = AccessRecord {
                duration: Duration::from_micros(micros),
                ..EMPTY
            };
            assert!(
                line(&record).contains(&format!("\"duration_ms\":{shown},")),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_time_is_rfc_3339_with_microseconds() {
        let mut clock = Clock::new();
        for (micros, shown) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_709_210_096_000_001, "2024-02-29T12:34:56.000001Z"),
            (1_709_210_096_999_999, "2024-02-29T12:34:56.999999Z"),
            (253_402_300_799_000_000, "9999-12-31T23:59:59.000000Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(clock.stamp(at), shown.as_bytes());
        }
    }
}
