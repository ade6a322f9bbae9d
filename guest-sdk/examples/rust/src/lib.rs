//! Of one namespace, or of all: a JSON line when the phase of a pod changes, and one for what each container uses.
//!
//! The same module stands beside this one in other languages; `../cases` say what all of them do.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{
    Change, Context, Entries, Message, Metric, MetricId, Module, Packed, Phase, PodEvent, Pods, Sample, Samples, Subject,
    SubjectId, SubjectKind, Subjects, Tick,
};

/// A second.
const NANOS: u64 = 1_000_000_000;

/// The module.
pub struct NamespaceLines {
    settings: Settings,
    /// Who each subject is; none for those that no line is about.
    containers: HashMap<SubjectId, Option<Container>>,
    cpu_usage: Option<MetricId>,
    memory_usage: Option<MetricId>,
}

/// What the operator can set.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The channel or topic of the lines; left out, the sink's configuration decides.
    pub channel: Option<String>,
    /// Only what is in this namespace; left out, everything.
    pub namespace: Option<String>,
}

struct Container {
    uid: String,
    /// Who it is in its lines, rendered once.
    names: String,
}

impl Module for NamespaceLines {
    type Settings = Settings;

    fn start(settings: Settings, _: &Context) -> Result<Self, String> {
        if settings.namespace.as_deref() == Some("") {
            return Err("setting `namespace`: is empty: name a namespace, or leave the setting out".to_owned());
        }
        sluicebox_sdk::log::debug(format!("lines of {}", settings.namespace.as_deref().unwrap_or("all namespaces")));
        Ok(Self { settings, containers: HashMap::new(), cpu_usage: None, memory_usage: None })
    }
}

impl NamespaceLines {
    fn wants(&self, namespace: &str) -> bool {
        self.settings.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
    }
}

impl Pods for NamespaceLines {
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String> {
        let mut messages = Vec::new();
        for event in events {
            let told = event.previous.is_some_and(|previous| previous.phase == event.pod.phase);
            if !self.wants(&event.pod.namespace) || (told && event.change != Change::Deleted) {
                continue;
            }
            let line = PodLine {
                time: event.observed_at_unix_nanos / NANOS,
                change: change(event.change),
                namespace: &event.pod.namespace,
                pod: &event.pod.name,
                phase: event.pod.phase.map(phase),
                node: event.pod.node_name.as_deref(),
                images: event.pod.containers.iter().map(|container| container.image.as_str()).collect(),
                labels: event.pod.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect(),
            };
            let body = serde_json::to_string(&line).map_err(|error| format!("pod {}: {error}", event.pod.name))?;
            let message = Message::new(body).keyed(event.pod.uid);
            messages.push(match &self.settings.channel {
                Some(channel) => message.on(channel),
                None => message,
            });
        }
        Ok(messages.into_iter().collect())
    }
}

#[derive(Serialize)]
struct PodLine<'event> {
    time: u64,
    change: &'static str,
    namespace: &'event str,
    pod: &'event str,
    phase: Option<&'static str>,
    node: Option<&'event str>,
    images: Vec<&'event str>,
    labels: serde_json::Map<String, serde_json::Value>,
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Listed => "listed",
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Running => "running",
        Phase::Succeeded => "succeeded",
        Phase::Failed => "failed",
        Phase::Unknown => "unknown",
    }
}

impl Subjects for NamespaceLines {
    fn define(&mut self, subjects: Vec<Subject>) {
        for subject in subjects {
            let is_wanted = subject.kind == SubjectKind::Container && self.wants(&subject.namespace);
            let id = subject.id;
            let container = is_wanted.then(|| {
                let pod = subject.attribute("pod-name").unwrap_or_default();
                let text = |text: &str| serde_json::Value::from(text).to_string();
                let names = format!(
                    r#""namespace":{},"pod":{},"container":{}"#,
                    text(&subject.namespace),
                    text(pod),
                    text(&subject.name)
                );
                Container { uid: subject.uid, names }
            });
            self.containers.insert(id, container);
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.containers.remove(subject);
        }
    }
}

impl Samples for NamespaceLines {
    fn metrics(&mut self, metrics: Vec<Metric>) {
        let id = |name: &str| metrics.iter().find(|metric| metric.name == name).map(|metric| metric.id);
        self.cpu_usage = id("cpu-usage");
        self.memory_usage = id("memory-usage");
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        let mut lines = self.settings.channel.as_ref().map_or_else(Packed::new, Packed::on);
        for (subject, samples) in tick.by_subject() {
            let known = self.containers.get(&subject);
            let Some(container) = known.ok_or_else(|| format!("subject {subject} was never defined"))? else {
                continue;
            };
            let find = |metric| samples.iter().find(|sample| Some(sample.metric) == metric);
            let cpu = find(self.cpu_usage).and_then(Sample::increase);
            let memory = find(self.memory_usage).and_then(Sample::value);
            if cpu.is_none() && memory.is_none() {
                continue;
            }
            lines.push(&container.uid, |line| {
                // A text takes whatever is written into it.
                let _ = write!(line, r#"{{"time":{},{}"#, tick.observed_at_unix_nanos / NANOS, container.names);
                if let Some(increase) = cpu {
                    // Thousandths of a processor, rounded down.
                    let _ = write!(line, r#","cpu-millis":{}"#, increase.amount / (increase.over_nanoseconds / 1000).max(1));
                }
                if let Some(bytes) = memory {
                    let _ = write!(line, r#","memory-bytes":{bytes}"#);
                }
                line.push('}');
            });
        }
        Ok(lines.into())
    }
}

sluicebox_sdk::export!(NamespaceLines: pods, samples, subjects);
