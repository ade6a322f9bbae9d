//! One module at work: what feeds it, what it writes to, what it may use.

use std::time::Duration;

use sluicebox_pipeline::{Bounds, WhenFull};
use sluicebox_sources::Scope;

use super::trust::Trusted;
use super::{Check, Component, LANE_QUEUE, list};
use crate::config::yaml::step;
use crate::config::{self, Limits, Module, Sources};
use crate::trust::Demands;

/// One module at work.
#[derive(Clone, Debug)]
pub struct LanePlan {
    /// The lane's name.
    pub name: String,
    /// The module.
    pub component: Component,
    /// What its component must have.
    pub demands: Demands,
    /// A JSON object.
    pub settings: String,
    /// The sources that feed it, by their names in the configuration.
    pub from: Vec<String>,
    /// Whether the user has named the sources: then each of them must be of use.
    pub from_is_explicit: bool,
    /// Whether it works on every collector, or for the cluster on one.
    pub scope: Scope,
    /// Names of sinks of this plan.
    pub to: Vec<String>,
    /// What the module may use.
    pub limits: Limits,
    /// Events for one call, at most.
    pub batch: usize,
    /// What may wait for it.
    pub bounds: Bounds,
    /// Whether its bytes are no share, but what the configuration says.
    pub has_own_bytes: bool,
}

impl Check<'_> {
    pub(super) fn lane(
        &mut self,
        name: &str,
        module: &Module,
        (configured, sources): (&Sources, &[String]),
        sinks: &[String],
        trusted: &Trusted,
    ) -> Option<LanePlan> {
        let path = step("/modules", name);
        self.name(&path, name);
        let component = self.component(&step(&path, "use"), &module.component);
        let mut from = self.from(&step(&path, "from"), module.from.as_deref(), sources);
        if module.scope == Scope::Cluster {
            self.of_the_cluster(&path, module.from.is_some(), &mut from, configured);
        }
        self.to(&step(&path, "to"), &module.to, sinks);
        let bounds = self.bounds(&step(&path, "queue"), module.queue, LANE_QUEUE);
        let when_full = match module.when_full {
            config::WhenFull::DropSamples => WhenFull::DropSamples,
            config::WhenFull::Wait => WhenFull::Wait,
            config::WhenFull::DropOldest => WhenFull::DropOldest,
        };
        self.limits(&step(&path, "limits"), &module.limits);
        if !(1..=4096).contains(&module.batch) {
            self.problem(&step(&path, "batch"), format!("{} is not between 1 and 4096", module.batch), "leave it out for 64");
        }
        let demands = self.demands(&path, module, component.as_ref(), trusted);
        let component = component?;
        Some(LanePlan {
            name: name.to_owned(),
            component,
            demands,
            settings: serde_json::Value::Object(module.settings.clone()).to_string(),
            from,
            from_is_explicit: module.from.is_some(),
            scope: module.scope,
            to: module.to.clone(),
            limits: module.limits.clone(),
            batch: module.batch,
            bounds: Bounds { when_full, ..bounds },
            has_own_bytes: module.queue.bytes.is_some(),
        })
    }

    fn from(&mut self, path: &str, from: Option<&[String]>, sources: &[String]) -> Vec<String> {
        let Some(from) = from else {
            return sources.to_vec();
        };
        if from.is_empty() {
            self.problem(path, "names no source", "leave `from` out to be fed from all sources");
        }
        let mut found = Vec::new();
        for (index, name) in from.iter().enumerate() {
            match sources.iter().find(|source| *source == name) {
                Some(source) if !found.contains(source) => found.push(source.clone()),
                Some(_) => {}
                None => self.problem(
                    &format!("{path}/{index}"),
                    format!("there is no source `{name}` in this configuration"),
                    format!("add `{name}: {{}}` under `sources`, or name one of those there: {}", list(sources)),
                ),
            }
        }
        found
    }

    fn to(&mut self, path: &str, to: &[String], sinks: &[String]) {
        if to.is_empty() {
            self.problem(path, "names no sink", "name at least one of those under `sinks`");
        }
        for (index, name) in to.iter().enumerate() {
            if !sinks.contains(name) {
                let hint = format!("add it under `sinks`, or name one of those there: {}", list(sinks));
                self.problem(&format!("{path}/{index}"), format!("there is no sink `{name}`"), hint);
            }
            if to.iter().take(index).any(|other| other == name) {
                self.problem(&format!("{path}/{index}"), format!("`{name}` stands here twice"), "keep one of them");
            }
        }
    }

    fn limits(&mut self, path: &str, limits: &Limits) {
        if limits.memory.0 < 1 << 20 {
            self.problem(
                &step(path, "memory"),
                format!("{} is too little for any module", limits.memory),
                "give at least `1MiB`",
            );
        }
        for (name, deadline) in [("deadline", limits.deadline), ("start-deadline", limits.start_deadline)] {
            if deadline.0 < Duration::from_millis(20) || deadline.0 > Duration::from_mins(5) {
                let hint = "deadlines are kept to about 10 ms: give `20ms` to `5m`";
                self.problem(&step(path, name), format!("{deadline} cannot be kept"), hint);
            }
        }
        if limits.cpu.millicores == 0 {
            self.problem(&step(path, "cpu"), "no processor at all", "give at least `1m`; `1` is a whole core");
        }
        if limits.recycle_after_calls == Some(0) {
            self.problem(&step(path, "recycle-after-calls"), "an instance that may not be called", "leave it out for never");
        }
        if let Some(mark) = limits.recycle_above_memory.filter(|mark| mark.0 > limits.memory.0) {
            let text = format!("{mark} is never reached: `memory` is {}", limits.memory);
            self.problem(&step(path, "recycle-above-memory"), text, "give less, or leave it out for three quarters");
        }
        if limits.entries == 0 || limits.output.0 == 0 || limits.component.0 == 0 {
            self.problem(path, "a limit of zero", "leave it out for the default");
        }
    }
}
