//! Values as text, as Prometheus writes them in its answers.

use std::fmt::Write;

use sluicebox_sdk::PrometheusValue;

/// Below it every whole number is a float, and is written without an exponent.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Writes a value, also one that is no finite number.
pub(crate) fn write(out: &mut String, value: f64) {
    match whole(value) {
        Some(whole) => out.push_str(itoa::Buffer::new().format(whole)),
        None => {
            let _ = write!(out, "{}", PrometheusValue(value));
        }
    }
}

// Most are whole: bytes, and rates of what stands still. Zero has a sign that a whole number has not.
#[allow(clippy::cast_possible_truncation, clippy::float_cmp, reason = "in this range the conversion is exact for whole numbers")]
fn whole(value: f64) -> Option<i64> {
    (value.abs() < EXACT && value.trunc() == value && (value != 0.0 || value.is_sign_positive())).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_as_all_others_are() {
        for value in
            [0.0, -0.0, 1.0, -7.0, 2442.0, 9_007_199_254_740_991.0, 9_007_199_254_740_992.0, 1e20, 1e21, -1e300, 0.5, 1e-7]
        {
            let mut out = String::new();
            write(&mut out, value);
            assert_eq!(out, PrometheusValue(value).to_string());
        }
    }
}
