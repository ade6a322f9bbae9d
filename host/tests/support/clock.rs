//! Times as the several forms of output write them, made comparable.

/// Nanoseconds since the last midnight (UTC) of `2021-09-09T15:35:00.087136507Z`, with any number of digits behind the point.
pub fn of_day(rfc3339: &str) -> u64 {
    let clock = rfc3339.split_once('T').unwrap().1.trim_end_matches('Z');
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    seconds * 1_000_000_000 + nanos(fraction)
}

/// The same of `1631201700.087136507`, seconds since 1970.
pub fn of_unix_day(seconds: &str) -> u64 {
    let (seconds, fraction) = seconds.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() % 86_400 * 1_000_000_000 + nanos(fraction)
}

fn nanos(fraction: &str) -> u64 {
    format!("{fraction:0<9}").parse().unwrap()
}
