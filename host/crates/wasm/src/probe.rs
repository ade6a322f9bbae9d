//! What a component asks for and offers, judged by names and types before any of its code runs.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use crate::exports::{self, Exports};
use crate::grants::Grants;
use crate::imports::Host;
use crate::load_error::Refusal;
use crate::package::{Package, ours};

/// Names of everything that the component imports.
pub(crate) fn imports(component: &Component) -> Vec<String> {
    component.component_type().imports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Names of everything that the component exports.
pub(crate) fn exports(component: &Component) -> Vec<String> {
    component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// Which version of our package it was made for; refused when that is another one, or more than one.
pub(crate) fn version(imports: &[String], exports: &[String]) -> Result<Option<String>, Refusal> {
    let mut accepted: Option<(Package, &str)> = None;
    for (_, version) in imports.iter().chain(exports).filter_map(|name| ours(name)) {
        let Some(package) = Package::of(version) else {
            let found = if version.is_empty() { "without a version" } else { version };
            return Err(Refusal::OtherVersion { found: found.to_owned() });
        };
        if let Some((_, first)) = accepted.filter(|(other, _)| *other != package) {
            return Err(Refusal::MixedVersions { found: [first.to_owned(), version.to_owned()] });
        }
        accepted = Some((package, version));
    }
    Ok(accepted.map(|(_, version)| version.to_owned()))
}

/// Refuses everything that is not granted, all at once.
pub(crate) fn only_granted(component: &Component, grants: Grants) -> Result<(), Refusal> {
    let kind = component.component_type();
    let wanted: Vec<String> = kind
        .imports(component.engine())
        .filter(|(name, item)| !granted(component, name, &item.ty, grants))
        .map(|(name, _)| name.to_owned())
        .collect();
    if wanted.is_empty() { Ok(()) } else { Err(Refusal::NotGranted { wanted, granted: grants }) }
}

/// What the configuration grants is, and so are interfaces of our package of which only types are used.
fn granted(component: &Component, name: &str, item: &ComponentItem, grants: Grants) -> bool {
    match (ours(name), item) {
        (Some((interface, _)), _) if grants.has(interface) => true,
        (Some(_), ComponentItem::ComponentInstance(instance)) => {
            instance.exports(component.engine()).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

/// Finds the handlers that a module exports.
pub(crate) fn handlers(pre: &InstancePre<Host>, exports: &[String]) -> Result<Box<dyn Exports>, Refusal> {
    let exported = |interface: &str| exports.iter().filter_map(|name| ours(name)).find(|(found, _)| *found == interface);
    let Some(package) = exported("lifecycle").and_then(|(_, version)| Package::of(version)) else {
        let others =
            if exports.is_empty() { "it exports nothing".to_owned() } else { format!("it exports {}", exports.join(", ")) };
        return Err(Refusal::NotAModule {
            cause: format!("it is a component, but it does not export sluicebox:module/lifecycle; {others}"),
        });
    };
    let found = exports::find(pre, package, |interface| exported(interface).is_some())?;
    let handlers = found.handlers();
    if handlers.is_empty() {
        return Err(Refusal::NotAModule {
            cause: format!(
                "it exports no handler that this host knows ({}), only {}",
                package.known().iter().filter(|name| name.ends_with("-handler")).copied().collect::<Vec<_>>().join(", "),
                exports.join(", ")
            ),
        });
    }
    Ok(found)
}

/// Interfaces of our package that this host does not know: the module was made for a newer one.
pub(crate) fn unknown(exports: &[String]) -> Vec<String> {
    let known = |(interface, version)| Package::of(version).is_some_and(|package| package.known().contains(&interface));
    exports.iter().filter(|name| ours(name).is_some_and(|name| !known(name))).cloned().collect()
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
        let exports = names(&["sluicebox:module/lifecycle@0.2.1"]);
        assert_eq!(version(&names(&["sluicebox:module/log@0.2.0"]), &exports).unwrap().as_deref(), Some("0.2.1"));
        assert_eq!(version(&names(&["other"]), &[]).unwrap(), None);
    }

    #[test]
    fn another_version_is_refused_wherever_it_stands() {
        let imports = names(&["sluicebox:module/log@0.3.0"]);
        assert!(matches!(version(&imports, &[]), Err(Refusal::OtherVersion { found }) if found == "0.3.0"));
        let exports = names(&["sluicebox:module/lifecycle"]);
        assert!(matches!(version(&[], &exports), Err(Refusal::OtherVersion { found }) if found == "without a version"));
    }

    #[test]
    fn two_minor_versions_in_one_component_are_refused() {
        let imports = names(&["sluicebox:module/log@0.1.2", "sluicebox:module/types@0.1.0"]);
        let exports = names(&["sluicebox:module/lifecycle@0.2.0"]);
        let text = version(&imports, &exports).unwrap_err().to_string();
        assert_eq!(text, "it is made partly for sluicebox:module 0.1.0 and partly for 0.2.0");
    }

    #[test]
    fn handlers_of_a_newer_host_are_listed() {
        let exports = names(&["sluicebox:module/sample-handler@0.2.0", "sluicebox:module/trace-handler@0.2.0", "a:b/c"]);
        assert_eq!(unknown(&exports), ["sluicebox:module/trace-handler@0.2.0"]);
        let exports = names(&["sluicebox:module/lifecycle@0.1.0", "sluicebox:module/sample-handler@0.1.0"]);
        assert_eq!(unknown(&exports), ["sluicebox:module/sample-handler@0.1.0"]);
    }
}
