//! Short ways through time series, and their values as text.

use std::fmt;

use crate::{SeriesReport, SeriesSample, SubjectId};

impl SeriesReport {
    /// The samples of each series, which is never without one.
    pub fn by_series(&self) -> impl Iterator<Item = (SubjectId, &[SeriesSample])> {
        let parts = self.samples.chunk_by(|one, other| one.subject == other.subject);
        parts.filter_map(|samples| Some((samples.first()?.subject, samples)))
    }
}

/// A value as Prometheus writes it in its answers: the shortest text that reads as the same number, with an exponent below 1e-6 and from 1e21
/// on; `NaN`, `+Inf` and `-Inf` where it is no number.
///
/// ```
/// use sluicebox_sdk::PrometheusValue;
///
/// let text = |value| PrometheusValue(value).to_string();
/// assert_eq!(text(2442.0), "2442");
/// assert_eq!(text(0.21000000000000016), "0.21000000000000016");
/// assert_eq!(text(1e-7), "1e-07");
/// assert_eq!(text(-2.5e21), "-2.5e+21");
/// assert_eq!(text(f64::INFINITY), "+Inf");
/// assert_eq!(text(-0.0), "-0");
/// ```
///
/// Prometheus writes so since 1.0 (`strconv.FormatFloat` with `f` or `e` and the least number of digits).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrometheusValue(
    /// The value.
    pub f64,
);

impl fmt::Display for PrometheusValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if value.is_nan() {
            return formatter.write_str("NaN");
        }
        if value.is_infinite() {
            return formatter.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        let size = value.abs();
        let bits = fraction_bits(value);
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            // In this range no text has more than 23 digits behind the point, and most fractions have more bits.
            if bits == 0 || bits > 24 {
                return write!(formatter, "{value}");
            }
            let text = format!("{value}");
            let is_half = bits == fraction_digits(&text) + 1;
            let even = is_half.then(|| even(&format!("{value:.bits$}"), |text| text.parse() == Ok(value))).flatten();
            return formatter.write_str(&even.unwrap_or(text));
        }
        let text = format!("{value:e}");
        let (mut digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        // Of large numbers none lies in the middle: they have no fraction.
        let more = fraction_digits(digits) + 1;
        let is_half = sign == '-' && exponent.parse().is_ok_and(|exponent: usize| bits == more + exponent);
        let is_same = |digits: &str| format!("{digits}e-{exponent}").parse() == Ok(value);
        let even = is_half.then(|| even(format!("{value:.more$e}").split_once('e')?.0, is_same)).flatten();
        if let Some(even) = &even {
            digits = even;
        }
        // Go writes a sign and at least two digits.
        write!(formatter, "{digits}e{sign}{exponent:0>2}")
    }
}

/// How many binary digits a number has behind its point, which are as many as it has decimal ones when all are written.
fn fraction_bits(value: f64) -> usize {
    let bits = value.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    let (exponent, whole) = if exponent == 0 { (1, fraction) } else { (exponent, fraction | 1 << 52) };
    usize::try_from(1_075_u64.saturating_sub(exponent + u64::from(whole.trailing_zeros()))).unwrap_or_default()
}

fn fraction_digits(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

/// Where a number lies in the middle between two texts that both read as it, Go takes the one with the even digit at its end, and Rust the
/// larger one. Of all digits of such a number, those without the last one, if these are what Go takes.
fn even(exact: &str, is_same: impl FnOnce(&str) -> bool) -> Option<String> {
    let smaller = exact.strip_suffix('5')?;
    (smaller.ends_with(['0', '2', '4', '6', '8']) && is_same(smaller)).then(|| smaller.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_reads_as_the_same_number() {
        for value in [0.1 + 0.2, 1e-6, 9.999_999e-7, 1e21, 9.999e20, 5e-324, f64::MAX, f64::MIN, 1_545_288_169.123, -0.000_12] {
            let text = PrometheusValue(value).to_string();
            assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
        assert_eq!(PrometheusValue(1e-6).to_string(), "0.000001");
        assert_eq!(PrometheusValue(5e-324).to_string(), "5e-324");
        assert_eq!(PrometheusValue(1e100).to_string(), "1e+100");
        assert_eq!(PrometheusValue(f64::NAN).to_string(), "NaN");
    }

    // As `strconv.FormatFloat` has it.
    #[test]
    fn in_the_middle_between_two_texts_the_even_one_counts() {
        for (value, expected) in [
            (2_139_667_000_000_000.25, "2139667000000000.2"),
            (2_139_667_000_000_000.75, "2139667000000000.8"),
            (-269_769_765_892_001.625, "-269769765892001.62"),
            (1.0 + 1.0 / 131_072.0, "1.0000076293945312"),
            (209.0 / 2_097_152.0, "0.00009965896606445312"),
            (1.0 / 134_217_728.0, "7.450580596923828e-09"),
            (0.5, "0.5"),
            (1.25, "1.25"),
        ] {
            assert_eq!(PrometheusValue(value).to_string(), expected);
            assert_eq!(expected.parse(), Ok(value));
        }
    }
}
