//! A line for each value that a query found, and one for a query that failed.

use serde_json::{Map, Value, json};
use sluicebox_sdk::{Histogram, Packed, PrometheusValue, Rfc3339, SeriesReport, SubjectId};

use crate::Fields;
use crate::names::Names;

/// Appends the lines of a report.
pub(crate) fn write(report: &SeriesReport, fields: Fields, names: &Names, lines: &mut Packed) {
    if report.failure.is_some() || !report.warnings.is_empty() {
        let mut line = head(report, &Rfc3339(report.observed_at_unix_nanos).to_string(), "query", fields);
        line.insert("failure".to_owned(), json!(report.failure));
        line.insert("warnings".to_owned(), json!(report.warnings));
        lines.push(&report.query.name, |lines| lines.push_str(&Value::Object(line).to_string()));
    }
    let mut push = |subject: SubjectId, milliseconds: i64, name: &str, value: Value| {
        let mut line = head(report, &time(milliseconds), "series", fields);
        line.extend(names.fields(subject).cloned().unwrap_or_default());
        line.insert(name.to_owned(), value);
        lines.push(&report.query.name, |lines| lines.push_str(&Value::Object(line).to_string()));
    };
    for sample in &report.samples {
        push(sample.subject, sample.unix_milliseconds, "value", number(sample.value));
    }
    for histogram in &report.histograms {
        push(histogram.subject, histogram.unix_milliseconds, "histogram", self::histogram(histogram, fields));
    }
}

fn head(report: &SeriesReport, time: &str, kind: &str, fields: Fields) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("time".to_owned(), time.into());
    line.insert("kind".to_owned(), kind.into());
    line.insert("query".to_owned(), report.query.name.as_str().into());
    if fields == Fields::Full {
        for (name, value) in
            [("metric", &report.query.metric), ("metric-type", &report.query.metric_type), ("unit", &report.query.unit)]
        {
            if !value.is_empty() {
                line.insert(name.to_owned(), value.as_str().into());
            }
        }
    }
    line
}

fn histogram(histogram: &Histogram, fields: Fields) -> Value {
    let mut written = json!({"count": number(histogram.count), "sum": number(histogram.sum)});
    if let (Value::Object(written), Fields::Full) = (&mut written, fields) {
        let buckets = histogram.buckets.iter().map(|one| json!([number(one.lower), number(one.upper), number(one.count)]));
        written.insert("buckets".to_owned(), buckets.collect());
    }
    written
}

/// What JSON has no number for is a text, as Prometheus writes it.
fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { PrometheusValue(value).to_string().into() }
}

fn time(milliseconds: i64) -> String {
    Rfc3339(u64::try_from(milliseconds).unwrap_or(0).saturating_mul(1_000_000)).to_string()
}
