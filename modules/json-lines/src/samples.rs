//! A line for each subject of a tick. What subjects and metrics are called is rendered once, not with every tick.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sluicebox_sdk::{
    ByMetric, Counter, Metric, MetricKind, Packed, Reading, Rfc3339, Sample, Subject, SubjectId, SubjectKind, Tick,
};

use crate::Fields;

/// What is needed to write the lines.
pub(crate) struct Lines {
    fields: Fields,
    metrics: ByMetric<Name>,
    subjects: BTreeMap<SubjectId, Known>,
}

/// How a metric is written.
struct Name {
    /// Its name in JSON, with the colon.
    key: String,
    /// What its rates are multiplied by, so that a terminal shows processors and not nanoseconds.
    scale: f64,
}

/// How a subject is written.
struct Known {
    key: String,
    /// The line's part about it: `"subject":"container",...`.
    names: String,
}

impl Lines {
    pub(crate) fn new(fields: Fields) -> Self {
        Self { fields, metrics: ByMetric::default(), subjects: BTreeMap::new() }
    }

    pub(crate) fn metrics(&mut self, metrics: &[Metric]) {
        self.metrics = ByMetric::new(metrics, |metric| {
            let scale = if metric.kind == MetricKind::Counter && metric.unit == "nanoseconds" { 1e-9 } else { 1.0 };
            Some(Name { key: format!("{}:", json!(metric.name)), scale })
        });
    }

    pub(crate) fn define(&mut self, subjects: &[Subject]) {
        for subject in subjects {
            // A cgroup has no uid; its name is its path.
            let key = if subject.uid.is_empty() { &subject.name } else { &subject.uid };
            let known = Known { key: key.clone(), names: names(subject, self.fields) };
            self.subjects.insert(subject.id, known);
        }
    }

    pub(crate) fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.subjects.remove(subject);
        }
    }

    pub(crate) fn write(&self, tick: &Tick, lines: &mut Packed) -> Result<(), String> {
        let begin = format!(r#"{{"time":"{}","kind":"sample","#, Rfc3339(tick.observed_at_unix_nanos));
        for (subject, samples) in tick.by_subject() {
            let known = self.subjects.get(&subject);
            let known = known.ok_or_else(|| format!("cannot write a line about subject {subject}: it was never defined"))?;
            lines.push(&known.key, |line| {
                line.push_str(&begin);
                line.push_str(&known.names);
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

fn names(subject: &Subject, fields: Fields) -> String {
    let mut names = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            names.insert(name.to_owned(), value.into());
        }
    };
    put("subject", kind(subject.kind));
    put("namespace", &subject.namespace);
    put("pod", subject.attribute("pod-name").unwrap_or_default());
    put("name", &subject.name);
    if fields == Fields::Full {
        put("uid", &subject.uid);
        let attributes: Map<_, _> =
            subject.attributes.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        if !attributes.is_empty() {
            names.insert("attributes".to_owned(), attributes.into());
        }
    }
    // Without the braces around it.
    let names = Value::from(names).to_string();
    names.strip_prefix('{').and_then(|names| names.strip_suffix('}')).unwrap_or_default().to_owned()
}

fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Pod => "pod",
        SubjectKind::Namespace => "namespace",
        SubjectKind::Node => "node",
        SubjectKind::Container => "container",
        SubjectKind::Cgroup => "cgroup",
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
