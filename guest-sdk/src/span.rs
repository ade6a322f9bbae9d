//! Lengths of time in settings, as Go programs read them, and days besides: `90s`, `5m`, `1h30m`, `1d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A length of time among the settings of a module, written as `90s`, `5m`, `300ms`, `1h30m` or `1d`, as everywhere in the configuration.
///
/// ```
/// use std::time::Duration;
/// use sluicebox_sdk::{Span, settings};
///
/// #[derive(Debug, serde::Deserialize)]
/// struct Settings { period: Span }
///
/// let read = settings::<Settings>(r#"{"period": "1h30m"}"#).unwrap();
/// assert_eq!(read.period, Span(Duration::from_mins(90)));
/// let error = settings::<Settings>(r#"{"period": "60"}"#).unwrap_err();
/// assert_eq!(error, "setting `period`: `60` is not a duration: write it like `90s`, `5m` or `1h30m`");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// In nanoseconds, as the host tells times.
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text)
            .map(Self)
            .ok_or_else(|| Error::custom(format!("`{text}` is not a duration: write it like `90s`, `5m` or `1h30m`")))
    }
}

// A sum of numbers with units, largest first by habit but not by rule; a bare `0` is the one number that needs no unit.
fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit() && character != '.')?);
        let (unit, after) =
            after.split_at(after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len()));
        sum = sum.checked_add(times(number, unit_nanos(unit)?)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

fn times(number: &str, nanos: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(nanos)?;
    let mut place = nanos;
    for digit in fraction.chars() {
        place /= 10;
        sum = sum.checked_add(place.checked_mul(u64::from(digit.to_digit(10)?))?)?;
    }
    Some(Duration::from_nanos(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milliseconds: u64) {
        assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
    }

    #[test]
    fn one_unit() {
        check("1m", 60_000);
        check("90s", 90_000);
        check("300ms", 300);
        check("0", 0);
        check("0s", 0);
    }

    #[test]
    fn several_units_are_summed() {
        check("1h30m", 5_400_000);
        check("1m0s", 60_000);
    }

    #[test]
    fn days_are_taken_as_in_the_rest_of_the_configuration() {
        check("1d", 86_400_000);
        check("2d1h1m", 176_460_000);
    }

    #[test]
    fn a_fraction_counts() {
        check("1.5h", 5_400_000);
        check(".5s", 500);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "60", "1x", "1D", "m", "-1m", "1m 30s", ".s", "1.2.3s", "99999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
