//! What a component asks for and offers, judged by names and types before any of its code runs.

use sluicebox_contract::Handlers;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentNamedList, InstancePre, Lift, Lower};

use crate::bindings::exports::sluicebox::module::{lifecycle, object_handler, pod_handler, subjects};
use crate::bindings::sluicebox::module::types::Entries;
use crate::imports::Host;
use crate::load_error::Refusal;

/// The package that modules are made for.
const PACKAGE: &str = "sluicebox:module/";
/// Versions with this beginning are understood: in WIT as in Cargo, 0.1.2 adds to 0.1.1.
const MAJOR: &str = "0.1.";
pub(crate) const ACCEPTED: &str = "0.1.x";
pub(crate) const GRANTED: &str = "sluicebox:module/log@0.1.0";

/// Where the handlers are that a module exports.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) subjects: Option<subjects::GuestIndices>,
    pub(crate) pods: Option<pod_handler::GuestIndices>,
    pub(crate) objects: Option<object_handler::GuestIndices>,
}

impl Exports {
    pub(crate) fn handlers(&self) -> Handlers {
        Handlers { subjects: self.subjects.is_some(), pods: self.pods.is_some(), objects: self.objects.is_some() }
    }
}

/// Names of everything that the component imports.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Names of everything that the component exports.
pub(crate) fn exports(component: &Component) -> Vec<String> {
    component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Which version of our package it was made for; refused when that is another one.
pub(crate) fn version(imports: &[String], exports: &[String]) -> Result<Option<String>, Refusal> {
    let mut accepted = None;
    for (_, version) in imports.iter().chain(exports).filter_map(|name| ours(name)) {
        if !version.starts_with(MAJOR) {
            let found = if version.is_empty() { "without a version" } else { version };
            return Err(Refusal::OtherVersion { found: found.to_owned() });
        }
        accepted = Some(version.to_owned());
    }
    Ok(accepted)
}

/// Refuses everything that is not granted, all at once.
pub(crate) fn only_granted(component: &Component) -> Result<(), Refusal> {
    let kind = component.component_type();
    let wanted: Vec<String> = kind
        .imports(component.engine())
        .filter(|(name, item)| !granted(component, name, &item.ty))
        .map(|(name, _)| name.to_owned())
        .collect();
    if wanted.is_empty() { Ok(()) } else { Err(Refusal::NotGranted { wanted }) }
}

/// `log` is granted, and so are interfaces of our package of which only types are used.
fn granted(component: &Component, name: &str, item: &ComponentItem) -> bool {
    match (ours(name), item) {
        (Some(("log", _)), _) => true,
        (Some(_), ComponentItem::ComponentInstance(instance)) => {
            instance.exports(component.engine()).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

/// The interface and the version of a name of our package.
fn ours(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?;
    Some(interface.split_once('@').unwrap_or((interface, "")))
}

/// Finds the handlers and compares their types, so that a module with other ones is refused now and not at its first event.
pub(crate) fn handlers(pre: &InstancePre<Host>, exports: &[String]) -> Result<Exports, Refusal> {
    let exported = |interface: &str| exports.iter().any(|name| ours(name).is_some_and(|(found, _)| found == interface));
    if !exported("lifecycle") {
        let others =
            if exports.is_empty() { "it exports nothing".to_owned() } else { format!("it exports {}", exports.join(", ")) };
        return Err(Refusal::NotAModule {
            cause: format!("it is a component, but it does not export sluicebox:module/lifecycle; {others}"),
        });
    }
    check::<(&str, lifecycle::Context<'_>), (Result<(), String>,)>(pre, "lifecycle", "start")?;
    let found = Exports {
        lifecycle: lifecycle::GuestIndices::new(pre).map_err(|cause| differs("lifecycle", &cause))?,
        subjects: exported("subjects").then(|| subjects(pre)).transpose()?,
        pods: exported("pod-handler").then(|| pods(pre)).transpose()?,
        objects: exported("object-handler").then(|| objects(pre)).transpose()?,
    };
    if found.pods.is_none() && found.objects.is_none() {
        return Err(Refusal::NotAModule {
            cause: format!(
                "it exports no handler that this host knows (pod-handler, object-handler), only {}",
                exports.join(", ")
            ),
        });
    }
    Ok(found)
}

fn subjects(pre: &InstancePre<Host>) -> Result<subjects::GuestIndices, Refusal> {
    check::<(&[subjects::Subject<'_>],), ()>(pre, "subjects", "define")?;
    check::<(&[u32],), ()>(pre, "subjects", "forget")?;
    subjects::GuestIndices::new(pre).map_err(|cause| differs("subjects", &cause))
}

fn pods(pre: &InstancePre<Host>) -> Result<pod_handler::GuestIndices, Refusal> {
    check::<(&[pod_handler::PodEvent<'_>],), (Result<Entries, String>,)>(pre, "pod-handler", "handle")?;
    pod_handler::GuestIndices::new(pre).map_err(|cause| differs("pod-handler", &cause))
}

fn objects(pre: &InstancePre<Host>) -> Result<object_handler::GuestIndices, Refusal> {
    check::<(&[object_handler::ObjectEvent<'_>],), (Result<Entries, String>,)>(pre, "object-handler", "handle")?;
    object_handler::GuestIndices::new(pre).map_err(|cause| differs("object-handler", &cause))
}

/// Whether the function takes and gives what our WIT says.
fn check<Params, Return>(pre: &InstancePre<Host>, interface: &str, function: &str) -> Result<(), Refusal>
where
    Params: ComponentNamedList + Lower,
    Return: ComponentNamedList + Lift,
{
    let component = pre.component();
    let instance = component.get_export_index(None, &*format!("{PACKAGE}{interface}@0.1.0"));
    match instance.and_then(|instance| component.get_export(Some(&instance), function)) {
        Some((ComponentItem::ComponentFunc(found), _)) => found
            .typecheck::<Params, Return>(&pre.instance_type())
            .map_err(|cause| differs(&format!("{interface}.{function}"), &cause)),
        _ => Err(Refusal::NotAModule { cause: format!("it exports {interface}, but without the function `{function}`") }),
    }
}

fn differs(what: &str, cause: &wasmtime::Error) -> Refusal {
    Refusal::NotAModule { cause: format!("what it exports as {what} differs from sluicebox:module: {cause:#}") }
}

/// Handlers of our package that this host does not know: the module was made for a newer one.
pub(crate) fn unknown(exports: &[String]) -> Vec<String> {
    const KNOWN: [&str; 5] = ["lifecycle", "subjects", "pod-handler", "object-handler", "types"];
    exports.iter().filter(|name| ours(name).is_some_and(|(interface, _)| !KNOWN.contains(&interface))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_version_of_the_package_is_read_from_every_name() {
        let exports = names(&["sluicebox:module/lifecycle@0.1.3", "wasi:cli/run@0.2.0"]);
        assert_eq!(version(&[], &exports).unwrap().as_deref(), Some("0.1.3"));
        assert_eq!(version(&names(&["other"]), &[]).unwrap(), None);
    }

    #[test]
    fn another_version_is_refused_wherever_it_stands() {
        let imports = names(&["sluicebox:module/log@0.2.0"]);
        assert!(matches!(version(&imports, &[]), Err(Refusal::OtherVersion { found }) if found == "0.2.0"));
        let exports = names(&["sluicebox:module/lifecycle"]);
        assert!(matches!(version(&[], &exports), Err(Refusal::OtherVersion { found }) if found == "without a version"));
    }

    #[test]
    fn handlers_of_a_newer_host_are_listed() {
        let exports = names(&["sluicebox:module/lifecycle@0.1.0", "sluicebox:module/sample-handler@0.1.0", "a:b/c"]);
        assert_eq!(unknown(&exports), ["sluicebox:module/sample-handler@0.1.0"]);
    }
}
