//! The page that is scraped, in Prometheus' text format 0.0.4. Pure.

use std::fmt::Write as _;

use super::document::escape;
use super::family::{Key, Reading};
use super::registry::{Metric, Registry};

/// What the page is, for the header.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole page. Metrics stand in the order of their names, series in that of their labels.
pub(super) fn render(registry: &Registry) -> String {
    let mut text = String::with_capacity(registry.bytes());
    for (name, metric) in &registry.metrics {
        head(&mut text, name, metric);
        for (key, series) in &metric.series {
            sample(&mut text, name, key, &series.reading);
        }
    }
    text
}

// Writing to a string cannot fail, here and below.
fn head(text: &mut String, name: &str, metric: &Metric) {
    if let Some(help) = metric.helps.values().next() {
        let _infallible = write!(text, "# HELP {name} ");
        escape(text, help, false);
        text.push('\n');
    }
    if let Some(kind) = metric.kind {
        let _infallible = writeln!(text, "# TYPE {name} {kind}");
    }
}

fn sample(text: &mut String, name: &str, key: &Key, reading: &Reading) {
    text.push_str(name);
    text.push_str(key.part.suffix());
    let bound = key.part.label().zip(reading.bound.as_deref());
    if !key.labels.is_empty() || bound.is_some() {
        text.push('{');
        text.push_str(&key.labels);
        if let Some((label, bound)) = bound {
            let between = if key.labels.is_empty() { "" } else { "," };
            let _infallible = write!(text, "{between}{label}=\"{bound}\"");
        }
        text.push('}');
    }
    text.push(' ');
    number(text, reading.value);
    if let Some(timestamp) = reading.timestamp {
        let _infallible = write!(text, " {timestamp}");
    }
    text.push('\n');
}

/// As few digits as say exactly this number.
fn number(text: &mut String, number: f64) {
    let _infallible = if number.is_nan() {
        write!(text, "NaN")
    } else if number.is_infinite() {
        write!(text, "{}Inf", if number > 0.0 { '+' } else { '-' })
    } else if number == 0.0 || (1e-5..1e16).contains(&number.abs()) {
        write!(text, "{number}")
    } else {
        write!(text, "{number:e}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (1e300, "1e300"),
            (-1.5e-7, "-1.5e-7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut shown = String::new();
            number(&mut shown, value);
            assert_eq!(shown, text);
        }
    }
}
