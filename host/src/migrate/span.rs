//! Lengths of time as the old programs wrote them, each in its own way. Pure.

use std::time::Duration;

use sluicebox_contract::TimeSpan;

/// A unit's names, and how many nanoseconds it has.
type Units = &'static [(&'static [&'static str], f64)];

const NANOS: f64 = 1.0;
const MICROS: f64 = 1e3;
const MILLIS: f64 = 1e6;
const SECONDS: f64 = 1e9;
const MINUTES: f64 = 60.0 * SECONDS;
const HOURS: f64 = 60.0 * MINUTES;
const DAYS: f64 = 24.0 * HOURS;
const GO: Units =
    &[(&["ns"], NANOS), (&["us", "µs", "μs"], MICROS), (&["ms"], MILLIS), (&["s"], SECONDS), (&["m"], MINUTES), (&["h"], HOURS)];
const PROMETHEUS: Units =
    &[(&["ms"], MILLIS), (&["s"], SECONDS), (&["m"], MINUTES), (&["h"], HOURS), (&["d"], DAYS), (&["w"], 7.0 * DAYS)];
const HUMANTIME: Units = &[
    (&["ns", "nsec"], NANOS),
    (&["us", "usec", "µs"], MICROS),
    (&["ms", "msec"], MILLIS),
    (&["s", "sec", "secs", "second", "seconds"], SECONDS),
    (&["m", "min", "mins", "minute", "minutes"], MINUTES),
    (&["h", "hr", "hrs", "hour", "hours"], HOURS),
    (&["d", "day", "days"], DAYS),
    (&["w", "week", "weeks"], 7.0 * DAYS),
];

/// As Go reads it: `1.5h`, `1m30s`, `+5m`, `0`; as many nanoseconds as an `int64` holds.
pub(super) fn go(text: &str) -> Option<TimeSpan> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let span = if text == "0" { TimeSpan::default() } else { read(text, GO)? };
    i64::try_from(span.0.as_nanos()).ok().map(|_| span)
}

/// As Prometheus takes a step: `20s`, `1m`, or seconds such as `20` and `0.5`.
pub(super) fn prometheus(text: &str) -> Option<TimeSpan> {
    match text.parse::<f64>() {
        Ok(seconds) => span(seconds * SECONDS),
        Err(_) => read(text, PROMETHEUS),
    }
}

/// As Alumet's configuration has it: `5s`, `1min 30s`.
pub(super) fn humantime(text: &str) -> Option<TimeSpan> {
    let together: String = text.split_whitespace().collect();
    read(&together, HUMANTIME)
}

fn read(text: &str, units: Units) -> Option<TimeSpan> {
    let mut rest = text;
    let mut nanos = 0.0;
    loop {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, factor) = units.iter().find(|(names, _)| names.contains(&unit))?;
        nanos += number.parse::<f64>().ok()? * factor;
        rest = after;
        if rest.is_empty() {
            return span(nanos);
        }
    }
}

fn span(nanos: f64) -> Option<TimeSpan> {
    Some(TimeSpan(Duration::try_from_secs_f64(nanos / SECONDS).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(read: fn(&str) -> Option<TimeSpan>, text: &str) -> String {
        read(text).map_or_else(|| "-".to_owned(), |span| span.to_string())
    }

    #[test]
    fn each_program_has_its_own_way_to_write_a_time() {
        assert_eq!(
            ["1m", "1.5h", "300ms", "1h0m30s", "0", "-5m", "5", "", "1d"].map(|text| said(go, text)),
            ["1m", "1h30m", "300ms", "1h30s", "0s", "-", "-", "-", "-"]
        );
        assert_eq!(
            ["+5m", "+0", "++5m", "2562047h", "2562048h", "9999999h"].map(|text| said(go, text)),
            ["5m", "0s", "-", "106751d23h", "-", "-"]
        );
        assert_eq!(
            ["20s", "20", "0.5", "1d", "1m30s", "-1", "x", "NaN"].map(|text| said(prometheus, text)),
            ["20s", "20s", "500ms", "1d", "1m30s", "-", "-", "-"]
        );
        assert_eq!(
            ["5s", "1min 30s", "2 hours", "5", "5 parsecs"].map(|text| said(humantime, text)),
            ["5s", "1m30s", "2h", "-", "-"]
        );
    }
}
