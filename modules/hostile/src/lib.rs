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

use bindings::exports::sluicebox::module::lifecycle::{self, Context};
use bindings::exports::sluicebox::module::object_handler::{self, ObjectEvent};
use bindings::exports::sluicebox::module::pod_handler::{self, PodEvent};
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
            state.subjects.extend(subjects.into_iter().map(|subject| (subject.id, subject.name)));
        });
    }

    fn forget(subjects: Vec<u32>) {
        STATE.with_borrow_mut(|state| {
            evil::forget(&state.evil);
            for subject in subjects {
                state.subjects.remove(&subject);
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
            None => handle(events.into_iter().map(|event| (event.subject, event.pod.name)).collect()),
        }
    }
}

impl object_handler::Guest for Hostile {
    fn handle(events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let names = events.into_iter().map(|event| (event.subject, event.json.unwrap_or(event.name)));
        handle(names.collect())
    }
}

fn handle(events: Vec<(u32, String)>) -> Result<Entries, String> {
    let (evil, size) = STATE.with_borrow_mut(|state| {
        state.calls += 1;
        let struck = state.only.as_ref().is_none_or(|only| events.iter().any(|(_, name)| name == only));
        (if struck { state.evil.clone() } else { String::new() }, state.size)
    });
    match evil::handle(&evil, size, events.len()) {
        Some(answer) => answer,
        None => Ok(Entries::Plain(events.into_iter().map(good).collect())),
    }
}

/// What a module without an evil answers.
fn good((subject, name): (u32, String)) -> Entry {
    STATE.with_borrow_mut(|state| {
        state.events += 1;
        let name = if state.count { format!("{name} {}", state.events) } else { name };
        let channel = state.subjects.get(&subject).cloned();
        Entry::Message(Message { channel, key: Some(state.calls.to_string()), headers: Vec::new(), body: Payload::Text(name) })
    })
}

#[cfg(target_family = "wasm")]
bindings::export!(Hostile with_types_in bindings);
