//! The time series of a case, written as Prometheus answers: `metric`, `value` or `values`, `histogram` or `histograms`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::native::typed;
use crate::{Bounds, Bucket, Histogram, SeriesOrigin, SeriesQuery, SeriesReport, SeriesSample, SubjectId};

/// One series of `result`: its labels, and its samples and histograms as the contract has them, all but the subject.
pub(super) struct Found {
    pub(super) labels: Vec<(String, String)>,
    pub(super) samples: Vec<Value>,
    pub(super) histograms: Vec<Value>,
}

/// Reads one series as Prometheus writes it.
pub(super) fn found(series: &Value) -> Result<Found, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        #[serde(default)]
        metric: serde_json::Map<String, Value>,
        value: Option<(f64, Value)>,
        #[serde(default)]
        values: Vec<(f64, Value)>,
        histogram: Option<(f64, WrittenHistogram)>,
        #[serde(default)]
        histograms: Vec<(f64, WrittenHistogram)>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct WrittenHistogram {
        count: Value,
        sum: Value,
        #[serde(default)]
        buckets: Vec<(u8, Value, Value, Value)>,
    }
    let Written { metric, value, values, histogram, histograms } = typed(series)?;
    let label = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        other => Err(format!("the label `{name}` is a text, not {other}")),
    };
    let labels = metric.into_iter().map(label).collect::<Result<_, String>>()?;
    let sample = |(seconds, value): (f64, Value)| json!({"unix-milliseconds": millis(seconds), "value": value});
    let bucket = |(bounds, lower, upper, count): (u8, Value, Value, Value)| {
        let bounds = match bounds {
            0 => "open-left",
            1 => "open-right",
            2 => "open-both",
            _ => "closed-both",
        };
        json!({"bounds": bounds, "lower": lower, "upper": upper, "count": count})
    };
    let histogram_at = |(seconds, histogram): (f64, WrittenHistogram)| {
        let buckets: Vec<Value> = histogram.buckets.into_iter().map(bucket).collect();
        json!({"unix-milliseconds": millis(seconds), "count": histogram.count, "sum": histogram.sum, "buckets": buckets})
    };
    Ok(Found {
        labels,
        samples: value.into_iter().chain(values).map(sample).collect(),
        histograms: histogram.into_iter().chain(histograms).map(histogram_at).collect(),
    })
}

#[allow(clippy::cast_possible_truncation, reason = "times of cases are within reach")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1e3).round() as i64
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    observed_at_unix_nanos: u64,
    query: FileQuery,
    start_unix_milliseconds: i64,
    end_unix_milliseconds: i64,
    step_milliseconds: u64,
    warnings: Vec<String>,
    failure: Option<String>,
    samples: Vec<FileSample>,
    histograms: Vec<FileHistogram>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileQuery {
    cycle: String,
    name: String,
    metric: String,
    metric_type: String,
    unit: String,
    origin: SeriesOrigin,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileSample {
    subject: SubjectId,
    unix_milliseconds: i64,
    value: FileValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileHistogram {
    subject: SubjectId,
    unix_milliseconds: i64,
    count: FileValue,
    sum: FileValue,
    buckets: Vec<FileBucket>,
}

#[derive(Deserialize)]
struct FileBucket {
    bounds: Bounds,
    lower: FileValue,
    upper: FileValue,
    count: FileValue,
}

/// A number, or a text as Prometheus writes numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum FileValue {
    Number(f64),
    Text(String),
}

impl FileValue {
    fn number(&self) -> Result<f64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| format!("`{text}` is no number")),
        }
    }
}

/// Reads the event of a case.
pub(super) fn read(report: &Value) -> Result<SeriesReport, String> {
    let file: File = typed(report)?;
    let FileQuery { cycle, name, metric, metric_type, unit, origin } = file.query;
    let sample = |sample: &FileSample| {
        let value = sample.value.number()?;
        Ok(SeriesSample { subject: sample.subject, unix_milliseconds: sample.unix_milliseconds, value })
    };
    Ok(SeriesReport {
        observed_at_unix_nanos: file.observed_at_unix_nanos,
        query: SeriesQuery { cycle, name, metric, metric_type, unit, origin },
        start_unix_milliseconds: file.start_unix_milliseconds,
        end_unix_milliseconds: file.end_unix_milliseconds,
        step_milliseconds: file.step_milliseconds,
        warnings: file.warnings,
        failure: file.failure,
        samples: file.samples.iter().map(sample).collect::<Result<_, String>>()?,
        histograms: file.histograms.iter().map(histogram).collect::<Result<_, String>>()?,
        more: file.more,
    })
}

fn histogram(histogram: &FileHistogram) -> Result<Histogram, String> {
    let bucket = |bucket: &FileBucket| {
        Ok(Bucket {
            bounds: bucket.bounds,
            lower: bucket.lower.number()?,
            upper: bucket.upper.number()?,
            count: bucket.count.number()?,
        })
    };
    Ok(Histogram {
        subject: histogram.subject,
        unix_milliseconds: histogram.unix_milliseconds,
        count: histogram.count.number()?,
        sum: histogram.sum.number()?,
        buckets: histogram.buckets.iter().map(bucket).collect::<Result<_, String>>()?,
    })
}
