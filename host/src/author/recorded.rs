//! Events of a running lane become the steps of a case: pure, and read back by the reader of cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sluicebox_contract::{Event, Subject, SubjectId};

use super::layout;

/// Bytes of a recording, at most, as its JSON is without white space.
const MOST_BYTES: usize = 8 << 20;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Recorded {
    bytes: usize,
    steps: Vec<Value>,
    /// Subjects as they were defined.
    defined: BTreeMap<SubjectId, Arc<Subject>>,
}

impl Recorded {
    /// Takes events of one batch, as many as may be, with the subjects that each of them names.
    pub fn take<'a>(&mut self, batch: impl IntoIterator<Item = (&'a Event, &'a [Arc<Subject>])>) -> serde_json::Result<()> {
        let mut taken = Vec::new();
        for (event, subjects) in batch {
            if self.bytes >= MOST_BYTES {
                break;
            }
            let value = serde_json::to_value(event)?;
            self.bytes += value.to_string().len();
            self.define(event, subjects)?;
            let written = written(event, value, subjects);
            if event.is_about_many() { self.steps.push(written) } else { taken.push(written) }
        }
        if !taken.is_empty() {
            self.steps.push(json!({"events": taken}));
        }
        Ok(())
    }

    /// Subjects of the event that the case does not know yet, or knows otherwise. Those of series are made of their labels.
    fn define(&mut self, event: &Event, subjects: &[Arc<Subject>]) -> serde_json::Result<()> {
        if matches!(event, Event::Series(_)) {
            return Ok(());
        }
        let mut named = BTreeSet::new();
        event.names(|subject| {
            named.insert(subject);
            false
        });
        let mut define = Vec::new();
        for subject in subjects.iter().filter(|subject| named.contains(&subject.id)) {
            if self.defined.get(&subject.id) != Some(subject) {
                define.push(serde_json::to_value(subject)?);
                self.defined.insert(subject.id, Arc::clone(subject));
            }
        }
        if !define.is_empty() {
            self.steps.push(json!({"define": define}));
        }
        Ok(())
    }

    /// The steps of the case.
    pub fn into_steps(self) -> Vec<Value> {
        self.steps
    }
}

/// The event as a case writes it.
fn written(event: &Event, value: Value, subjects: &[Arc<Subject>]) -> Value {
    let inner = match value {
        Value::Object(fields) => fields.into_iter().next().map(|(_, inner)| inner).unwrap_or_default(),
        other => other,
    };
    match event {
        Event::Tick(_) => json!({"tick": tick(inner)}),
        Event::Connections(_) => json!({"report": inner}),
        Event::Inventory(_) => json!({"inventory": inner}),
        Event::Series(_) => json!({"series": series(inner, subjects)}),
        // The object is a text as yet: what is taken out of it may make it another one.
        Event::Object(_) | Event::Pod(_) | Event::Service(_) | Event::Node(_) => json!({event.kind(): inner}),
    }
}

/// Objects stand as JSON where that is exact.
pub(super) fn unfold(steps: &mut [Value]) {
    for step in steps {
        let events = step.get_mut("events").and_then(Value::as_array_mut);
        events.into_iter().flatten().filter_map(|event| event.get_mut("object")).for_each(object);
    }
}

fn object(event: &mut Value) {
    if let Some(json) = event.get_mut("json")
        && let Some(text) = json.as_str()
        && let Ok(object @ Value::Object(_)) = serde_json::from_str::<Value>(text)
        && layout::is_same(&object, text)
        // Such a field is an abbreviation only where it does not stand within a text.
        && !text.contains("\"$like\"")
    {
        *json = object;
    }
}

/// One object for each subject, with the metrics as its fields.
fn tick(mut tick: Value) -> Value {
    let Some(samples) = tick.get_mut("samples") else { return tick };
    let mut all: Vec<Map<String, Value>> = Vec::new();
    for mut sample in samples.as_array_mut().map(std::mem::take).unwrap_or_default() {
        let subject = sample.get("subject").cloned().unwrap_or_default();
        let reading = match sample.get_mut("reading").map(Value::take) {
            Some(Value::Object(reading)) => reading.into_iter().next().map(|(_, reading)| reading).unwrap_or_default(),
            other => other.unwrap_or_default(),
        };
        let metric = sample.get("metric").and_then(Value::as_str).unwrap_or_default().to_owned();
        match all.last_mut().filter(|last| last.get("subject") == Some(&subject)) {
            Some(last) => drop(last.insert(metric, reading)),
            None => all.push(Map::from_iter([("subject".to_owned(), subject), (metric, reading)])),
        }
    }
    *samples = json!(all);
    tick
}

