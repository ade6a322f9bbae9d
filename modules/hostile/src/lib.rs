//! A module that misbehaves as its settings say, so that tests can prove that the host outlives it.
//!
//! It stands on the bare bindings, not on the SDK: some of what it does, an SDK would prevent.

// Only the compiled module is evil; there is nothing to run natively.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "nothing calls it outside of a component"))]
#![allow(
    unsafe_code,
    clippy::panic,
    clippy::manual_assert,
    clippy::same_length_and_capacity,
    clippy::cast_possible_truncation,
    reason = "it shall do what no module may do"
)]

mod bench;
mod bindings;
mod evil;
mod work;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use bindings::exports::sluicebox::module::connection_handler::{self, Connection, ConnectionReport};
use bindings::exports::sluicebox::module::inventory_handler::{self, Inventory};
use bindings::exports::sluicebox::module::lifecycle::{self, Context};
use bindings::exports::sluicebox::module::node_handler::{self, NodeEvent};
use bindings::exports::sluicebox::module::object_handler::{self, ObjectEvent};
use bindings::exports::sluicebox::module::pod_handler::{self, PodEvent};
use bindings::exports::sluicebox::module::sample_handler::{self, Metric, Reading, Sample, Tick};
use bindings::exports::sluicebox::module::series_handler::{self, SeriesReport};
use bindings::exports::sluicebox::module::service_handler::{self, ServiceEvent};
use bindings::exports::sluicebox::module::state::{self, Saved};
use bindings::exports::sluicebox::module::subjects::{self, Subject};
use bindings::sluicebox::module::log::{self, Level};
use bindings::sluicebox::module::types::{Entries, Entry, Message, Payload};

/// What the settings ask for, and what an instance remembers.
#[derive(Default)]
struct State {
    evil: String,
    /// Misbehave only in batches with an event of this name.
    only: Option<String>,
    /// How many, or how large, where the evil has a size.
    size: usize,
    /// Say the number of each event behind its name.
    count: bool,
    /// Calls of this instance.
    calls: usize,
    /// Events that were answered, by this instance and those before it.
    events: usize,
    subjects: BTreeMap<u32, String>,
    /// Lines about subjects as they begin, for the benchmark.
    fragments: BTreeMap<u32, String>,
    /// Names of metrics; a metric's place is its id.
    metrics: Vec<String>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

struct Hostile;

impl lifecycle::Guest for Hostile {
    fn start(settings: String, context: Context) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| {
            log::line(Level::Error, &panic.to_string());
        }));
        let settings: serde_json::Value = serde_json::from_str(&settings).map_err(|error| error.to_string())?;
        let text = |name: &str| settings.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let state = State {
            evil: text("evil").unwrap_or_default(),
            only: text("only"),
            size: settings.get("size").and_then(serde_json::Value::as_u64).map_or(0, |size| size as usize),
            count: settings.get("count").and_then(serde_json::Value::as_bool).unwrap_or_default(),
            ..State::default()
        };
        let Context { lane, node_name, sources, host_version } = context;
        let sources = sources.join(",");
        log::line(Level::Debug, &format!("lane {lane} on {node_name} fed by {sources}, host {host_version}"));
        let answer = evil::start(&state.evil);
        STATE.set(state);
        answer
    }
}

impl subjects::Guest for Hostile {
    fn define(subjects: Vec<Subject>) {
        STATE.with_borrow_mut(|state| {
            evil::define(&state.evil);
            for subject in subjects {
                if let Some(fragment) = bench::fragment(&state.evil, &subject) {
                    state.fragments.insert(subject.id, fragment);
                }
                state.subjects.insert(subject.id, name(subject));
            }
        });
    }

    fn forget(subjects: Vec<u32>) {
        STATE.with_borrow_mut(|state| {
            evil::forget(&state.evil);
            for subject in subjects {
                state.subjects.remove(&subject);
                state.fragments.remove(&subject);
            }
        });
    }
}

/// The form of what is saved: the number of events, as text.
const VERSION: u32 = 1;

impl state::Guest for Hostile {
    fn save() -> Result<Saved, String> {
        STATE.with_borrow(|state| {
            let data = evil::save(&state.evil, state.size);
            let data = data.unwrap_or_else(|| Ok(Payload::Text(state.events.to_string())))?;
            Ok(Saved { version: VERSION, data })
        })
    }

    fn restore(saved: Saved) -> Result<(), String> {
        STATE.with_borrow_mut(|state| {
            evil::restore(&state.evil)?;
            state.events = match (saved.version, saved.data) {
                (VERSION, Payload::Text(text)) => text.parse().map_err(|error| format!("`{text}` is no count: {error}"))?,
                // What `large-save` saves: as long as it was, it has come back.
                (VERSION, Payload::Bytes(bytes)) => bytes.len(),
                (version, _) => return Err(format!("state of version {version} is not known, only {VERSION}")),
            };
            Ok(())
        })
    }
}

impl pod_handler::Guest for Hostile {
    fn handle(events: Vec<PodEvent>) -> Result<Entries, String> {
        match STATE.with_borrow(|state| bench::pods(&state.evil, state.size, &events)) {
            Some(entries) => Ok(entries),
            None => handle(events.into_iter().map(|event| About::named(event.subject, event.pod.name)).collect()),
        }
    }
}

impl object_handler::Guest for Hostile {
    fn handle(events: Vec<ObjectEvent>) -> Result<Entries, String> {
        handle(events.into_iter().map(|event| About::named(event.subject, event.json.unwrap_or(event.name))).collect())
    }
}

