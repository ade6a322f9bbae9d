//! Any event as one JSON line: what happened to what, when, and the object itself as the API sent it; of samples, what each subject uses;
//! of connections, who talks to whom; of inventories, what runs on the node; of
//! time series, each value.

mod connections;
mod inventory;
mod names;
mod samples;
mod series;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluicebox_sdk::{
    Change, ConnectionReport, Connections, Context, Entries, Inventories, Inventory, Metric, Module, ObjectEvent, ObjectKind,
    Objects, Packed, Rfc3339, Samples, Series, SeriesReport, Subject, SubjectId, Subjects, Tick,
};

/// The module.
pub struct JsonLines {
    settings: Settings,
    samples: samples::Lines,
    names: names::Names,
}

/// What the operator can set.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The channel or topic of the lines; left out, the sink's configuration decides.
    pub channel: Option<String>,
    /// How much each line tells.
    pub fields: Fields,
}

/// How much a line tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    /// Everything, the object included.
    #[default]
    Full,
    /// What a reader at a terminal wants to see: the phase in place of the object, and how fast counters grow in place of their totals.
    Compact,
}

impl Module for JsonLines {
    type Settings = Settings;

    fn start(settings: Settings, _: &Context) -> Result<Self, String> {
        let samples = samples::Lines::new(settings.fields);
        let names = names::Names::new(settings.fields);
        Ok(Self { settings, samples, names })
    }
}

impl JsonLines {
    fn packed(&self) -> Packed {
        self.settings.channel.as_ref().map_or_else(Packed::new, Packed::on)
    }
}

impl Objects for JsonLines {
    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let mut lines = self.packed();
        for event in &events {
            let line = Line::new(event, self.settings.fields)?;
            let text =
                serde_json::to_string(&line).map_err(|error| format!("cannot write a line about {}: {error}", event.name))?;
            lines.push(&event.uid, |lines| lines.push_str(&text));
        }
        Ok(lines.into())
    }
}

impl Samples for JsonLines {
    fn metrics(&mut self, metrics: Vec<Metric>) {
        self.samples.metrics(&metrics);
    }

    fn samples(&mut self, tick: Tick) -> Result<Entries, String> {
        let mut lines = self.packed();
        self.samples.write(&tick, &self.names, &mut lines)?;
        Ok(lines.into())
    }
}

impl Connections for JsonLines {
    fn connections(&mut self, report: ConnectionReport) -> Result<Entries, String> {
        let mut lines = self.packed();
        connections::write(&report, self.settings.fields, &self.names, &mut lines);
        Ok(lines.into())
    }
}

impl Inventories for JsonLines {
    fn inventory(&mut self, inventory: Inventory) -> Result<Entries, String> {
        let mut lines = self.packed();
        inventory::write(&inventory, self.settings.fields, &mut lines);
        Ok(lines.into())
    }
}

impl Series for JsonLines {
    fn series(&mut self, report: SeriesReport) -> Result<Entries, String> {
        let mut lines = self.packed();
        series::write(&report, self.settings.fields, &self.names, &mut lines);
        Ok(lines.into())
    }
}

impl Subjects for JsonLines {
    fn define(&mut self, subjects: Vec<Subject>) {
        self.names.define(&subjects);
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        self.names.forget(subjects);
    }
}

sluicebox_sdk::export!(JsonLines: objects, samples, connections, inventory, series, subjects);

#[derive(Serialize)]
struct Line<'event> {
    time: String,
    kind: &'static str,
    change: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'event str,
    name: &'event str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'event str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'event RawValue>,
}

impl<'event> Line<'event> {
    fn new(event: &'event ObjectEvent, fields: Fields) -> Result<Self, String> {
        let json = event.json.as_deref();
        let unreadable = |error| format!("cannot read {} {}: {error}", kind(event.kind), event.name);
        let (uid, phase, object) = match fields {
            Fields::Full => (Some(event.uid.as_str()), None, json.map(serde_json::from_str).transpose().map_err(unreadable)?),
            Fields::Compact => (None, json.map(phase).transpose().map_err(unreadable)?.flatten(), None),
        };
        Ok(Self {
            time: Rfc3339(event.observed_at_unix_nanos).to_string(),
            kind: kind(event.kind),
            change: change(event.change),
            namespace: &event.namespace,
            name: &event.name,
            uid,
            phase,
            object,
        })
    }
}

fn phase(json: &str) -> serde_json::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        status: Status,
    }
    #[derive(Default, Deserialize)]
    struct Status {
        phase: Option<String>,
    }
    serde_json::from_str::<Object>(json).map(|object| object.status.phase)
}

fn kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Pod => "pod",
        ObjectKind::Namespace => "namespace",
        ObjectKind::Node => "node",
        ObjectKind::Service => "service",
    }
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Listed => "listed",
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    }
}
