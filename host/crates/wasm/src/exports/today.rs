//! The functions as `wit/` says them today.

use sluicebox_contract::Handlers;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::{Answer, Exports, Guest, HOST_VERSION, check, differs};
use crate::bindings::exports::sluicebox::module::object_handler::ObjectEvent;
use crate::bindings::exports::sluicebox::module::pod_handler::PodEvent;
use crate::bindings::exports::sluicebox::module::sample_handler::{Metric, Tick};
use crate::bindings::exports::sluicebox::module::state::Saved;
use crate::bindings::exports::sluicebox::module::subjects::Subject;
use crate::bindings::exports::sluicebox::module::{lifecycle, object_handler, pod_handler, sample_handler, state, subjects};
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
        })
    }
}

impl Exports for Today {
    fn handlers(&self) -> Handlers {
        Handlers {
            subjects: self.subjects.is_some(),
            pods: self.pods.is_some(),
            objects: self.objects.is_some(),
            samples: self.samples.is_some(),
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
