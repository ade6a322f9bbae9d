//! Runs a case natively, against the module's Rust type.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Case, Event, Expect, Step, difference, metrics, report, series};
use crate::{
    Context, Counter, Entries, Entry, Exported, Increase, Message, PackedMessages, Payload, Reading, Sample, Tick, settings,
};

/// Runs a case. The error says which step did what was not expected.
pub fn run<M: Exported>(case: &Case) -> Result<(), String> {
    let mut module = match (start::<M>(case), &case.start_error) {
        (Ok(module), None) => module,
        (Err(error), Some(part)) if error.contains(part.as_str()) => return Ok(()),
        (Err(error), Some(part)) => {
            return Err(format!("refused to start, but not with `{part}`: {error}"));
        }
        (Err(error), None) => return Err(format!("did not start: {error}")),
        (Ok(_), Some(part)) => {
            return Err(format!("started, and should have refused with `{part}`"));
        }
    };
    for (index, step) in case.steps.iter().enumerate() {
        take(case, step, &mut module).map_err(|error| format!("step {}: {error}", index + 1))?;
    }
    Ok(())
}

fn start<M: Exported>(case: &Case) -> Result<M, String> {
    // The host that the compiled module is tested with has the version of this crate.
    let context = Context { host_version: env!("CARGO_PKG_VERSION").to_owned(), ..typed(&case.context)? };
    let mut module = M::start(settings(&case.settings.to_string())?, &context)?;
    if M::SAMPLES {
        module.metrics(metrics::metrics());
    }
    Ok(module)
}

fn take<M: Exported>(case: &Case, step: &Step, module: &mut M) -> Result<(), String> {
    match step {
        Step::Define(subjects) => define(subjects, module)?,
        Step::Forget(ids) => module.forget(ids),
        Step::Restart(subjects) => {
            *module = start(case)?;
            define(subjects, module)?;
        }
        Step::Swap(subjects) => {
            let saved = M::STATE.then(|| module.save()).transpose()?;
            *module = start(case)?;
            define(subjects, module)?;
            if let Some((version, data)) = saved {
                module.restore(version, data)?;
            }
        }
        Step::Batch { define: subjects, events, expect } => {
            define(subjects, module)?;
            return compare(handle(events, module)?, expect);
        }
    }
    Ok(())
}

fn define<M: Exported>(subjects: &[Value], module: &mut M) -> Result<(), String> {
    if !subjects.is_empty() {
        module.define(subjects.iter().map(typed).collect::<Result<_, _>>()?);
    }
    Ok(())
}

fn handle<M: Exported>(events: &[Event], module: &mut M) -> Result<Result<Entries, String>, String> {
    let exports = |exported: bool, name: &str| {
        if exported {
            Ok(())
        } else {
            Err(format!("the case hands over what only `{name}` takes, and the module does not export that"))
        }
    };
    let values = events.iter().map(|event| match event {
        Event::Pod(value)
        | Event::Service(value)
        | Event::Node(value)
        | Event::Object(value)
        | Event::Tick(value)
        | Event::Connections(value)
        | Event::Inventory(value)
        | Event::Series(value) => value,
    });
    match events.first() {
        None => Err("the case hands over nothing".to_owned()),
        Some(Event::Pod(_)) => exports(M::PODS, "pods").and_then(|()| Ok(module.pods(all(values)?))),
        Some(Event::Service(_)) => exports(M::SERVICES, "services").and_then(|()| Ok(module.services(all(values)?))),
        Some(Event::Node(_)) => exports(M::NODES, "nodes").and_then(|()| Ok(module.nodes(all(values)?))),
        Some(Event::Object(_)) => exports(M::OBJECTS, "objects").and_then(|()| Ok(module.objects(all(values)?))),
        Some(Event::Tick(event)) => exports(M::SAMPLES, "samples").and_then(|()| Ok(module.samples(tick(event)?))),
        Some(Event::Connections(event)) => {
            exports(M::CONNECTIONS, "connections").and_then(|()| Ok(module.connections(report::read(event)?)))
        }
        Some(Event::Inventory(event)) => exports(M::INVENTORY, "inventory").and_then(|()| Ok(module.inventory(typed(event)?))),
        Some(Event::Series(event)) => exports(M::SERIES, "series").and_then(|()| Ok(module.series(series::read(event)?))),
    }
}

