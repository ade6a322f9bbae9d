//! What stands in a line besides its labels: names, values and times. Pure.

use super::Format;

/// How many bytes at the beginning are the name of a metric, as it is written without quotes.
pub(super) fn name_length(line: &[u8]) -> usize {
    let belongs = |(index, byte): (usize, &u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => true,
        b'0'..=b'9' => index > 0,
        _ => false,
    };
    line.iter().enumerate().take_while(|pair| belongs(*pair)).count()
}

/// Whether what follows a name that is not wanted looks as if it belonged to a sample. Labels are not looked at.
pub(super) fn is_passable(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    if rest.first() == Some(&b'{') {
        return true;
    }
    let value = rest.split(|byte| matches!(byte, b' ' | b'\t')).next().and_then(|value| std::str::from_utf8(value).ok());
    value.is_some_and(|value| value.parse::<f64>().is_ok())
}

/// Reads value, time and exemplar, of which only the first must be there.
pub(super) fn value(rest: &str, format: Format) -> Option<(f64, Option<i64>)> {
    let (value, rest) = word(rest);
    let value = value.parse().ok()?;
    let (time, after) = word(rest);
    if time.is_empty() || time.starts_with('#') {
        return is_exemplar(rest).then_some((value, None));
    }
    let millis = match format {
        Format::Text => time.parse().ok()?,
        Format::OpenMetrics => millis(time.parse().ok()?)?,
    };
    is_exemplar(after).then_some((value, Some(millis)))
}

/// Whether nothing follows, or an exemplar, which is not told.
fn is_exemplar(rest: &str) -> bool {
    let rest = rest.trim_ascii();
    rest.is_empty() || rest.strip_prefix('#').is_some_and(|labels| labels.trim_ascii_start().starts_with('{'))
}

/// The first word, and what follows.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text.bytes().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Seconds as milliseconds; none for what is no time that a clock could show.
fn millis(seconds: f64) -> Option<i64> {
    /// The year 5138, or as long before 1970.
    const FARTHEST: f64 = 1e14;
    let millis = (seconds * 1_000.0).round();
    #[allow(clippy::cast_possible_truncation, reason = "far within the range of an i64")]
    (millis.abs() <= FARTHEST).then_some(millis as i64)
}
