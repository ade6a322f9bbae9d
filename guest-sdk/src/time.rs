//! Moments as text.

use std::fmt;

/// A moment, written as RFC 3339 in UTC with all nine digits.
///
/// ```
/// use sluicebox_sdk::Rfc3339;
///
/// assert_eq!(Rfc3339(1_631_201_700_087_136_507).to_string(), "2021-09-09T15:35:00.087136507Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(
    /// Nanoseconds since 1970 UTC, as in `observed_at_unix_nanos`.
    pub u64,
);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (year, month, day) = date(i64::try_from(seconds / 86_400).unwrap_or(i64::MAX));
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// The year, month and day of a day, by the Gregorian calendar, which also goes on before it was in use.
///
/// ```
/// assert_eq!(sluicebox_sdk::date(0), (1970, 1, 1));
/// assert_eq!(sluicebox_sdk::date(-1), (1969, 12, 31));
/// assert_eq!(sluicebox_sdk::date(11_016), (2000, 2, 29));
/// ```
pub fn date(days_since_1970: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is the last of its year; 719 468 days lie between 0000-03-01 and 1970.
    let days = days_since_1970.saturating_add(719_468);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(seconds: u64, expected: &str) {
        assert_eq!(Rfc3339(seconds * 1_000_000_000).to_string(), format!("{expected}.000000000Z"));
    }

    #[test]
    fn the_first_moment() {
        check(0, "1970-01-01T00:00:00");
    }

    #[test]
    fn a_leap_day_and_the_day_after() {
        check(951_782_400, "2000-02-29T00:00:00");
        check(951_868_800, "2000-03-01T00:00:00");
    }

    #[test]
    fn the_last_second_of_a_year() {
        check(1_767_225_599, "2025-12-31T23:59:59");
    }

    #[test]
    fn a_century_without_a_leap_day() {
        check(4_107_542_400, "2100-03-01T00:00:00");
    }
}
