//! Fills in what the steps of a case leave out: subjects, times, and the state before.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::file::{Event, Expect, FileStep, Step};
use super::{metrics, short};

/// What is known while the steps are read from first to last.
#[derive(Default)]
pub(super) struct Reader {
    given: Map<String, Value>,
    time: Option<u64>,
    /// Subjects that exist, by id.
    subjects: BTreeMap<u64, Value>,
    /// The last state of each object that was given with typed fields, by kind and uid.
    typed: BTreeMap<(String, String), Value>,
    /// The series before said that more of their cycle follow.
    in_cycle: bool,
}

impl Reader {
    pub(super) fn new(given: Map<String, Value>) -> Self {
        Self { given, ..Self::default() }
    }

    pub(super) fn step(&mut self, step: FileStep, steps: &mut Vec<Step>) -> Result<(), String> {
        let FileStep { define, forget, restart, swap, events, tick, report, inventory, series, expect, expect_error } = step;
        let expects = expect.is_some() || expect_error.is_some();
        let mut batches = [
            events.map(Batch::Events),
            tick.map(Batch::Tick),
            report.map(Batch::Connections),
            inventory.map(Batch::Inventory),
            series.map(Batch::Series),
        ]
        .into_iter()
        .flatten();
        let (events, None) = (batches.next(), batches.next()) else {
            return Err("`tick`, `report`, `inventory` and `series` are a batch of their own each: make the others another step"
                .to_owned());
        };
        steps.push(match (define, forget, restart, swap, events) {
            (Some(subjects), None, false, false, None) if !expects => {
                let subjects = subjects.into_iter().map(|subject| self.subject(subject)).collect::<Result<Vec<_>, _>>()?;
                for subject in &subjects {
                    let id = subject.get("id").and_then(Value::as_u64).ok_or("a subject without a number as `id`")?;
                    self.subjects.insert(id, subject.clone());
                }
                Step::Define(subjects)
            }
            (None, Some(ids), false, false, None) if !expects => {
                self.subjects.retain(|id, _| !ids.iter().any(|forgotten| u64::from(*forgotten) == *id));
                Step::Forget(ids)
            }
            (None, None, true, false, None) if !expects => Step::Restart(self.subjects.values().cloned().collect()),
            (None, None, false, true, None) if !expects => Step::Swap(self.subjects.values().cloned().collect()),
            (None, None, false, false, Some(batch)) => self.batch(batch, expect, expect_error)?,
            _ => {
                return Err(
                    "a step is one of `events`, `tick`, `report`, `inventory` and `series` (with `expect` or `expect-error`), `define`, `forget`, `restart` and `swap`"
                        .to_owned(),
                );
            }
        });
        Ok(())
    }

    /// Attributes may be written as an object.
    fn subject(&self, subject: Value) -> Result<Value, String> {
        let mut subject = short::like(&self.given, subject)?;
        if let Some(attributes) = subject.get_mut("attributes")
            && let Value::Object(fields) = attributes
        {
            *attributes = fields.iter().map(|(name, value)| json!([name, value])).collect();
        }
        Ok(subject)
    }

