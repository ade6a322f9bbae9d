//! A line for each subject of a tick. What metrics are called is rendered once, not with every tick.

use serde_json::json;
use sluicebox_sdk::{ByMetric, Counter, Metric, MetricKind, Packed, Reading, Rfc3339, Sample, Tick};

use crate::Fields;
use crate::names::Names;

/// What is needed to write the lines.
pub(crate) struct Lines {
    fields: Fields,
    metrics: ByMetric<Name>,
}

/// How a metric is written.
struct Name {
    /// Its name in JSON, with the colon.
    key: String,
    /// What its rates are multiplied by, so that a terminal shows processors and not nanoseconds.
    scale: f64,
}

impl Lines {
    pub(crate) fn new(fields: Fields) -> Self {
        Self { fields, metrics: ByMetric::default() }
    }

    pub(crate) fn metrics(&mut self, metrics: &[Metric]) {
        self.metrics = ByMetric::new(metrics, |metric| {
            let scale = if metric.kind == MetricKind::Counter && metric.unit == "nanoseconds" { 1e-9 } else { 1.0 };
            Some(Name { key: format!("{}:", json!(metric.name)), scale })
        });
    }

    pub(crate) fn write(&self, tick: &Tick, names: &Names, lines: &mut Packed) -> Result<(), String> {
        let begin = format!(r#"{{"time":"{}","kind":"sample","#, Rfc3339(tick.observed_at_unix_nanos));
        for (subject, samples) in tick.by_subject() {
            let known = names.get(subject);
            let known = known.ok_or_else(|| format!("cannot write a line about subject {subject}: it was never defined"))?;
            lines.push(&known.key, |line| {
                line.push_str(&begin);
                line.push_str(&known.text);
                line.push_str(r#","metrics":{"#);
                self.readings(line, samples);
                line.push_str("}}");
            });
        }
        Ok(())
    }

    fn readings(&self, line: &mut String, samples: &[Sample]) {
        let mut comma = "";
        for sample in samples {
            let Some(name) = self.metrics.get(sample.metric) else { continue };
            let reading = match self.fields {
                Fields::Full => Some(full(&sample.reading)),
                Fields::Compact => compact(&sample.reading, name.scale),
            };
            if let Some(reading) = reading {
                line.push_str(comma);
                line.push_str(&name.key);
                line.push_str(&reading);
                comma = ",";
            }
        }
    }
}

fn full(reading: &Reading) -> String {
    match reading {
        Reading::Counter(Counter { total, increase: None }) => format!(r#"{{"total":{total}}}"#),
        Reading::Counter(Counter { total, increase: Some(by) }) => {
            format!(r#"{{"total":{total},"increase":{},"per-second":{}}}"#, by.amount, json!(by.per_second))
        }
        Reading::Value(value) => value.to_string(),
        Reading::Unlimited => r#""unlimited""#.to_owned(),
    }
}

/// Nothing for what is not set, not known yet, or zero: most of what is measured stands still.
fn compact(reading: &Reading, scale: f64) -> Option<String> {
    match reading {
        Reading::Counter(counter) => {
            let rate = counter.increase.as_ref()?.per_second * scale;
            let rounded = (rate * 1000.0).round() / 1000.0;
            (rounded > 0.0).then(|| json!(rounded).to_string())
        }
        Reading::Value(value) => (*value > 0).then(|| value.to_string()),
        Reading::Unlimited => None,
    }
}