fn all<'values, T: DeserializeOwned>(values: impl Iterator<Item = &'values Value>) -> Result<Vec<T>, String> {
    values.map(typed).collect()
}

/// The tick of a case: with names in place of ids, and without rates.
fn tick(event: &Value) -> Result<Tick, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    struct File {
        observed_at_unix_nanos: u64,
        online_cpus: u32,
        samples: Vec<FileSample>,
    }
    #[derive(Deserialize)]
    struct FileSample {
        subject: u32,
        metric: String,
        reading: FileReading,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum FileReading {
        Counter { total: u64, increase: Option<FileIncrease> },
        Value(u64),
        Unlimited,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct FileIncrease {
        amount: u64,
        over_nanoseconds: u64,
    }

    let increase = |increase: FileIncrease| Increase::over_nanoseconds(increase.amount, increase.over_nanoseconds);
    let sample = |sample: FileSample| {
        let metric = metrics::id(&sample.metric).ok_or_else(|| format!("no metric is called `{}`", sample.metric))?;
        let reading = match sample.reading {
            FileReading::Counter { total, increase: grown } => Reading::Counter(Counter { total, increase: grown.map(increase) }),
            FileReading::Value(value) => Reading::Value(value),
            FileReading::Unlimited => Reading::Unlimited,
        };
        Ok(Sample { subject: sample.subject, metric, reading })
    };
    let File { observed_at_unix_nanos, online_cpus, samples } = typed(event)?;
    let samples = samples.into_iter().map(sample).collect::<Result<_, String>>()?;
    Ok(Tick { observed_at_unix_nanos, online_cpus, samples })
}

fn compare(made: Result<Entries, String>, expect: &Expect) -> Result<(), String> {
    match (made, expect) {
        (Ok(made), Expect::Entries(expected)) => difference(expected, &written(made)?).map_or(Ok(()), Err),
        (Err(error), Expect::Error(part)) if error.contains(part.as_str()) => Ok(()),
        (Err(error), Expect::Error(part)) => Err(format!("refused, but not with `{part}`: {error}")),
        (Err(error), Expect::Entries(_)) => Err(format!("refused: {error}")),
        (Ok(_), Expect::Error(part)) => Err(format!("not refused, and should have been with `{part}`")),
    }
}

pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("{error}, in {value}"))
}

/// Entries as case files write them.
fn written(entries: Entries) -> Result<Vec<Value>, String> {
    let entries = match entries {
        Entries::Plain(entries) => entries,
        Entries::Packed(packed) => unpack(&packed).ok_or("packed messages end outside of their text")?,
    };
    Ok(entries.into_iter().map(entry).collect())
}

fn unpack(packed: &PackedMessages) -> Option<Vec<Entry>> {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut begin = 0;
    let message = |end: &crate::PackedEnd| {
        let (channel_end, key_end, body_end) = (end.channel_end as usize, end.key_end as usize, end.body_end as usize);
        let channel = packed.text.get(begin..channel_end)?;
        let key = packed.text.get(channel_end..key_end)?;
        let body = packed.text.get(key_end..body_end)?;
        begin = body_end;
        let channel = named(channel).or_else(|| packed.channel.clone());
        Some(Entry::Message(Message { channel, key: named(key), headers: packed.headers.clone(), body: body.into() }))
    };
    packed.ends.iter().map(message).collect()
}

fn entry(entry: Entry) -> Value {
    let (kind, mut fields) = match entry {
        Entry::Message(message) => {
            let headers = if message.headers.is_empty() { Value::Null } else { json!(message.headers) };
            ("message", json!({"channel": message.channel, "key": message.key, "headers": headers, "body": body(message.body)}))
        }
        Entry::Document(document) => {
            ("document", json!({"collection": document.collection, "name": document.name, "body": body(document.body)}))
        }
        Entry::Forget(forget) => (
            "forget",
            json!({"collection": forget.collection, "name": forget.name, "after-milliseconds": forget.after_milliseconds}),
        ),
    };
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    json!({ kind: fields })
}

fn body(body: Payload) -> Value {
    match body {
        Payload::Text(text) => Value::String(text),
        Payload::Bytes(bytes) => String::from_utf8(bytes).map_or_else(|error| json!(error.into_bytes()), Value::String),
    }
}
