//! Runs case files through a shaper: the same files that a module's own tests run natively.
//!
//! The files are read by the SDK, which knows their format; here their plain JSON becomes what the host hands to a lane. A
//! difference between the two ways is a mistake at the border.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sluicebox_contract::{Class, Entry, Event, Fault, Handlers, Shaper, Subject, SubjectId};
use sluicebox_sdk::cases as files;
pub use sluicebox_sdk::cases::{Case, Expect, load, read};
use sluicebox_wasm::Context;

/// A case in the host's own types.
#[derive(Debug)]
pub struct Script {
    /// What the module is told about its place.
    pub context: Context,
    /// JSON: what the module is started with.
    pub settings: String,
    /// The module must refuse to start, and the text must contain this.
    pub start_error: Option<String>,
    /// What happens once it has started, as many steps as the file has.
    pub steps: Vec<Step>,
}

/// One step of a case.
#[derive(Debug)]
pub enum Step {
    /// These subjects are defined.
    Define(Vec<Arc<Subject>>),
    /// These subjects are forgotten.
    Forget(Vec<SubjectId>),
    /// A fresh instance takes over and is told of these subjects.
    Restart(Vec<Arc<Subject>>),
    /// As `Restart`, and the fresh instance is given what the old one saves.
    Swap(Vec<Arc<Subject>>),
    /// A batch is handed over.
    Batch {
        /// Subjects that are defined before.
        define: Vec<Arc<Subject>>,
        /// The events, all of one kind.
        events: Vec<Event>,
        /// What must come of them.
        expect: Expect,
    },
}

/// What a case does not say, or says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Which step, counted from 0; none is the start.
    pub step: Option<usize>,
    /// What the case says.
    pub wanted: Wanted,
    /// What happened.
    pub made: Made,
}

/// What a case says that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What is no batch just succeeds.
    Success,
    /// It is refused with a text that contains this.
    Refusal(String),
    /// These entries come.
    Entries(Vec<Value>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It succeeded, and there is nothing to show.
    Success,
    /// These entries came.
    Entries(Vec<Value>),
    /// The module refused, in its own words.
    Refusal {
        /// The module's words.
        words: String,
        /// The fault as an operator reads it.
        fault: String,
    },
    /// The module did not survive it, or does not take it: what no case can ask for.
    Failure(String),
}

/// The case in the host's types; the error says which part of it cannot be read.
pub fn script(case: &Case) -> Result<Script, String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Place {
        lane: String,
        node_name: String,
        sources: Vec<String>,
    }
    let Place { lane, node_name, sources } = typed(&case.context)?;
    let step = |(index, step)| self::step(step).map_err(|error| format!("step {}: {error}", index + 1));
    Ok(Script {
        context: Context { lane, node_name, sources },
        settings: case.settings.to_string(),
        start_error: case.start_error.clone(),
        steps: case.steps.iter().enumerate().map(step).collect::<Result<_, _>>()?,
    })
}

fn step(step: &files::Step) -> Result<Step, String> {
    Ok(match step {
        files::Step::Define(subjects) => Step::Define(all(subjects)?),
        files::Step::Forget(ids) => Step::Forget(ids.iter().copied().map(SubjectId).collect()),
        files::Step::Restart(subjects) => Step::Restart(all(subjects)?),
        files::Step::Swap(subjects) => Step::Swap(all(subjects)?),
        files::Step::Batch { define, events, expect } => Step::Batch {
            define: all(define)?,
            events: events.iter().map(event).collect::<Result<_, _>>()?,
            expect: expect.clone(),
        },
    })
}

fn event(event: &files::Event) -> Result<Event, String> {
    Ok(match event {
        files::Event::Pod(event) => Event::Pod(typed(event)?),
        files::Event::Object(event) => Event::Object(typed(event)?),
        files::Event::Service(event) => Event::Service(typed(event)?),
        files::Event::Node(event) => Event::Node(typed(event)?),
        files::Event::Tick(tick) => Event::Tick(typed(tick)?),
        files::Event::Connections(report) => Event::Connections(typed(report)?),
        files::Event::Inventory(inventory) => Event::Inventory(typed(inventory)?),
        files::Event::Series(report) => Event::Series(typed(report)?),
    })
}

fn all<T: DeserializeOwned>(values: &[Value]) -> Result<Vec<T>, String> {
    values.iter().map(typed).collect()
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("{error}, in {value}"))
}

/// Runs a case to its end, or to the step that the module does not survive. The shaper was made with the case's settings and context,
/// and was not started yet. Nothing is returned when everything is as the case says.
pub fn run(script: &Script, shaper: &mut impl Shaper) -> Vec<Mismatch> {
    let started = match shaper.renew() {
        Ok(()) => Made::Success,
        Err(fault) => made(&fault),
    };
    let wanted = script.start_error.clone().map_or(Wanted::Success, Wanted::Refusal);
    if !holds(&wanted, &started) {
        return vec![Mismatch { step: None, wanted, made: started }];
    }
    let mut mismatches = Vec::new();
    for (index, step) in script.steps.iter().enumerate() {
        let wanted = match step {
            Step::Batch { expect: Expect::Entries(entries), .. } => Wanted::Entries(entries.clone()),
            Step::Batch { expect: Expect::Error(part), .. } => Wanted::Refusal(part.clone()),
            _ => Wanted::Success,
        };
        let made = take(step, shaper);
        if !holds(&wanted, &made) {
            let is_over = matches!(made, Made::Failure(_));
            mismatches.push(Mismatch { step: Some(index), wanted, made });
            if is_over {
                break;
            }
        }
    }
    mismatches
}

