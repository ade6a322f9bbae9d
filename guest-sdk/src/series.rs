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
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(formatter, "{value}");
        }
        // Go writes a sign and at least two digits.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        write!(formatter, "{digits}e{sign}{exponent:0>2}")
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
}
