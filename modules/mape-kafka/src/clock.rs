//! The times of samples as text.

use std::fmt::Write;

use sluicebox_sdk::date;

/// Writes moments as `2018-12-20T06:57:49.000000Z`, with six digits of the second's fraction. Samples of a report lie close to each other
/// and most have the same time, so the text of the minute before is kept.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    minute: Option<i64>,
    /// Up to the seconds, such as `2018-12-20T06:57:`.
    text: String,
}

const MILLIS_OF_MINUTE: i64 = 60_000;
const MINUTES_OF_DAY: i64 = 1_440;

impl Clock {
    /// Writes a moment that is so many milliseconds after 1970 UTC, or before it.
    pub(crate) fn write(&mut self, out: &mut String, unix_millis: i64) {
        let (minute, millis) = (unix_millis.div_euclid(MILLIS_OF_MINUTE), unix_millis.rem_euclid(MILLIS_OF_MINUTE));
        if self.minute != Some(minute) {
            self.minute = Some(minute);
            let (year, month, day) = date(minute.div_euclid(MINUTES_OF_DAY));
            let of_day = minute.rem_euclid(MINUTES_OF_DAY);
            self.text.clear();
            let _ = write!(self.text, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:", of_day / 60, of_day % 60);
        }
        out.push_str(&self.text);
        digits(out, millis / 1000, 10);
        out.push('.');
        digits(out, millis % 1000, 100);
        out.push_str("000Z");
    }
}

/// As many digits as the place of the first one says.
fn digits(out: &mut String, number: i64, mut place: i64) {
    while place > 0 {
        let digit = u8::try_from(number / place % 10).unwrap_or_default();
        out.push(char::from(b'0' + digit));
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_millis: i64, expected: &str) {
        let mut out = String::new();
        Clock::default().write(&mut out, unix_millis);
        assert_eq!(out, expected);
    }

    #[test]
    fn the_times_are_those_of_the_replaced_program() {
        check(1_527_165_350_000, "2018-05-24T12:35:50.000000Z");
        check(1_556_092_594_158, "2019-04-24T07:56:34.158000Z");
        check(1_545_289_069_000, "2018-12-20T06:57:49.000000Z");
    }

    #[test]
    fn the_edges_of_days_and_years_are_right() {
        check(0, "1970-01-01T00:00:00.000000Z");
        check(951_868_799_999, "2000-02-29T23:59:59.999000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000000Z");
        check(1_767_225_599_001, "2025-12-31T23:59:59.001000Z");
        check(4_107_542_400_010, "2100-03-01T00:00:00.010000Z");
    }

    #[test]
    fn a_time_before_1970_goes_on_backwards() {
        check(-1, "1969-12-31T23:59:59.999000Z");
        check(-60_000, "1969-12-31T23:59:00.000000Z");
        check(-62_135_596_800_000, "0001-01-01T00:00:00.000000Z");
    }

    #[test]
    fn no_time_is_too_far_away() {
        check(i64::MAX, "292278994-08-17T07:12:55.807000Z");
        check(i64::MIN, "-292275055-05-16T16:47:04.192000Z");
    }

    #[test]
    fn the_minute_that_is_kept_is_the_right_one() {
        let (mut clock, mut out) = (Clock::default(), String::new());
        for unix_millis in [59_999, 60_000, 60_001, 59_999] {
            clock.write(&mut out, unix_millis);
        }
        assert_eq!(
            out,
            "1970-01-01T00:00:59.999000Z1970-01-01T00:01:00.000000Z1970-01-01T00:01:00.001000Z1970-01-01T00:00:59.999000Z"
        );
    }
}
