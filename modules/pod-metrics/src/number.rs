//! Numbers as text, for each form in its own way. Pure.

use std::fmt::Write;

/// The value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// One that is counted.
    Whole(u64),
    /// One that is worked out, and a limit, which may be infinite or none.
    Real(f64),
}

/// Above it not every whole number is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// As JSON: one that may have a fraction always has one, so that a reader that guesses types guesses the same every time.
    pub(crate) fn json(self, out: &mut String) {
        match self {
            Self::Whole(number) => whole(out, number),
            Self::Real(number) => match exact(number) {
                Some(number) => {
                    signed(out, number);
                    out.push_str(".0");
                }
                None => {
                    let _ = write!(out, "{number:?}");
                }
            },
        }
    }

    /// As a field of CSV, and as a value in Prometheus' text format: without a fraction where there is none.
    pub(crate) fn plain(self, out: &mut String) {
        match self {
            Self::Whole(number) => whole(out, number),
            Self::Real(number) if number.is_infinite() => out.push_str("+Inf"),
            Self::Real(number) => match exact(number) {
                Some(number) => signed(out, number),
                None => {
                    let _ = write!(out, "{number}");
                }
            },
        }
    }
}

fn whole(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn signed(out: &mut String, number: i64) {
    out.push_str(itoa::Buffer::new().format(number));
}

// Most are whole: limits, and what stands still.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "in this range the conversion is exact for whole numbers")]
fn exact(number: f64) -> Option<i64> {
    (number.abs() <= EXACT && number.trunc() == number).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: Number, json: &str, plain: &str) {
        let (mut as_json, mut as_plain) = (String::new(), String::new());
        number.json(&mut as_json);
        number.plain(&mut as_plain);
        assert_eq!((as_json.as_str(), as_plain.as_str()), (json, plain));
    }

    #[test]
    fn what_is_counted_stays_whole() {
        check(Number::Whole(0), "0", "0");
        check(Number::Whole(u64::MAX), "18446744073709551615", "18446744073709551615");
    }

    #[test]
    fn what_is_worked_out_keeps_its_fraction_in_json() {
        check(Number::Real(0.5), "0.5", "0.5");
        check(Number::Real(25.0), "25.0", "25");
        check(Number::Real(-1.0), "-1.0", "-1");
        check(Number::Real(0.0), "0.0", "0");
        check(Number::Real(33.333_333_333_333_336), "33.333333333333336", "33.333333333333336");
    }

    #[test]
    fn the_largest_limit_is_the_float_next_to_it() {
        check(Number::Real(18_446_744_073_709_551_615.0), "1.8446744073709552e19", "18446744073709552000");
    }

    #[test]
    fn prometheus_knows_infinity() {
        let mut out = String::new();
        Number::Real(f64::INFINITY).plain(&mut out);
        assert_eq!(out, "+Inf");
    }
}
