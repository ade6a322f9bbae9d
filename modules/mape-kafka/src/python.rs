//! Texts and numbers in JSON, byte for byte as Python's `json.dumps` writes them. Pure.

use std::fmt::Write;

use sluicebox_sdk::PrometheusValue;

/// Writes a string with its quotes: whatever is not printable ASCII is escaped, in UTF-16.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// The string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    string(&mut out, text);
    out
}

/// Writes a finite number as Python's `repr` does: the digits that Prometheus writes, too, but always with a point or an exponent, and with
/// an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float(out: &mut String, value: f64) {
    let text = PrometheusValue(value).to_string();
    let size = value.abs();
    if text.contains('e') {
        out.push_str(&text);
    } else if size == 0.0 || (1e-4..1e16).contains(&size) {
        out.push_str(&text);
        out.push_str(if text.contains('.') { "" } else { ".0" });
    } else {
        exponential(out, &text);
    }
}

/// Writes a number between 1e-6 and 1e-4, or between 1e16 and 1e21, of which this is the text without an exponent.
fn exponential(out: &mut String, text: &str) {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let (digits, exponent) = match text.strip_prefix("0.") {
        Some(fraction) => {
            let digits = fraction.trim_start_matches('0');
            (digits, format!("e-{:02}", fraction.len() - digits.len() + 1))
        }
        None => (text.trim_end_matches('0'), format!("e+{:02}", text.len().saturating_sub(1))),
    };
    let (first, others) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let point = if others.is_empty() { "" } else { "." };
    for part in [sign, first, point, others, &exponent] {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(quoted(text), expected);
    }

    #[test]
    fn printable_ascii_stays_as_it_is() {
        check("3ae5f2ca936f48dea5f2ca936f78de3a", "\"3ae5f2ca936f48dea5f2ca936f78de3a\"");
        check(" <a&b>/'~", "\" <a&b>/'~\"");
    }

    #[test]
    fn control_characters_are_escaped() {
        check("\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}", r#""\"\\\n\r\t\b\f\u0000\u001f\u007f""#);
    }

    #[test]
    fn other_characters_are_escaped_in_utf_16() {
        check("zürich \u{80} \u{2028} 東 \u{ffff}", r#""z\u00fcrich \u0080 \u2028 \u6771 \uffff""#);
        check("😀\u{10ffff}", r#""\ud83d\ude00\udbff\udfff""#);
    }

    // What `json.dumps` of Python 3 has made of these.
    #[test]
    #[allow(clippy::excessive_precision, reason = "the digits are what is tested")]
    fn numbers_are_those_of_python() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (12.5, "12.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (100.0 / 3.0, "33.333333333333336"),
            (0.0001, "0.0001"),
            (0.000_099_999, "9.9999e-05"),
            (1e-5, "1e-05"),
            (-0.000_012_5, "-1.25e-05"),
            (209.0 / 2_097_152.0, "9.965896606445312e-05"),
            (2_139_667_000_000_000.25, "2139667000000000.2"),
            (-123_456_789_012_345_680_000.0, "-1.2345678901234568e+20"),
            (1.5e-7, "1.5e-07"),
            (5e-324, "5e-324"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.25e16, "1.25e+16"),
            (-1e22, "-1e+22"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            let mut out = String::new();
            float(&mut out, value);
            assert_eq!(out, expected);
            assert_eq!(out.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
    }
}
