//! The functions that a module exports, of whichever accepted version of the package: found when it is loaded, taken when it is
//! instantiated, called with one set of types.
//!
//! `today` stands on what wasmtime generates from `wit/`. `before` is the minor version before, looked up by hand; what differs
//! between the two stands there, and with the next minor version that file is written anew.

mod before;
mod today;

use sluicebox_contract::Handlers;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower};

pub(crate) use before::grant as grant_before;

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
use crate::bindings::sluicebox::module::types::Entries;
use crate::imports::Host;
use crate::load_error::Refusal;
use crate::package::Package;
use crate::shaper::Context;

/// What the host calls itself when a module starts: all crates of the program have one version.
const HOST_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the guest answers; the error is the text with which it refuses.
pub(crate) type Answer<T> = Result<T, String>;

/// Where the functions are in a component.
pub(crate) trait Exports: Send + Sync {
    fn handlers(&self) -> Handlers;

    fn has_state(&self) -> bool;

    /// Takes them from an instance.
    fn load(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Box<dyn Guest>>;
}

/// The functions of an instance. None where the module does not export one; an error of wasmtime where the call killed the instance.
pub(crate) trait Guest: Send {
    fn start(&self, store: &mut Store<Host>, settings: &str, context: &Context) -> wasmtime::Result<Answer<()>>;

    fn define(&self, store: &mut Store<Host>, subjects: &[Subject<'_>]) -> wasmtime::Result<()>;

    fn forget(&self, store: &mut Store<Host>, subjects: &[u32]) -> wasmtime::Result<()>;

    fn pods(&self, store: &mut Store<Host>, events: &[PodEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn objects(&self, store: &mut Store<Host>, events: &[ObjectEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>>;

    /// Nothing happens where the module wants no samples.
    fn metrics(&self, store: &mut Store<Host>, metrics: &[Metric<'_>]) -> wasmtime::Result<()>;

    fn samples(&self, store: &mut Store<Host>, tick: Tick<'_>) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn services(&self, store: &mut Store<Host>, events: &[ServiceEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn nodes(&self, store: &mut Store<Host>, events: &[NodeEvent<'_>]) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn connections(&self, store: &mut Store<Host>, report: ConnectionReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn inventory(&self, store: &mut Store<Host>, inventory: Inventory<'_>) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn series(&self, store: &mut Store<Host>, report: SeriesReport<'_>) -> wasmtime::Result<Option<Answer<Entries>>>;

    fn save(&self, store: &mut Store<Host>) -> wasmtime::Result<Option<Answer<Saved>>>;

    fn restore(&self, store: &mut Store<Host>, saved: &Saved) -> wasmtime::Result<Option<Answer<()>>>;
}

/// Finds the functions of the interfaces that are exported, and compares their types, so that a module with other ones is refused
/// now and not at its first event.
pub(crate) fn find(
    pre: &InstancePre<Host>,
    package: Package,
    exported: impl Fn(&str) -> bool,
) -> Result<Box<dyn Exports>, Refusal> {
    Ok(match package {
        Package::Today => Box::new(today::Today::find(pre, exported)?),
        Package::Before => Box::new(before::Before::find(pre, exported)?),
    })
}

/// Where a function is, if it takes and gives what our WIT says.
fn check<Params, Return>(
    pre: &InstancePre<Host>,
    package: Package,
    interface: &str,
    function: &str,
) -> Result<ComponentExportIndex, Refusal>
where
    Params: ComponentNamedList + Lower,
    Return: ComponentNamedList + Lift,
{
    let component = pre.component();
    let instance = component.get_export_index(None, package.interface(interface));
    match instance.and_then(|instance| component.get_export(Some(&instance), function)) {
        Some((ComponentItem::ComponentFunc(found), place)) => found
            .typecheck::<Params, Return>(&pre.instance_type())
            .map(|()| place)
            .map_err(|cause| differs(&format!("{interface}.{function}"), &cause)),
        _ => Err(Refusal::NotAModule { cause: format!("it exports {interface}, but without the function `{function}`") }),
    }
}

fn differs(what: &str, cause: &wasmtime::Error) -> Refusal {
    Refusal::NotAModule { cause: format!("what it exports as {what} differs from sluicebox:module: {cause:#}") }
}