    fn batch(&mut self, batch: Batch, expect: Option<Vec<Value>>, expect_error: Option<String>) -> Result<Step, String> {
        let expect = match (expect, expect_error) {
            (Some(_), Some(_)) => return Err("`expect` and `expect-error` exclude each other".to_owned()),
            (None, Some(error)) => Expect::Error(error),
            (entries, None) => {
                let entries = entries.unwrap_or_default().into_iter().map(|entry| short::entry(&self.given, entry));
                Expect::Entries(entries.collect::<Result<_, String>>()?)
            }
        };
        let events = match batch {
            Batch::Events(events) => events,
            Batch::Tick(tick) => return Ok(Step::Batch { define: Vec::new(), events: vec![self.tick(tick)?], expect }),
            Batch::Connections(report) => {
                return Ok(Step::Batch { define: Vec::new(), events: vec![self.report(report)?], expect });
            }
            Batch::Inventory(inventory) => {
                let mut define = Vec::new();
                let events = vec![self.inventory(inventory, &mut define)?];
                return Ok(Step::Batch { define, events, expect });
            }
            Batch::Series(series) => {
                let mut define = Vec::new();
                let events = vec![self.series(series, &mut define)?];
                return Ok(Step::Batch { define, events, expect });
            }
        };
        let mut define = Vec::new();
        let events = events.into_iter().map(|event| self.event(event, &mut define)).collect::<Result<Vec<_>, _>>()?;
        let kinds = events.chunk_by(|one, other| std::mem::discriminant(one) == std::mem::discriminant(other)).count();
        if kinds != 1 {
            return Err("a batch is never empty, and its events are all of one kind: make steps of them".to_owned());
        }
        Ok(Step::Batch { define, events, expect })
    }

    fn event(&mut self, event: Value, defined: &mut Vec<Value>) -> Result<Event, String> {
        let Value::Object(event) = short::like(&self.given, event)? else {
            return Err("an event is an object".to_owned());
        };
        match event.into_iter().next() {
            Some((kind, Value::Object(fields))) if kind == "pod" => self.typed(&kind, fields, defined).map(Event::Pod),
            Some((kind, Value::Object(fields))) if kind == "service" => self.typed(&kind, fields, defined).map(Event::Service),
            Some((kind, Value::Object(fields))) if kind == "node" => self.typed(&kind, fields, defined).map(Event::Node),
            Some((kind, Value::Object(fields))) if kind == "object" => Ok(self.object(fields, defined)),
            _ => Err("an event is `{\"pod\": {...}}`, and likewise `service`, `node` or `object`".to_owned()),
        }
    }

    fn tick(&mut self, tick: Value) -> Result<Event, String> {
        let Value::Object(mut tick) = short::like(&self.given, tick)? else {
            return Err("a tick is `{\"samples\": [...]}`".to_owned());
        };
        let samples = match tick.shift_remove("samples") {
            None => Vec::new(),
            Some(Value::Array(samples)) => samples,
            Some(_) => return Err("the `samples` of a tick are a list".to_owned()),
        };
        tick.insert("samples".to_owned(), metrics::samples(samples)?);
        tick.entry("online-cpus").or_insert(1.into());
        self.time(&mut tick);
        Ok(Event::Tick(Value::Object(tick)))
    }

    /// A report: ends may be written as `{"subject": 1, "address": "10.0.0.1", "port": 80}`, what is left out is told as unknown.
    fn report(&mut self, report: Value) -> Result<Event, String> {
        let Value::Object(mut report) = short::like(&self.given, report)? else {
            return Err("a report is `{\"connections\": [...]}`".to_owned());
        };
        let connections = report.entry("connections").or_insert_with(|| json!([]));
        let Some(connections) = connections.as_array_mut() else {
            return Err("the `connections` of a report are a list".to_owned());
        };
        for connection in connections.iter_mut() {
            let Some(connection) = connection.as_object_mut() else { return Err("a connection is an object".to_owned()) };
            let zero = json!(0);
            for (field, unless_given) in [
                ("protocol", json!("tcp")),
                ("direction", json!("outgoing")),
                ("pid", zero.clone()),
                ("network-namespace", zero.clone()),
                ("sent", zero.clone()),
                ("received", zero.clone()),
                ("retransmits", zero.clone()),
                ("last-seen-nanoseconds-since-boot", zero),
            ] {
                connection.entry(field).or_insert(unless_given);
            }
        }
        report.entry("over-nanoseconds").or_insert(0.into());
        report.entry("more").or_insert(false.into());
        self.time(&mut report);
        Ok(Event::Connections(Value::Object(report)))
    }

