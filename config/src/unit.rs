//! Durations (`10s`, `1h30m`, `250ms`), sizes (`64KiB`) and rates (`10/m`): text to value and back.
//!
//! 1. What [`duration_text`], [`size_text`] and [`Rate`] write reads back as the same value (whole milliseconds, bytes).

use crate::NameError;
use std::fmt;
use std::time::Duration;

/// Largest first: the order in which a sum is written.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads `250ms`, `10s`, `5m`, `1h`, `7d` or a sum of them such as `1h30m`. A bare number is refused.
pub fn duration(text: &str) -> Result<Duration, NameError> {
    let mut rest = text;
    let mut sum_ms: u64 = 0;
    let mut units_left = &DURATION_UNITS[..];
    loop {
        let (number, after) = leading_number(rest)?;
        let unit_length = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let Some(at) = DURATION_UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(no_duration_unit(unit));
        };
        let Some(place) = units_left.iter().position(|(name, _)| *name == unit) else {
            return Err(NameError {
                why: format!(
                    "`{unit}` stands after a unit as small or smaller: write the largest first, each once"
                ),
            });
        };
        units_left = &units_left[place + 1..];
        sum_ms = number
            .checked_mul(DURATION_UNITS[at].1)
            .and_then(|more| sum_ms.checked_add(more))
            .ok_or_else(|| NameError {
                why: "is longer than can be counted".into(),
            })?;
        if after.is_empty() {
            return Ok(Duration::from_millis(sum_ms));
        }
        rest = after;
    }
}

fn no_duration_unit(unit: &str) -> NameError {
    let why = if unit.is_empty() {
        "has no unit: one of `ms`, `s`, `m`, `h`, `d`".into()
    } else {
        format!("`{unit}` is no unit of time: one of `ms`, `s`, `m`, `h`, `d`")
    };
    NameError { why }
}

/// Reads `512`, `64KiB`, `1MiB`; bytes.
pub fn size(text: &str) -> Result<u64, NameError> {
    let (number, unit) = leading_number(text)?;
    if unit.is_empty() {
        return Ok(number);
    }
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(NameError {
            why: format!(
                "`{unit}` is no unit of size: one of `KiB`, `MiB`, `GiB`, or none for bytes"
            ),
        });
    };
    number.checked_mul(*bytes).ok_or_else(|| NameError {
        why: "is larger than can be counted".into(),
    })
}

/// The times that a rate can be counted in.
const RATE_UNITS: [(&str, Duration); 3] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
];
/// More than anything here does in a second.
const RATE_MAX: u64 = 1_000_000;

/// So many in so long a time; as many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub times: u32,
    /// In how long a time.
    pub per: Duration,
}

impl Rate {
    /// Reads `10/m`: a whole number from 1 to 1000000, and a second, a minute or an hour.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (number, after) = leading_number(text)?;
        let unit = after.strip_prefix('/').unwrap_or_default();
        let Some((_, per)) = RATE_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(NameError {
                why: "says not in what time: `/s`, `/m` or `/h` after the number".into(),
            });
        };
        match u32::try_from(number) {
            Ok(times @ 1..) if number <= RATE_MAX => Ok(Rate { times, per: *per }),
            _ => Err(NameError {
                why: format!("is not from 1 to {RATE_MAX}"),
            }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RATE_UNITS.iter().find(|(_, per)| *per == self.per) {
            Some((name, _)) => write!(f, "{}/{name}", self.times),
            None => write!(f, "{}/{}", self.times, duration_text(self.per)),
        }
    }
}

/// Writes a duration as it would be typed, in whole milliseconds: `1h30m`, `0s`.
pub fn duration_text(duration: Duration) -> String {
    let mut left_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left_ms == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (name, ms) in DURATION_UNITS {
        if left_ms >= ms {
            text.push_str(&format!("{}{name}", left_ms / ms));
            left_ms %= ms;
        }
    }
    text
}

/// Writes a size as it would be typed: in the largest unit that divides it.
pub fn size_text(bytes: u64) -> String {
    match SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Digits, and what follows them.
fn leading_number(text: &str) -> Result<(u64, &str), NameError> {
    let (digits, rest) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    if digits.is_empty() {
        let why = match rest.chars().next() {
            None => "is empty".into(),
            Some(c) => format!(
                "`{}` stands where a whole number should",
                c.escape_default()
            ),
        };
        return Err(NameError { why });
    }
    let number = digits.parse().map_err(|_| NameError {
        why: "is larger than can be counted".into(),
    })?;
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_whole_units_largest_first() {
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("90m", 5_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "is empty"),
            ("10", "has no unit: one of `ms`, `s`, `m`, `h`, `d`"),
            ("10 s", "has no unit: one of `ms`, `s`, `m`, `h`, `d`"),
            ("1.5s", "has no unit: one of `ms`, `s`, `m`, `h`, `d`"),
            ("-1s", "`-` stands where a whole number should"),
            ("s", "`s` stands where a whole number should"),
            (
                "10sec",
                "`sec` is no unit of time: one of `ms`, `s`, `m`, `h`, `d`",
            ),
            (
                "1m1h",
                "`h` stands after a unit as small or smaller: write the largest first, each once",
            ),
            (
                "0s0s",
                "`s` stands after a unit as small or smaller: write the largest first, each once",
            ),
            ("99999999999999999999s", "is larger than can be counted"),
            ("999999999999999999d", "is longer than can be counted"),
        ] {
            assert_eq!(
                duration(text).map_err(|e| e.why),
                Err(why.to_string()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        for (text, bytes) in [
            ("512", 512),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, why) in [
            (
                "64KB",
                "`KB` is no unit of size: one of `KiB`, `MiB`, `GiB`, or none for bytes",
            ),
            ("", "is empty"),
            ("99999999999999999GiB", "is larger than can be counted"),
        ] {
            assert_eq!(
                size(text).map_err(|e| e.why),
                Err(why.to_string()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn rates_are_so_many_in_a_second_a_minute_or_an_hour() {
        for (text, times, per_s) in [
            ("100/s", 100, 1),
            ("10/m", 10, 60),
            ("1/h", 1, 3600),
            ("1000000/s", 1_000_000, 1),
        ] {
            let rate = Rate {
                times,
                per: Duration::from_secs(per_s),
            };
            assert_eq!(Rate::parse(text), Ok(rate), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        let no_time = "says not in what time: `/s`, `/m` or `/h` after the number";
        for (text, why) in [
            ("", "is empty"),
            ("10", no_time),
            ("10m", no_time),
            ("10/d", no_time),
            ("10/", no_time),
            ("10 / m", no_time),
            ("/m", "`/` stands where a whole number should"),
            ("0/m", "is not from 1 to 1000000"),
            ("1000001/s", "is not from 1 to 1000000"),
            ("99999999999999999999/s", "is larger than can be counted"),
        ] {
            let refused = Rate::parse(text).map_err(|e| e.why);
            assert_eq!(refused, Err(why.to_string()), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0..u64::MAX, bytes: u64) {
            proptest::prop_assert_eq!(duration(&duration_text(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
            proptest::prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (duration(&text), size(&text), Rate::parse(&text));
        }
    }
}