impl sample_handler::Guest for Hostile {
    fn metrics(metrics: Vec<Metric>) {
        STATE.with_borrow_mut(|state| {
            evil::metrics(&state.evil);
            state.metrics = metrics.into_iter().map(|metric| metric.name).collect();
        });
    }

    fn handle(tick: Tick) -> Result<Entries, String> {
        let worked = STATE.with_borrow(|state| bench::samples(&state.evil, &state.metrics, &state.fragments, &tick));
        if let Some(entries) = worked {
            return Ok(entries);
        }
        let parts = tick.samples.chunk_by(|one, other| one.subject == other.subject);
        handle(parts.filter_map(|samples| About::samples(samples, &tick)).collect())
    }
}

impl service_handler::Guest for Hostile {
    fn handle(events: Vec<ServiceEvent>) -> Result<Entries, String> {
        handle(events.into_iter().map(|event| About::told(event.subject, event.service.name.clone(), &event)).collect())
    }
}

impl node_handler::Guest for Hostile {
    fn handle(events: Vec<NodeEvent>) -> Result<Entries, String> {
        handle(events.into_iter().map(|event| About::told(event.subject, event.node.name.clone(), &event)).collect())
    }
}

impl connection_handler::Guest for Hostile {
    fn handle(report: ConnectionReport) -> Result<Entries, String> {
        handle(report.connections.iter().map(|connection| About::connection(connection, &report)).collect())
    }
}

impl inventory_handler::Guest for Hostile {
    fn handle(inventory: Inventory) -> Result<Entries, String> {
        let node = inventory.node.iter().map(|node| About::told(node.subject, node.name.clone(), node));
        let pods = inventory.pods.iter().map(|pod| About::told(pod.subject, pod.name.clone(), pod));
        handle(node.chain(pods).collect())
    }
}

impl series_handler::Guest for Hostile {
    fn handle(report: SeriesReport) -> Result<Entries, String> {
        let known = |subject: u32| STATE.with_borrow(|state| state.subjects.get(&subject).cloned().unwrap_or_default());
        let head = SeriesReport { samples: Vec::new(), histograms: Vec::new(), ..report.clone() };
        let head = About::told(0, report.query.name.clone(), &head);
        let samples = report.samples.iter().map(|sample| About::told(sample.subject, known(sample.subject), sample));
        let histograms = report.histograms.iter().map(|one| About::told(one.subject, known(one.subject), one));
        handle([head].into_iter().chain(samples).chain(histograms).collect())
    }
}

/// What is known of a subject, in one text.
fn name(subject: Subject) -> String {
    let attributes = subject.attributes.iter().map(|(name, value)| format!(" {name}={value}"));
    subject.name + &attributes.collect::<String>()
}

/// Something to answer.
struct About {
    subject: u32,
    name: String,
    text: String,
}

impl About {
    fn named(subject: u32, name: String) -> Self {
        Self { subject, text: name.clone(), name }
    }

    /// All that is told.
    fn told(subject: u32, name: String, all: &impl std::fmt::Debug) -> Self {
        Self { subject, name, text: format!("{all:?}") }
    }

    /// All that is told of a connection; its name is that of its source.
    fn connection(connection: &Connection, report: &ConnectionReport) -> Self {
        let subject = connection.source.subject;
        let name = STATE.with_borrow(|state| state.subjects.get(&subject).cloned().unwrap_or_default());
        let (at, over, more) = (report.observed_at_unix_nanos, report.over_nanoseconds, report.more);
        Self { subject, name, text: format!("at {at} over {over} more {more}: {connection:?}") }
    }

    /// All that is told of a subject's samples.
    fn samples(samples: &[Sample], tick: &Tick) -> Option<Self> {
        let subject = samples.first()?.subject;
        let mut text = format!("at {} of {}:", tick.observed_at_unix_nanos, tick.online_cpus);
        STATE.with_borrow(|state| {
            for sample in samples {
                let metric = state.metrics.get(usize::from(sample.metric)).map_or("?", String::as_str);
                // Writing to a string cannot fail.
                let _ = match &sample.reading {
                    Reading::Counter(counter) => match &counter.increase {
                        Some(by) => {
                            let (total, amount, over) = (counter.total, by.amount, by.over_nanoseconds);
                            write!(text, " {metric}={total} +{amount} in {over} is {}", by.per_second)
                        }
                        None => write!(text, " {metric}={}", counter.total),
                    },
                    Reading::Value(value) => write!(text, " {metric}={value}"),
                    Reading::Unlimited => write!(text, " {metric}=unlimited"),
                };
            }
            let name = state.subjects.get(&subject).cloned().unwrap_or_default();
            Some(Self { subject, name, text })
        })
    }
}

fn handle(events: Vec<About>) -> Result<Entries, String> {
    let (evil, size) = STATE.with_borrow_mut(|state| {
        state.calls += 1;
        let struck = state.only.as_ref().is_none_or(|only| events.iter().any(|about| about.name == *only));
        (if struck { state.evil.clone() } else { String::new() }, state.size)
    });
    match evil::handle(&evil, size, events.len()) {
        Some(answer) => answer,
        None => Ok(Entries::Plain(events.into_iter().map(good).collect())),
    }
}

/// What a module without an evil answers.
fn good(About { subject, text, .. }: About) -> Entry {
    STATE.with_borrow_mut(|state| {
        state.events += 1;
        let text = if state.count { format!("{text} {}", state.events) } else { text };
        let channel = state.subjects.get(&subject).cloned();
        Entry::Message(Message { channel, key: Some(state.calls.to_string()), headers: Vec::new(), body: Payload::Text(text) })
    })
}

#[cfg(target_family = "wasm")]
bindings::export!(Hostile with_types_in bindings);
