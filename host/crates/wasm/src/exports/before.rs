//! The functions of version 0.1 of the package, which had no `state` and whose `context` had no host version. All other types are
//! today's: what crosses the border is compared by its structure, not by the name of its package.

use sluicebox_contract::Handlers;
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, ComponentType, Func, Instance, InstancePre, Lift, Linker, Lower,
};

use super::{Answer, Exports, Guest, check};
use crate::bindings::exports::sluicebox::module::object_handler::ObjectEvent;
use crate::bindings::exports::sluicebox::module::pod_handler::PodEvent;
use crate::bindings::exports::sluicebox::module::state::Saved;
use crate::bindings::exports::sluicebox::module::subjects::Subject;
use crate::bindings::sluicebox::module::log::Level;
use crate::bindings::sluicebox::module::types::Entries;
use crate::imports::Host;
use crate::load_error::Refusal;
use crate::package::Package;
use crate::shaper::Context;

/// `lifecycle.context` as it was.
#[derive(ComponentType, Lower)]
#[component(record)]
struct ContextBefore<'a> {
    lane: &'a str,
    #[component(name = "node-name")]
    node_name: &'a str,
    sources: &'a [&'a str],
}

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
        let start = check::<(&str, ContextBefore<'_>), (Answer<()>,)>(pre, BEFORE, "lifecycle", "start")?;
        let define = || check::<(&[Subject<'_>],), ()>(pre, BEFORE, "subjects", "define");
        let forget = || check::<(&[u32],), ()>(pre, BEFORE, "subjects", "forget");
        let pods = || check::<(&[PodEvent<'_>],), (Answer<Entries>,)>(pre, BEFORE, "pod-handler", "handle");
        let objects = || check::<(&[ObjectEvent<'_>],), (Answer<Entries>,)>(pre, BEFORE, "object-handler", "handle");
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
        Handlers { subjects: self.define.is_some(), pods: self.pods.is_some(), objects: self.objects.is_some() }
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
        let context = ContextBefore { lane: &context.lane, node_name: &context.node_name, sources: &sources };
        let (answer,) = call(store, self.start, (settings, context))?;
        Ok(answer)
    }

    fn define(&self, store: &mut Store<Host>, subjects: &[Subject<'_>]) -> wasmtime::Result<()> {
        self.define.map_or(Ok(()), |function| call(store, function, (subjects,)))
    }

    fn forget(&self, store: &mut Store<Host>, subjects: &[u32]) -> wasmtime::Result<()> {
        self.forget.map_or(Ok(()), |function| call(store, function, (subjects,)))
    }

    fn pods(&self, store: &mut Store<Host>, events: &[PodEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        let answer: Option<(_,)> = self.pods.map(|function| call(store, function, (events,))).transpose()?;
        Ok(answer.map(|(answer,)| answer))
    }

    fn objects(&self, store: &mut Store<Host>, events: &[ObjectEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>> {
        let answer: Option<(_,)> = self.objects.map(|function| call(store, function, (events,))).transpose()?;
        Ok(answer.map(|(answer,)| answer))
    }

    fn save(&self, _: &mut Store<Host>) -> wasmtime::Result<Option<Answer<Saved>>> {
        Ok(None)
    }

    fn restore(&self, _: &mut Store<Host>, _: &Saved) -> wasmtime::Result<Option<Answer<()>>> {
        Ok(None)
    }
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
