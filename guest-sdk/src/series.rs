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
            let mut text = format!("{value}");
            if bits == fraction_digits(&text) + 1 {
                even(&mut text, |text| text.parse() == Ok(value));
            }
            return formatter.write_str(&text);
        }
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        let mut digits = digits.to_owned();
        // Of large numbers none lies in the middle: they have no fraction.
        let is_half = |exponent: usize| bits == fraction_digits(&digits) + exponent + 1;
        if sign == '-' && exponent.parse().is_ok_and(is_half) {
            even(&mut digits, |digits| format!("{digits}e-{exponent}").parse() == Ok(value));
        }
        // Go writes a sign and at least two digits.
        write!(formatter, "{digits}e{sign}{exponent:0>2}")
    }
}

/// The bits of a number below the first one.
const FRACTION: u64 = (1 << 52) - 1;

/// How many binary digits a number has behind its point, which are as many as it has decimal ones when all are written.
fn fraction_bits(value: f64) -> usize {
    let bits = value.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & FRACTION);
    let (exponent, whole) = if exponent == 0 { (1, fraction) } else { (exponent, fraction | 1 << 52) };
    usize::try_from(1_075_u64.saturating_sub(exponent + u64::from(whole.trailing_zeros()))).unwrap_or_default()
}

fn fraction_digits(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

/// Where a number lies in the middle between two texts that both read as it, Rust takes the larger one, and Go the one with the even digit
/// at its end, which is the other one if this digit is odd. Below a power of two numbers lie closer, so that the smaller text may be
/// another's.
fn even(digits: &mut String, reads_as_it: impl FnOnce(&str) -> bool) {
    let even = match digits.as_bytes().last() {
        Some(b'1') => '0',
        Some(b'3') => '2',
        Some(b'5') => '4',
        Some(b'7') => '6',
        Some(b'9') => '8',
        _ => return,
    };
    let mut smaller = digits.clone();
    smaller.pop();
    smaller.push(even);
    if reads_as_it(&smaller) {
        *digits = smaller;
    }
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
    #[allow(clippy::excessive_precision, reason = "the digits are what is tested")]
    fn in_the_middle_between_two_texts_the_even_one_counts() {
        for (value, expected) in [
            (2_139_667_000_000_000.25, "2139667000000000.2"),
            (2_139_667_000_000_000.75, "2139667000000000.8"),
            (-269_769_765_892_001.625, "-269769765892001.62"),
            (1.0 + 1.0 / 131_072.0, "1.0000076293945312"),
            (209.0 / 2_097_152.0, "0.00009965896606445312"),
            (1.0 / 134_217_728.0, "7.450580596923828e-09"),
            (1.0 / 16_777_216.0, "5.960464477539063e-08"),
            (1.0 / 33_554_432.0, "2.9802322387695312e-08"),
            (3.0 / 33_554_432.0, "8.940696716308594e-08"),
            (0.5, "0.5"),
            (1.25, "1.25"),
        ] {
            assert_eq!(PrometheusValue(value).to_string(), expected);
            assert_eq!(expected.parse(), Ok(value));
        }
    }
}