/// As Prometheus answers: the labels of each series, and its values.
fn series(report: Value, subjects: &[Arc<Subject>]) -> Value {
    let Value::Object(mut report) = report else { return report };
    let mut found: BTreeMap<u64, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for (field, is_histogram) in [("samples", false), ("histograms", true)] {
        let Some(Value::Array(samples)) = report.shift_remove(field) else { continue };
        for sample in samples {
            let subject = sample.get("subject").and_then(Value::as_u64).unwrap_or_default();
            let (values, histograms) = found.entry(subject).or_default();
            if is_histogram { histograms.push(histogram(&sample)) } else { values.push(at(&sample, &field_of(&sample, "value"))) }
        }
    }
    let result = found.into_iter().map(|(subject, (values, histograms))| {
        let labels = subjects.iter().find(|known| u64::from(known.id.0) == subject).map(|subject| labels(subject));
        let mut series = json!({"metric": labels.unwrap_or_default(), "values": values, "histograms": histograms});
        if let Value::Object(fields) = &mut series {
            fields.retain(|name, value| name == "metric" || value.as_array().is_some_and(|list| !list.is_empty()));
        }
        series
    });
    report.insert("result".to_owned(), result.collect());
    Value::Object(report)
}

fn labels(subject: &Subject) -> Map<String, Value> {
    let name = Some(("__name__".to_owned(), subject.name.as_str().into())).filter(|_| !subject.name.is_empty());
    let attributes = subject.attributes.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    name.into_iter().chain(attributes).collect()
}

fn field_of(value: &Value, name: &str) -> Value {
    value.get(name).cloned().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
fn at(sample: &Value, value: &Value) -> Value {
    let millis = sample.get("unix-milliseconds").and_then(Value::as_i64).unwrap_or_default();
    json!([millis as f64 / 1e3, value])
}

fn histogram(sample: &Value) -> Value {
    let buckets = sample.get("buckets").and_then(Value::as_array).cloned().unwrap_or_default();
    let bucket = |bucket: &Value| {
        let bounds = match bucket.get("bounds").and_then(Value::as_str) {
            Some("open-left") => 0,
            Some("open-right") => 1,
            Some("open-both") => 2,
            _ => 3,
        };
        json!([bounds, field_of(bucket, "lower"), field_of(bucket, "upper"), field_of(bucket, "count")])
    };
    let buckets: Vec<Value> = buckets.iter().map(bucket).collect();
    at(sample, &json!({"count": field_of(sample, "count"), "sum": field_of(sample, "sum"), "buckets": buckets}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::cases::{self, Step};

    /// Records what the case hands over, reads it again, and finds the same events and subjects.
    fn check(steps: &Value) {
        let read = |steps: &Value| {
            let text = json!({"about": "", "steps": steps}).to_string();
            cases::script(&cases::read("case", &text).unwrap()).unwrap_or_else(|error| panic!("{error}: {text}")).steps
        };
        let script = read(steps);
        let mut recorded = Recorded::default();
        let mut subjects: Vec<Arc<Subject>> = Vec::new();
        let mut before = Vec::new();
        for step in script {
            match step {
                Step::Define(define) => subjects.extend(define),
                Step::Batch { define, events, .. } => {
                    subjects.extend(define);
                    recorded.take(events.iter().map(|event| (event, subjects.as_slice()))).unwrap();
                    before.push(serde_json::to_value(&events).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
        let after = read(&json!(recorded.into_steps())).into_iter().filter_map(|step| match step {
            Step::Batch { events, .. } => Some(serde_json::to_value(&events).unwrap()),
            _ => None,
        });
        assert_eq!(after.collect::<Vec<_>>(), before);
    }

    #[test]
    fn every_kind_of_event_is_read_back_as_it_was() {
        for (_, case) in crate::author::events::cases(&json!({})) {
            check(&case["steps"]);
        }
    }

    #[test]
    fn an_inventory_of_a_node_that_is_not_known_is_read_back() {
        check(&json!([{"inventory": {"node": null, "pods": []}}, {"inventory": {"pods": []}}]));
    }

    #[test]
    fn histograms_and_numbers_that_json_lacks_are_read_back() {
        check(&json!([{"series": {"query": "q", "result": [
            {"metric": {"__name__": "h", "a": "b"}, "histogram": [1.5, {"count": "3", "sum": "7.5", "buckets": [[0, "1", "2", "3"], [3, "-1", "1", "0"]]}]},
            {"metric": {"a": "c"}, "values": [[1, "NaN"], [2.25, "+Inf"]]}
        ]}}]));
    }
}
