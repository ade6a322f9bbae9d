//! What a module implements: how it starts, and one trait for each handler.

use serde::de::DeserializeOwned;

use crate::{
    ConnectionReport, Context, Entries, Inventory, Metric, NodeEvent, ObjectEvent, Payload, PodEvent, SeriesReport, ServiceEvent,
    Subject, SubjectId, Tick,
};

/// A module: how it starts.
pub trait Module: Sized + 'static {
    /// What the operator can set; [`NoSettings`](crate::NoSettings) for nothing. `#[serde(deny_unknown_fields)]` on it catches what is misspelt.
    type Settings: DeserializeOwned;

    /// Called once in each instance, before anything else. An error is what the operator reads.
    fn start(settings: Self::Settings, context: &Context) -> Result<Self, String>;
}

/// A module that is given pods with typed fields.
pub trait Pods: Module {
    /// Shapes a batch, which is never empty.
    fn pods(&mut self, events: Vec<PodEvent>) -> Result<Entries, String>;
}

/// A module that is given services with typed fields.
pub trait Services: Module {
    /// Shapes a batch, which is never empty.
    fn services(&mut self, events: Vec<ServiceEvent>) -> Result<Entries, String>;
}

/// A module that is given nodes with typed fields.
pub trait Nodes: Module {
    /// Shapes a batch, which is never empty.
    fn nodes(&mut self, events: Vec<NodeEvent>) -> Result<Entries, String>;
}

/// A module that is told who talks to whom.
pub trait Connections: Module {
    /// Shapes what a tracer reported at one time, or a part of it; there may be no connections in it.
    fn connections(&mut self, report: ConnectionReport) -> Result<Entries, String>;
}

/// A module that is given inventories of this node: all that runs on it at one time.
pub trait Inventories: Module {
    /// Shapes an inventory, or a part of it.
    fn inventory(&mut self, inventory: Inventory) -> Result<Entries, String>;
}

/// A module that is given time series, as queries to a Prometheus found them or as they were scraped.
pub trait Series: Module {
    /// Shapes what one query found at one time, or a part of it; there may be no samples in it.
    fn series(&mut self, report: SeriesReport) -> Result<Entries, String>;
}

/// A module that is given Kubernetes objects as the API's own JSON.
pub trait Objects: Module {
    /// Shapes a batch, which is never empty.
    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String>;
}

/// A module that is given samples of what pods, containers and other cgroups use.
pub trait Samples: Module {
    /// These are the metrics that there are; [`ByMetric`](crate::ByMetric) keeps what a module needs of them. Called once in each instance,
    /// after `start` and before the first tick. Later hosts have more: those that a module does not know it passes over, or shows as they are.
    fn metrics(&mut self, metrics: Vec<Metric>);

    /// Shapes a tick: what was read at one time of some subjects, most often of all; of none when nothing was there to be measured. That
    /// a subject is missing means nothing: only [`Subjects::forget`] says that it has gone.
    fn samples(&mut self, tick: Tick) -> Result<Entries, String>;
}

/// A module that is told what events are about, so that it renders names once and not with every event.
pub trait Subjects: Module {
    /// These exist from now on.
    fn define(&mut self, subjects: Vec<Subject>);

    /// No later event names these.
    fn forget(&mut self, subjects: &[SubjectId]);
}

/// A module that takes what it remembers from one instance to the next, where the host changes the instance on purpose. Not after a
/// panic or a call that took too long: then there is nothing to ask.
pub trait State: Module {
    /// Numbers the form of what [`save`](State::save) gives. Raise it when older versions of the module could not read it.
    const VERSION: u32;

    /// What the next instance is to know: asked of the old instance, and of a new version while it is tried out. The old instance may go
    /// on after it, so nothing changes by it.
    fn save(&self) -> Result<Payload, String>;

    /// Takes over what an instance of this version of the module or of another one has saved: after `start` and all subjects, before
    /// the first event. A `version` that is not known is an error.
    fn restore(&mut self, version: u32, data: Payload) -> Result<(), String>;
}
