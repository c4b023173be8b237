//! Some measurements of one thing.
//!
//! In: numbers. Out: the least, the one in the middle and the greatest.

use std::fmt;

/// How far measurements lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// As many are below it as above; of an even number the upper one of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// `None` of nothing, or of what is no number.
    pub fn of(measured: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut measured: Vec<f64> = measured.into_iter().collect();
        if measured.iter().any(|one| one.is_nan()) {
            return None;
        }
        measured.sort_by(f64::total_cmp);
        Some(Spread {
            min: *measured.first()?,
            median: *measured.get(measured.len() / 2)?,
            max: *measured.last()?,
        })
    }
}

/// Least, median, greatest, with the precision that is asked for: two digits unless told otherwise.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Spread { min, median, max } = self;
        write!(f, "{min:.digits$} / {median:.digits$} / {max:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_spread_is_of_the_numbers_in_their_order() {
        let spread = Spread::of([10.0, 9.0, 2.0]).unwrap();

        assert_eq!((spread.min, spread.median, spread.max), (2.0, 9.0, 10.0));
        assert_eq!(spread.to_string(), "2.00 / 9.00 / 10.00");
        assert_eq!(format!("{spread:.0}"), "2 / 9 / 10");
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }
}
