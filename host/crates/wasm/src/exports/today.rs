//! The functions as `wit/` says them today.

use sluicebox_contract::Handlers;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::{Answer, Exports, Guest, HOST_VERSION, check, differs};
use crate::bindings::exports::sluicebox::module::connection_handler::ConnectionReport;
use crate::bindings::exports::sluicebox::module::inventory_handler::Inventory;
use crate::bindings::exports::sluicebox::module::node_handler::NodeEvent;
use crate::bindings::exports::sluicebox::module::object_handler::ObjectEvent;
use crate::bindings::exports::sluicebox::module::pod_handler::PodEvent;
use crate::bindings::exports::sluicebox::module::sample_handler::{Metric, Tick};
use crate::bindings::exports::sluicebox::module::series_handler::SeriesReport;
use crate::bindings::exports::sluicebox::module::service_handler::ServiceEvent;
use crate::bindings::exports::sluicebox::module::state::Saved;
use crate::bindings::exports::sluicebox::module::subjects::Subject;
use crate::bindings::exports::sluicebox::module::{
    connection_handler, inventory_handler, lifecycle, node_handler, object_handler, pod_handler, sample_handler, series_handler,
    service_handler, state, subjects,
};
use crate::bindings::sluicebox::module::types::Entries;
use crate::imports::Host;
use crate::load_error::Refusal;
use crate::package::Package;
use crate::shaper::Context;

/// Where they are.
pub(super) struct Today {
    lifecycle: lifecycle::GuestIndices,
    subjects: Option<subjects::GuestIndices>,
    state: Option<state::GuestIndices>,
    pods: Option<pod_handler::GuestIndices>,
    objects: Option<object_handler::GuestIndices>,
    samples: Option<sample_handler::GuestIndices>,
    services: Option<service_handler::GuestIndices>,
    nodes: Option<node_handler::GuestIndices>,
    connections: Option<connection_handler::GuestIndices>,
    inventory: Option<inventory_handler::GuestIndices>,
    series: Option<series_handler::GuestIndices>,
}

impl Today {
    pub(super) fn find(pre: &InstancePre<Host>, exported: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        Ok(Self {
            lifecycle: lifecycle(pre)?,
            subjects: exported("subjects").then(|| subjects(pre)).transpose()?,
            state: exported("state").then(|| state(pre)).transpose()?,
            pods: exported("pod-handler").then(|| pods(pre)).transpose()?,
            objects: exported("object-handler").then(|| objects(pre)).transpose()?,
            samples: exported("sample-handler").then(|| samples(pre)).transpose()?,
            services: exported("service-handler").then(|| services(pre)).transpose()?,
            nodes: exported("node-handler").then(|| nodes(pre)).transpose()?,
            connections: exported("connection-handler").then(|| connections(pre)).transpose()?,
            inventory: exported("inventory-handler").then(|| inventory(pre)).transpose()?,
            series: exported("series-handler").then(|| series(pre)).transpose()?,
        })
    }
}

impl Exports for Today {
    fn handlers(&self) -> Handlers {
        Handlers {
            subjects: self.subjects.is_some(),
            pods: self.pods.is_some(),
            services: self.services.is_some(),
            nodes: self.nodes.is_some(),
            objects: self.objects.is_some(),
            samples: self.samples.is_some(),
            connections: self.connections.is_some(),
            inventory: self.inventory.is_some(),
            series: self.series.is_some(),
        }
    }

    fn has_state(&self) -> bool {
        self.state.is_some()
    }

    fn load(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Box<dyn Guest>> {
        Ok(Box::new(Functions {
            lifecycle: self.lifecycle.load(&mut *store, instance)?,
            subjects: self.subjects.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            state: self.state.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            pods: self.pods.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            objects: self.objects.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            samples: self.samples.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            services: self.services.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            nodes: self.nodes.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            connections: self.connections.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            inventory: self.inventory.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            series: self.series.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
        }))
    }
}

/// Those of an instance.
struct Functions {
    lifecycle: lifecycle::Guest,
    subjects: Option<subjects::Guest>,
    state: Option<state::Guest>,
    pods: Option<pod_handler::Guest>,
    objects: Option<object_handler::Guest>,
    samples: Option<sample_handler::Guest>,
    services: Option<service_handler::Guest>,
    nodes: Option<node_handler::Guest>,
    connections: Option<connection_handler::Guest>,
    inventory: Option<inventory_handler::Guest>,
    series: Option<series_handler::Guest>,
}

impl Guest for Functions {
    fn start(&self, store: &mut Store<Host>, settings: &str, context: &Context) -> wasmtime::Result<Answer<()>> {
        let sources: Vec<&str> = context.sources.iter().map(String::as_str).collect();
        let context = lifecycle::Context {
            lane: &context.lane,
            node_name: &context.node_name,
            sources: &sources,
            host_version: HOST_VERSION,
        };
        self.lifecycle.call_start(store, settings, context)
    }

