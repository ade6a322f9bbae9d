//! The functions of version 0.1 of the package, which had no `state` and took pods and objects only. Types of its own it has where their structure was
//! another one; all others are today's: what crosses the border is compared by its structure, not by the name of its package.

mod types;

use sluicebox_contract::Handlers;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, Instance, InstancePre, Lift, Linker, Lower};

use super::{Answer, Exports, Guest, check};
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
use crate::bindings::sluicebox::module::log::Level;
use crate::bindings::sluicebox::module::types::Entries;
use crate::imports::Host;
use crate::load_error::Refusal;
use crate::package::Package;
use crate::shaper::Context;

/// Where they are.
pub(super) struct Before {
    start: ComponentExportIndex,
    define: Option<ComponentExportIndex>,
    forget: Option<ComponentExportIndex>,
    pods: Option<ComponentExportIndex>,
    objects: Option<ComponentExportIndex>,
}

impl Before {
    pub(super) fn find(pre: &InstancePre<Host>, exported: impl Fn(&str) -> bool) -> Result<Self, Refusal> {
        const BEFORE: Package = Package::Before;
        let start = check::<(&str, types::Context<'_>), (Answer<()>,)>(pre, BEFORE, "lifecycle", "start")?;
        let define = || check::<(&[types::Subject<'_>],), ()>(pre, BEFORE, "subjects", "define");
        let forget = || check::<(&[u32],), ()>(pre, BEFORE, "subjects", "forget");
        let pods = || check::<(&[PodEvent<'_>],), (Answer<types::Entries>,)>(pre, BEFORE, "pod-handler", "handle");
        let objects =
            || check::<(&[types::ObjectEvent<'_>],), (Answer<types::Entries>,)>(pre, BEFORE, "object-handler", "handle");
        Ok(Self {
            start,
            define: exported("subjects").then(define).transpose()?,
            forget: exported("subjects").then(forget).transpose()?,
            pods: exported("pod-handler").then(pods).transpose()?,
            objects: exported("object-handler").then(objects).transpose()?,
        })
    }
}

impl Exports for Before {
    fn handlers(&self) -> Handlers {
        Handlers {
            subjects: self.define.is_some(),
            pods: self.pods.is_some(),
            objects: self.objects.is_some(),
            ..Handlers::default()
        }
    }

    fn has_state(&self) -> bool {
        false
    }

    fn load(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Box<dyn Guest>> {
        let mut function = |place: &ComponentExportIndex| {
            instance.get_func(&mut *store, place).ok_or_else(|| wasmtime::Error::msg("an exported function is missing"))
        };
        Ok(Box::new(Functions {
            start: function(&self.start)?,
            define: self.define.as_ref().map(&mut function).transpose()?,
            forget: self.forget.as_ref().map(&mut function).transpose()?,
            pods: self.pods.as_ref().map(&mut function).transpose()?,
            objects: self.objects.as_ref().map(&mut function).transpose()?,
        }))
    }
}

/// Those of an instance.
struct Functions {
    start: Func,
    define: Option<Func>,
    forget: Option<Func>,
    pods: Option<Func>,
    objects: Option<Func>,
}

impl Guest for Functions {
    fn start(&self, store: &mut Store<Host>, settings: &str, context: &Context) -> wasmtime::Result<Answer<()>> {
        let sources: Vec<&str> = context.sources.iter().map(String::as_str).collect();
        let context = types::Context { lane: &context.lane, node_name: &context.node_name, sources: &sources };
        let (answer,) = call(store, self.start, (settings, context))?;
        Ok(answer)
    }

    fn define(&self, store: &mut Store<Host>, subjects: &[Subject<'_>]) -> wasmtime::Result<()> {
        let subjects: Vec<_> = subjects.iter().filter_map(types::Subject::of).collect();
        match self.define {
            Some(function) if !subjects.is_empty() => call(store, function, (subjects.as_slice(),)),
            _ => Ok(()),
        }
    }

    // May name subjects that it was never told of: nothing is about these anyway.
    fn forget(&self, store: &mut Store<Host>, subjects: &[u32]) -> wasmtime::Result<()> {
        self.forget.map_or(Ok(()), |function| call(store, function, (subjects,)))
    }

    fn pods(&self, store: &mut Store<Host>, events: &[PodEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        self.pods.map(|function| shape(store, function, (events,))).transpose()
    }

    fn objects(&self, store: &mut Store<Host>, events: &[ObjectEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        let Some(function) = self.objects else { return Ok(None) };
        let known: Vec<_> = events.iter().filter_map(types::ObjectEvent::of).collect();
        if known.is_empty() {
            return Ok(Some(Ok(Entries::Plain(Vec::new()))));
        }
        shape(store, function, (known.as_slice(),)).map(Some)
    }

    fn metrics(&self, _: &mut Store<Host>, _: &[Metric<'_>]) -> wasmtime::Result<()> {
        Ok(())
    }

    fn samples(&self, _: &mut Store<Host>, _: Tick<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn services(&self, _: &mut Store<Host>, _: &[ServiceEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn nodes(&self, _: &mut Store<Host>, _: &[NodeEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn connections(&self, _: &mut Store<Host>, _: ConnectionReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn inventory(&self, _: &mut Store<Host>, _: Inventory<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn series(&self, _: &mut Store<Host>, _: SeriesReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>> {
        Ok(None)
    }

    fn save(&self, _: &mut Store<Host>) -> wasmtime::Result<Option<Answer<Saved>>> {
        Ok(None)
    }

    fn restore(&self, _: &mut Store<Host>, _: &Saved) -> wasmtime::Result<Option<Answer<()>>> {
        Ok(None)
    }
}

/// Calls a handler.
fn shape<Params>(store: &mut Store<Host>, function: Func, parameters: Params) -> wasmtime::Result<Answer<Entries>>
where
    Params: ComponentNamedList + Lower,
{
    let (answer,): (Answer<types::Entries>,) = call(store, function, parameters)?;
    Ok(answer.map(Entries::from))
}

/// Compares the types at each call: a function whose types are known cannot be kept, because the types of its parameters borrow from
/// the events of one call.
fn call<Params, Return>(store: &mut Store<Host>, function: Func, parameters: Params) -> wasmtime::Result<Return>
where
    Params: ComponentNamedList + Lower,
    Return: ComponentNamedList + Lift,
{
    function.typed::<Params, Return>(&*store)?.call(store, parameters)
}

/// Grants what is granted under the names of this version, too.
pub(crate) fn grant(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.instance(&Package::Before.interface("types"))?;
    let mut log = linker.instance(&Package::Before.interface("log"))?;
    log.func_wrap("line", |store, (level, text): (Level, String)| {
        store.data().log().line(level, &text);
        Ok(())
    })
}
