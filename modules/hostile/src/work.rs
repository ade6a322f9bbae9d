//! Honest work for the benchmark: a pod or a sample becomes one JSON line. The benchmark includes this very file for the native side, so that
//! both sides do the same.

use std::fmt::Write as _;

/// What the line is made of.
pub(crate) struct Fields<'a, Labels> {
    /// Keys and values in the order of the line.
    pub(crate) texts: [(&'static str, &'a str); 12],
    pub(crate) labels: Labels,
}

/// Appends the line.
pub(crate) fn line<'a>(line: &mut String, fields: Fields<'a, impl Iterator<Item = (&'a str, &'a str)>>) {
    line.push('{');
    for (name, value) in fields.texts {
        line.push('"');
        line.push_str(name);
        line.push_str("\":");
        text(line, value);
        line.push(',');
    }
    line.push_str("\"labels\":{");
    for (index, (name, value)) in fields.labels.enumerate() {
        if index > 0 {
            line.push(',');
        }
        text(line, name);
        line.push(':');
        text(line, value);
    }
    line.push_str("}}");
}

/// A fragment that was rendered once, for the subject of a sample.
const SUBJECT: &str = "{\"resource_kind\":\"local_machine\",\"resource_id\":\"\",\"consumer_kind\":\"cgroup\",\"consumer_id\":\"/kubepods.slice/kubepods-pod11111111\",\"namespace\":\"default\",\"pod\":\"web-6d4cf56db6-00001\",\"value\":";

/// Appends a small line: a fragment and a number.
pub(crate) fn sample(line: &mut String, number: usize) {
    line.push_str(SUBJECT);
    // Writing to a string cannot fail.
    let _ = write!(line, "{number}}}");
}

/// The beginning of a line about a subject, rendered once for each subject: `{"uid":"...",...`.
pub(crate) fn fragment(line: &mut String, texts: [(&'static str, &str); 6]) {
    for (index, (name, value)) in texts.into_iter().enumerate() {
        line.push_str(if index == 0 { "{\"" } else { ",\"" });
        line.push_str(name);
        line.push_str("\":");
        text(line, value);
    }
}

/// The middle of a line, rendered once for each metric and tick.
pub(crate) fn middle(metric: &str, time: u64) -> String {
    format!(",\"metric\":\"{metric}\",\"time\":{time},\"value\":")
}

/// Appends the line of a sample.
pub(crate) fn point(line: &mut String, fragment: &str, middle: &str, value: u64) {
    line.push_str(fragment);
    line.push_str(middle);
    digits(line, value);
    line.push('}');
}

/// Appends a number; for the one thing that it does, faster than `write!`.
fn digits(line: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        begin = place;
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    line.push_str(digits.get(begin..).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default());
}

/// A JSON string. Runs without anything to escape are copied whole.
fn text(line: &mut String, mut value: &str) {
    line.push('"');
    while let Some(place) = value.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (clean, rest) = value.split_at(place);
        line.push_str(clean);
        let mut rest = rest.chars();
        match rest.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some(other) => {
                let _ = write!(line, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        value = rest.as_str();
    }
    line.push_str(value);
    line.push('"');
}