    fn define(&self, store: &mut Store<Host>, subjects: &[Subject<'_>]) -> wasmtime::Result<()> {
        self.subjects.as_ref().map_or(Ok(()), |guest| guest.call_define(store, subjects))
    }

    fn forget(&self, store: &mut Store<Host>, subjects: &[u32]) -> wasmtime::Result<()> {
        self.subjects.as_ref().map_or(Ok(()), |guest| guest.call_forget(store, subjects))
    }

    fn pods(&self, store: &mut Store<Host>, events: &[PodEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.pods.as_ref().map(|guest| guest.call_handle(store, events)).transpose()
    }

    fn objects(&self, store: &mut Store<Host>, events: &[ObjectEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.objects.as_ref().map(|guest| guest.call_handle(store, events)).transpose()
    }

    fn metrics(&self, store: &mut Store<Host>, metrics: &[Metric<'_>]) -> wasmtime::Result<()> {
        self.samples.as_ref().map_or(Ok(()), |guest| guest.call_metrics(store, metrics))
    }

    fn samples(&self, store: &mut Store<Host>, tick: Tick<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.samples.as_ref().map(|guest| guest.call_handle(store, tick)).transpose()
    }

    fn services(&self, store: &mut Store<Host>, events: &[ServiceEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.services.as_ref().map(|guest| guest.call_handle(store, events)).transpose()
    }

    fn nodes(&self, store: &mut Store<Host>, events: &[NodeEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.nodes.as_ref().map(|guest| guest.call_handle(store, events)).transpose()
    }

    fn connections(&self, store: &mut Store<Host>, report: ConnectionReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.connections.as_ref().map(|guest| guest.call_handle(store, report)).transpose()
    }

    fn inventory(&self, store: &mut Store<Host>, inventory: Inventory<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.inventory.as_ref().map(|guest| guest.call_handle(store, inventory)).transpose()
    }

    fn series(&self, store: &mut Store<Host>, report: SeriesReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.series.as_ref().map(|guest| guest.call_handle(store, report)).transpose()
    }

    fn save(&self, store: &mut Store<Host>) -> wasmtime::Result<Option<Answer<Saved>>> {
        self.state.as_ref().map(|guest| guest.call_save(store)).transpose()
    }

    fn restore(&self, store: &mut Store<Host>, saved: &Saved) -> wasmtime::Result<Option<Answer<()>>> {
        self.state.as_ref().map(|guest| guest.call_restore(store, saved)).transpose()
    }
}

fn lifecycle(pre: &InstancePre<Host>) -> Result<lifecycle::GuestIndices, Refusal> {
    check::<(&str, lifecycle::Context<'_>), (Answer<()>,)>(pre, Package::Today, "lifecycle", "start")?;
    lifecycle::GuestIndices::new(pre).map_err(|cause| differs("lifecycle", &cause))
}

fn subjects(pre: &InstancePre<Host>) -> Result<subjects::GuestIndices, Refusal> {
    check::<(&[Subject<'_>],), ()>(pre, Package::Today, "subjects", "define")?;
    check::<(&[u32],), ()>(pre, Package::Today, "subjects", "forget")?;
    subjects::GuestIndices::new(pre).map_err(|cause| differs("subjects", &cause))
}

fn state(pre: &InstancePre<Host>) -> Result<state::GuestIndices, Refusal> {
    check::<(), (Answer<Saved>,)>(pre, Package::Today, "state", "save")?;
    check::<(&Saved,), (Answer<()>,)>(pre, Package::Today, "state", "restore")?;
    state::GuestIndices::new(pre).map_err(|cause| differs("state", &cause))
}

fn pods(pre: &InstancePre<Host>) -> Result<pod_handler::GuestIndices, Refusal> {
    check::<(&[PodEvent<'_>],), (Answer<Entries>,)>(pre, Package::Today, "pod-handler", "handle")?;
    pod_handler::GuestIndices::new(pre).map_err(|cause| differs("pod-handler", &cause))
}

fn objects(pre: &InstancePre<Host>) -> Result<object_handler::GuestIndices, Refusal> {
    check::<(&[ObjectEvent<'_>],), (Answer<Entries>,)>(pre, Package::Today, "object-handler", "handle")?;
    object_handler::GuestIndices::new(pre).map_err(|cause| differs("object-handler", &cause))
}

fn samples(pre: &InstancePre<Host>) -> Result<sample_handler::GuestIndices, Refusal> {
    check::<(&[Metric<'_>],), ()>(pre, Package::Today, "sample-handler", "metrics")?;
    check::<(Tick<'_>,), (Answer<Entries>,)>(pre, Package::Today, "sample-handler", "handle")?;
    sample_handler::GuestIndices::new(pre).map_err(|cause| differs("sample-handler", &cause))
}

fn services(pre: &InstancePre<Host>) -> Result<service_handler::GuestIndices, Refusal> {
    check::<(&[ServiceEvent<'_>],), (Answer<Entries>,)>(pre, Package::Today, "service-handler", "handle")?;
    service_handler::GuestIndices::new(pre).map_err(|cause| differs("service-handler", &cause))
}

fn nodes(pre: &InstancePre<Host>) -> Result<node_handler::GuestIndices, Refusal> {
    check::<(&[NodeEvent<'_>],), (Answer<Entries>,)>(pre, Package::Today, "node-handler", "handle")?;
    node_handler::GuestIndices::new(pre).map_err(|cause| differs("node-handler", &cause))
}

fn connections(pre: &InstancePre<Host>) -> Result<connection_handler::GuestIndices, Refusal> {
    check::<(ConnectionReport<'_>,), (Answer<Entries>,)>(pre, Package::Today, "connection-handler", "handle")?;
    connection_handler::GuestIndices::new(pre).map_err(|cause| differs("connection-handler", &cause))
}

fn inventory(pre: &InstancePre<Host>) -> Result<inventory_handler::GuestIndices, Refusal> {
    check::<(Inventory<'_>,), (Answer<Entries>,)>(pre, Package::Today, "inventory-handler", "handle")?;
    inventory_handler::GuestIndices::new(pre).map_err(|cause| differs("inventory-handler", &cause))
}

fn series(pre: &InstancePre<Host>) -> Result<series_handler::GuestIndices, Refusal> {
    check::<(SeriesReport<'_>,), (Answer<Entries>,)>(pre, Package::Today, "series-handler", "handle")?;
    series_handler::GuestIndices::new(pre).map_err(|cause| differs("series-handler", &cause))
}