    /// An inventory: subjects are given to each uid and defined, as with events.
    fn inventory(&mut self, inventory: Value, defined: &mut Vec<Value>) -> Result<Event, String> {
        let Value::Object(mut inventory) = short::like(&self.given, inventory)? else {
            return Err("an inventory is `{\"node\": {...}, \"pods\": [...]}`".to_owned());
        };
        for (list, kind) in [("node", "node"), ("pods", "pod")] {
            let items = match inventory.get_mut(list).map(Value::take) {
                // Its node may not be known yet.
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) => items,
                Some(item) => vec![item],
            };
            let mut written = Vec::new();
            for item in items {
                let Value::Object(mut item) = item else { return Err(format!("`{list}` of an inventory holds objects")) };
                let known = Value::Object(item.clone());
                let subject = json!({
                    "kind": kind, "uid": text(&known, "uid"), "namespace": text(&known, "namespace"), "name": text(&known, "name"),
                });
                self.subject_of(&mut item, subject, defined);
                written.push(Value::Object(item));
            }
            let written = if kind == "node" { written.pop().unwrap_or_default() } else { Value::Array(written) };
            inventory.insert(list.to_owned(), written);
        }
        self.time(&mut inventory);
        Ok(Event::Inventory(Value::Object(inventory)))
    }

    /// What a query found: subjects are given to each set of labels and defined, as with events.
    fn series(&mut self, series: Value, defined: &mut Vec<Value>) -> Result<Event, String> {
        let Value::Object(mut report) = short::like(&self.given, series)? else {
            return Err("series are `{\"query\": \"up\", \"result\": [...]}`".to_owned());
        };
        let mut query = match report.shift_remove("query") {
            Some(Value::String(name)) => json!({"name": name}),
            Some(query @ Value::Object(_)) => query,
            _ => return Err("series need a `query`: its name, or an object with `name`".to_owned()),
        };
        let name = json!(text(&query, "name"));
        if let Value::Object(query) = &mut query {
            query.entry("metric").or_insert(name);
            query.entry("origin").or_insert_with(|| "range-query".into());
            for field in ["cycle", "metric-type", "unit"] {
                query.entry(field).or_insert_with(|| "".into());
            }
        }
        report.insert("query".to_owned(), query);
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        let result = match report.shift_remove("result") {
            None => Vec::new(),
            Some(Value::Array(result)) => result,
            Some(_) => return Err("the `result` of series is a list".to_owned()),
        };
        for found in result {
            let found = super::series::found(&found)?;
            let subject = self.series_subject(found.labels, defined);
            for (values, all) in [(found.samples, &mut samples), (found.histograms, &mut histograms)] {
                all.extend(values.into_iter().map(|mut value| {
                    if let Value::Object(fields) = &mut value {
                        fields.insert("subject".to_owned(), subject.into());
                    }
                    value
                }));
            }
        }
        report.insert("samples".to_owned(), samples.into());
        report.insert("histograms".to_owned(), histograms.into());
        for field in ["start-unix-milliseconds", "end-unix-milliseconds", "step-milliseconds"] {
            report.entry(field).or_insert(0.into());
        }
        report.entry("warnings").or_insert_with(|| json!([]));
        report.entry("failure").or_insert(Value::Null);
        let more = report.entry("more").or_insert(false.into()).as_bool().unwrap_or(false);
        if let (true, Some(time)) = (self.in_cycle, self.time) {
            report.entry("observed-at-unix-nanos").or_insert(time.into());
        }
        self.in_cycle = more;
        self.time(&mut report);
        Ok(Event::Series(Value::Object(report)))
    }

    /// The subject of these labels, which is defined when it is new.
    fn series_subject(&mut self, labels: Vec<(String, String)>, defined: &mut Vec<Value>) -> u64 {
        let name = labels.iter().find(|(name, _)| name == "__name__").map_or("", |(_, value)| value).to_owned();
        let attributes: Vec<Value> =
            labels.into_iter().filter(|(name, _)| name != "__name__").map(|(name, value)| json!([name, value])).collect();
        let mut subject = json!({"kind": "series", "uid": "", "namespace": "", "name": name, "attributes": attributes});
        let is_same = |known: &Value| ["kind", "name", "attributes"].iter().all(|field| known.get(*field) == subject.get(*field));
        if let Some((id, _)) = self.subjects.iter().find(|(_, known)| is_same(known)) {
            return *id;
        }
        let id = self.subjects.last_key_value().map_or(1, |(id, _)| id + 1);
        if let Value::Object(fields) = &mut subject {
            fields.insert("id".to_owned(), id.into());
        }
        self.subjects.insert(id, subject.clone());
        defined.push(subject);
        id
    }

    /// An event about an object with typed fields, which stands under its kind.
    fn typed(&mut self, kind: &str, mut event: Map<String, Value>, defined: &mut Vec<Value>) -> Result<Value, String> {
        let object = event.get(kind).cloned().ok_or_else(|| format!("a {kind} event without `{kind}`"))?;
        let subject = json!({
            "kind": kind, "uid": text(&object, "uid"), "namespace": text(&object, "namespace"), "name": text(&object, "name"),
        });
        self.common(&mut event, subject, defined);
        let key = (kind.to_owned(), text(&object, "uid").to_owned());
        let gone = event.get("change").is_some_and(|change| change == "deleted");
        let before = if gone { self.typed.remove(&key) } else { self.typed.insert(key, object) };
        event.entry("previous").or_insert(before.unwrap_or_default());
        Ok(Value::Object(event))
    }

    fn object(&mut self, mut event: Map<String, Value>, defined: &mut Vec<Value>) -> Event {
        let written = event.get("json").cloned().unwrap_or_default();
        let object = match &written {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            object => object.clone(),
        };
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let kind = object.get("kind").and_then(Value::as_str).map_or_else(|| "pod".to_owned(), str::to_lowercase);
        event.entry("kind").or_insert(Value::String(kind));
        for field in ["uid", "namespace", "name"] {
            event.entry(field).or_insert_with(|| text(&metadata, field).into());
        }
        if let Value::Object(_) = written {
            event.insert("json".to_owned(), Value::String(written.to_string()));
        }
        let identity = Value::Object(event.clone());
        let subject = json!({
            "kind": text(&identity, "kind"), "uid": text(&identity, "uid"),
            "namespace": text(&identity, "namespace"), "name": text(&identity, "name"),
        });
        self.common(&mut event, subject, defined);
        Event::Object(Value::Object(event))
    }

    // Time and subject. A subject that does not exist yet is defined, as the host does it.
    fn common(&mut self, event: &mut Map<String, Value>, subject: Value, defined: &mut Vec<Value>) {
        self.time(event);
        self.subject_of(event, subject, defined);
    }

    fn subject_of(&mut self, event: &mut Map<String, Value>, subject: Value, defined: &mut Vec<Value>) {
        if event.contains_key("subject") {
            return;
        }
        let (kind, uid) = (text(&subject, "kind"), text(&subject, "uid"));
        let known =
            self.subjects.iter().find(|(_, known)| text(known, "kind") == kind && text(known, "uid") == uid).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| {
            let id = self.subjects.last_key_value().map_or(1, |(id, _)| id + 1);
            let mut subject = subject;
            if let Value::Object(fields) = &mut subject {
                fields.insert("id".to_owned(), id.into());
            }
            self.subjects.insert(id, subject.clone());
            defined.push(subject);
            id
        });
        event.insert("subject".to_owned(), id.into());
    }

    fn time(&mut self, event: &mut Map<String, Value>) {
        let next = self.time.map_or(1_700_000_000_000_000_000, |time| time.saturating_add(1_000_000_000));
        self.time = event.entry("observed-at-unix-nanos").or_insert(next.into()).as_u64();
    }
}

/// What a step hands over.
enum Batch {
    Events(Vec<Value>),
    Tick(Value),
    Connections(Value),
    Inventory(Value),
    Series(Value),
}

fn text<'value>(value: &'value Value, field: &str) -> &'value str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