fn holds(wanted: &Wanted, made: &Made) -> bool {
    match (wanted, made) {
        (Wanted::Success, Made::Success) => true,
        (Wanted::Entries(wanted), Made::Entries(made)) => wanted == made,
        (Wanted::Refusal(part), Made::Refusal { fault, .. }) => fault.contains(part.as_str()),
        _ => false,
    }
}

/// A module refuses a batch as `Skip`, and to start as `Retry`; every other class is the end of the instance.
fn made(fault: &Fault) -> Made {
    match fault.class {
        Class::Skip | Class::Retry => Made::Refusal { words: fault.cause.clone(), fault: fault.to_string() },
        Class::Replace | Class::Fatal => Made::Failure(fault.to_string()),
    }
}

/// Does one step, whatever it expects.
pub(super) fn take(step: &Step, shaper: &mut impl Shaper) -> Made {
    let done = match step {
        Step::Define(subjects) => define(subjects, shaper),
        Step::Forget(ids) if shaper.handlers().subjects => shaper.forget(ids),
        Step::Forget(_) => Ok(()),
        Step::Restart(subjects) => shaper.renew().and_then(|()| define(subjects, shaper)),
        Step::Swap(subjects) => swap(subjects, shaper),
        Step::Batch { define: subjects, events, .. } => match define(subjects, shaper) {
            Ok(()) => return shape(events, shaper),
            Err(fault) => Err(fault),
        },
    };
    match done {
        Ok(()) => Made::Success,
        Err(fault) => Made::Failure(fault.to_string()),
    }
}

fn define(subjects: &[Arc<Subject>], shaper: &mut impl Shaper) -> Result<(), Fault> {
    if subjects.is_empty() || !shaper.handlers().subjects {
        return Ok(());
    }
    shaper.define(subjects)
}

fn swap(subjects: &[Arc<Subject>], shaper: &mut impl Shaper) -> Result<(), Fault> {
    let saved = shaper.save()?;
    shaper.renew()?;
    define(subjects, shaper)?;
    saved.map_or(Ok(()), |saved| shaper.restore(&saved))
}

fn shape(events: &[Event], shaper: &mut impl Shaper) -> Made {
    if let Some(event) = events.first().filter(|event| !is_taken(event, shaper.handlers())) {
        return Made::Failure(format!("the module takes no event of the kind {}", event.kind()));
    }
    match shaper.shape(events) {
        Ok(entries) => match entries.iter().map(json).collect::<Result<_, _>>() {
            Ok(entries) => Made::Entries(entries),
            Err(error) => Made::Failure(format!("cannot write an entry as JSON: {error}")),
        },
        Err(fault) => made(&fault),
    }
}

fn json(entry: &Entry) -> serde_json::Result<Value> {
    serde_json::to_value(entry)
}

/// Whether a module with these handlers takes events of this kind.
pub fn is_taken(event: &Event, handlers: Handlers) -> bool {
    match event {
        Event::Pod(_) => handlers.pods,
        Event::Service(_) => handlers.services,
        Event::Node(_) => handlers.nodes,
        Event::Object(_) => handlers.objects,
        Event::Tick(_) => handlers.samples,
        Event::Connections(_) => handlers.connections,
        Event::Inventory(_) => handlers.inventory,
        Event::Series(_) => handlers.series,
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Metric, MetricKind};
    use sluicebox_sdk as sdk;

    use super::*;

    #[test]
    fn the_metrics_of_the_cases_are_those_of_the_host() {
        let kind = |kind: sdk::MetricKind| match kind {
            sdk::MetricKind::Counter => MetricKind::Counter,
            sdk::MetricKind::Gauge => MetricKind::Gauge,
            sdk::MetricKind::Limit => MetricKind::Limit,
        };
        let cases = files::metrics().into_iter();
        let cases: Vec<_> = cases.map(|metric| (usize::from(metric.id), metric.name, kind(metric.kind), metric.unit)).collect();
        let host = Metric::all();
        let host = host.map(|metric| (metric.index(), metric.name().to_owned(), metric.kind(), metric.unit().name().to_owned()));
        assert_eq!(cases, host.collect::<Vec<_>>());
    }

    #[test]
    fn a_tick_and_a_subject_of_a_case_are_those_of_the_host() {
        let case = r#"{"about":"","steps":[
            {"define":[{"id":1,"kind":"container","uid":"c","namespace":"n","name":"app","attributes":{"qos-class":"Burstable"}}]},
            {"tick":{"online-cpus":4,"samples":[
                {"subject":1,"memory-limit":"unlimited","memory-usage":7,"cpu-usage":{"total":5,"increase":{"amount":2}}}]}}]}"#;
        let case = files::read("case", case).unwrap();
        let [files::Step::Define(subjects), files::Step::Batch { events, .. }] = case.steps.as_slice() else {
            unreachable!("two steps")
        };
        let subject: Subject = typed(&subjects[0]).unwrap();
        assert_eq!(subject.attributes, [("qos-class".to_owned(), "Burstable".to_owned())]);
        let Event::Tick(tick) = event(&events[0]).unwrap() else { unreachable!("a tick") };
        let reading = |metric, reading| sluicebox_contract::Sample { subject: SubjectId(1), metric, reading };
        let increase = Some(sluicebox_contract::Increase { amount: 2, over_nanos: 1_000_000_000 });
        let expected = [
            reading(Metric::CpuUsage, sluicebox_contract::Reading::Counter { total: 5, increase }),
            reading(Metric::MemoryUsage, sluicebox_contract::Reading::Value(7)),
            reading(Metric::MemoryLimit, sluicebox_contract::Reading::Unlimited),
        ];
        assert_eq!((tick.online_cpus, tick.samples.as_slice()), (4, expected.as_slice()));
    }
}
