//! Runs the modules' case files through a shaper: the same files that the modules' own tests run natively.
//!
//! The files are read by the SDK, which knows their format; here their plain JSON becomes what the host hands to a lane. A
//! difference between the two ways is a mistake at the border.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sluicebox_contract::{Entry, Event, Fault, Shaper, Subject, SubjectId};
use sluicebox_sdk::cases as files;
pub use sluicebox_sdk::cases::{Case, load};

/// What a case tells the module about its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Context {
    /// The name of the lane.
    pub lane: String,
    /// The node on which the host runs.
    pub node_name: String,
    /// The sources that the lane is fed from.
    pub sources: Vec<String>,
}

/// Why a case does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// What the case tells the module about its place.
pub fn context(case: &Case) -> Result<Context, Mismatch> {
    typed(&case.context)
}

/// Runs a case. The shaper was made with the case's settings and context, and was not started yet.
pub fn run(case: &Case, shaper: &mut impl Shaper) -> Result<(), Mismatch> {
    match (shaper.renew(), &case.start_error) {
        (Ok(()), None) => {}
        (Err(fault), Some(part)) => return contains(&fault, part, "refused to start"),
        (Err(fault), None) => return Err(Mismatch(format!("did not start: {fault}"))),
        (Ok(()), Some(part)) => {
            return Err(Mismatch(format!("started, and should have refused with `{part}`")));
        }
    }
    for (index, step) in case.steps.iter().enumerate() {
        take(step, shaper).map_err(|mismatch| Mismatch(format!("step {}: {mismatch}", index + 1)))?;
    }
    Ok(())
}

fn take(step: &files::Step, shaper: &mut impl Shaper) -> Result<(), Mismatch> {
    match step {
        files::Step::Define(subjects) => define(subjects, shaper),
        files::Step::Forget(ids) => {
            let ids: Vec<_> = ids.iter().copied().map(SubjectId).collect();
            if shaper.handlers().subjects { shaper.forget(&ids).map_err(|fault| unexpected(&fault)) } else { Ok(()) }
        }
        files::Step::Restart(subjects) => {
            shaper.renew().map_err(|fault| unexpected(&fault))?;
            define(subjects, shaper)
        }
        files::Step::Swap(subjects) => {
            let saved = shaper.save().map_err(|fault| unexpected(&fault))?;
            shaper.renew().map_err(|fault| unexpected(&fault))?;
            define(subjects, shaper)?;
            saved.map_or(Ok(()), |saved| shaper.restore(&saved).map_err(|fault| unexpected(&fault)))
        }
        files::Step::Batch { define: subjects, events, expect } => {
            define(subjects, shaper)?;
            let events = events.iter().map(event).collect::<Result<Vec<_>, _>>()?;
            let handlers = shaper.handlers();
            let is_wanted = |event: &Event| match event {
                Event::Pod(_) => handlers.pods,
                Event::Service(_) => handlers.services,
                Event::Node(_) => handlers.nodes,
                Event::Object(_) => handlers.objects,
                Event::Tick(_) => handlers.samples,
                Event::Connections(_) => handlers.connections,
                Event::Inventory(_) => handlers.inventory,
                Event::Series(_) => handlers.series,
            };
            match events.first() {
                Some(event) if !is_wanted(event) => {
                    Err(Mismatch(format!("the module takes no event of the kind {}", event.kind())))
                }
                _ => compare(shaper.shape(&events), expect),
            }
        }
    }
}

fn define(subjects: &[Value], shaper: &mut impl Shaper) -> Result<(), Mismatch> {
    if subjects.is_empty() || !shaper.handlers().subjects {
        return Ok(());
    }
    let subjects = subjects.iter().map(typed).collect::<Result<Vec<Arc<Subject>>, _>>()?;
    shaper.define(&subjects).map_err(|fault| unexpected(&fault))
}

fn event(event: &files::Event) -> Result<Event, Mismatch> {
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

fn compare(made: Result<Vec<Entry>, Fault>, expect: &files::Expect) -> Result<(), Mismatch> {
    match (made, expect) {
        (Ok(made), files::Expect::Entries(expected)) => {
            let made = made.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
            let made = made.map_err(|error| Mismatch(format!("cannot write an entry as json: {error}")))?;
            files::difference(expected, &made).map_or(Ok(()), |difference| Err(Mismatch(difference)))
        }
        (Err(fault), files::Expect::Error(part)) => contains(&fault, part, "refused"),
        (Err(fault), files::Expect::Entries(_)) => Err(unexpected(&fault)),
        (Ok(_), files::Expect::Error(part)) => Err(Mismatch(format!("not refused, and should have been with `{part}`"))),
    }
}

fn contains(fault: &Fault, part: &str, what: &str) -> Result<(), Mismatch> {
    if fault.to_string().contains(part) { Ok(()) } else { Err(Mismatch(format!("{what}, but not with `{part}`: {fault}"))) }
}

fn unexpected(fault: &Fault) -> Mismatch {
    Mismatch(format!("refused: {fault}"))
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Mismatch> {
    T::deserialize(value).map_err(|error| Mismatch(format!("{error}, in {value}")))
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
