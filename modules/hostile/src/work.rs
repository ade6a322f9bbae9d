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

/// The beginning of a line about a subject, rendered once: `{"kind":"container",...`.
pub(crate) fn fragment(line: &mut String, texts: [(&'static str, &str); 7]) {
    for (index, (name, value)) in texts.into_iter().enumerate() {
        line.push_str(if index == 0 { "{\"" } else { ",\"" });
        line.push_str(name);
        line.push_str("\":");
        text(line, value);
    }
}

/// Appends the line of a sample behind what was rendered for its subject.
pub(crate) fn point(line: &mut String, fragment: &str, metric: &str, time: &str, value: u64) {
    line.push_str(fragment);
    line.push_str(",\"metric\":\"");
    line.push_str(metric);
    line.push_str("\",\"time\":");
    line.push_str(time);
    line.push_str(",\"value\":");
    // Writing to a string cannot fail.
    let _ = write!(line, "{value}}}");
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
