//! The metrics that the cases know: those of the host, which this crate cannot name. A test of the host holds the two against each other.

use serde_json::{Map, Value, json};

use crate::{Metric, MetricId, MetricKind};

/// Name, kind and unit, in the order of the metrics.
const TABLE: [(&str, MetricKind, &str); 39] = {
    use MetricKind::{Counter, Gauge, Limit};
    [
        ("cpu-usage", Counter, "nanoseconds"),
        ("cpu-user", Counter, "nanoseconds"),
        ("cpu-system", Counter, "nanoseconds"),
        ("cpu-periods", Counter, "count"),
        ("cpu-throttled-periods", Counter, "count"),
        ("cpu-throttled-time", Counter, "nanoseconds"),
        ("cpu-pressure-some", Counter, "nanoseconds"),
        ("cpu-pressure-full", Counter, "nanoseconds"),
        ("memory-usage", Gauge, "bytes"),
        ("memory-limit", Limit, "bytes"),
        ("memory-working-set", Gauge, "bytes"),
        ("memory-swap-usage", Gauge, "bytes"),
        ("memory-swap-limit", Limit, "bytes"),
        ("memory-anonymous", Gauge, "bytes"),
        ("memory-file", Gauge, "bytes"),
        ("memory-kernel-stack", Gauge, "bytes"),
        ("memory-page-tables", Gauge, "bytes"),
        ("memory-slab-reclaimable", Gauge, "bytes"),
        ("memory-swapped-in", Counter, "pages"),
        ("memory-swapped-out", Counter, "pages"),
        ("memory-oom-kills", Counter, "count"),
        ("memory-pressure-some", Counter, "nanoseconds"),
        ("memory-pressure-full", Counter, "nanoseconds"),
        ("pids-current", Gauge, "count"),
        ("pids-limit", Limit, "count"),
        ("io-read-bytes", Counter, "bytes"),
        ("io-written-bytes", Counter, "bytes"),
        ("io-reads", Counter, "count"),
        ("io-writes", Counter, "count"),
        ("io-pressure-some", Counter, "nanoseconds"),
        ("io-pressure-full", Counter, "nanoseconds"),
        ("network-received-bytes", Counter, "bytes"),
        ("network-transmitted-bytes", Counter, "bytes"),
        ("network-received-packets", Counter, "count"),
        ("network-transmitted-packets", Counter, "count"),
        ("network-received-errors", Counter, "count"),
        ("network-transmitted-errors", Counter, "count"),
        ("network-received-dropped", Counter, "count"),
        ("network-transmitted-dropped", Counter, "count"),
    ]
};

/// All of them, as a module is told.
pub fn metrics() -> Vec<Metric> {
    let metrics = (0..).zip(TABLE);
    metrics.map(|(id, (name, kind, unit))| Metric { id, name: name.to_owned(), kind, unit: unit.to_owned() }).collect()
}

/// The id of a metric.
pub(super) fn id(name: &str) -> Option<MetricId> {
    (0..).zip(TABLE).find(|(_, (known, ..))| *known == name).map(|(id, _)| id)
}

/// The samples of all subjects, each on its own, out of one object for each subject: ordered as the host orders them.
pub(super) fn samples(subjects: Vec<Value>) -> Result<Value, String> {
    let mut seen = Vec::new();
    let mut samples = Vec::new();
    for subject in subjects {
        let Value::Object(mut fields) = subject else {
            return Err("`samples` are objects: `{\"subject\": 1, \"memory-usage\": 7}`".to_owned());
        };
        let id = fields.shift_remove("subject").filter(Value::is_u64).ok_or("samples without a number as `subject`")?;
        if seen.contains(&id) {
            return Err(format!("the samples of subject {id} stand together: put them into one object"));
        }
        for (name, kind, _) in TABLE {
            if let Some(written) = fields.shift_remove(name) {
                let reading =
                    reading(kind, &written).map_err(|cause| format!("`{name}` of subject {id}: {cause}, not {written}"))?;
                samples.push(json!({"subject": id, "metric": name, "reading": reading}));
            }
        }
        if let Some(name) = fields.keys().next() {
            return Err(format!("`{name}` of subject {id}: no metric is called so"));
        }
        seen.push(id);
    }
    Ok(Value::Array(samples))
}

fn reading(kind: MetricKind, written: &Value) -> Result<Value, &'static str> {
    match (kind, written) {
        (MetricKind::Counter, Value::Number(total)) if total.is_u64() => {
            Ok(json!({"counter": {"total": total, "increase": null}}))
        }
        (MetricKind::Counter, Value::Object(fields)) => {
            counter(fields).ok_or("a counter is a total, or `{\"total\": 5, \"increase\": {\"amount\": 2}}`")
        }
        (MetricKind::Counter, _) => Err("a counter is a total, or `{\"total\": 5, \"increase\": {\"amount\": 2}}`"),
        (_, Value::Number(value)) if value.is_u64() => Ok(json!({"value": value})),
        (MetricKind::Limit, Value::String(text)) if text == "unlimited" => Ok(json!("unlimited")),
        (MetricKind::Limit, _) => Err("a limit is a whole number or `\"unlimited\"`"),
        (MetricKind::Gauge, _) => Err("a gauge is a whole number"),
    }
}

fn counter(fields: &Map<String, Value>) -> Option<Value> {
    let number = |fields: &Map<String, Value>, name: &str| fields.get(name).and_then(Value::as_u64);
    let total = number(fields, "total")?;
    let (increase, known) = match fields.get("increase") {
        None => (Value::Null, 1),
        Some(Value::Null) => (Value::Null, 2),
        Some(Value::Object(increase)) => {
            let amount = number(increase, "amount")?;
            let (over, known) = match increase.get("over-nanoseconds") {
                None => (1_000_000_000, 1),
                Some(over) => (over.as_u64()?, 2),
            };
            if increase.len() != known {
                return None;
            }
            (json!({"amount": amount, "over-nanoseconds": over}), 2)
        }
        Some(_) => return None,
    };
    (fields.len() == known).then(|| json!({"counter": {"total": total, "increase": increase}}))
}
