//! Rights that are not granted and not missed: the program does without them what it is to do here. Pure.

use sluicebox_sources::kubernetes::access::Deed;

/// What became of the question for a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// It is there.
    Yes,
    /// It is not, for a reason not to mind.
    Spared(&'static str),
    /// It is missing.
    No,
    /// Nobody could be asked.
    Unasked,
}

/// What controls pods, and is controlled itself by what is commonly there.
const BETWEEN: [(&str, &str); 2] = [("apps", "replicasets"), ("batch", "jobs")];
/// What commonly nothing stands above.
const ON_TOP: [&str; 5] = ["deployments", "statefulsets", "daemonsets", "cronjobs", "replicationcontrollers"];

/// Why a right that was refused is not missed. `has` says which ones are granted, `are_there` whether all `ConfigMap`s of a namespace are there
/// already.
pub(super) fn spared(deed: &Deed, has: impl Fn(&str, &str) -> bool, are_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    match (deed.verb, deed.resource, &deed.namespace) {
        ("create", "configmaps", Some(namespace)) if are_there(namespace) => Some("not granted, not needed: they are there"),
        ("get", resource, None) if ON_TOP.contains(&resource) && BETWEEN.iter().all(|(group, resource)| has(group, resource)) => {
            Some("not granted, not needed: commonly nothing stands above them")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(verb: &'static str, resource: &'static str, namespace: Option<&str>) -> Deed {
        Deed { group: "", resource, namespace: namespace.map(str::to_owned), name: None, verb }
    }

    #[test]
    fn what_is_there_need_not_be_created() {
        let create = deed("create", "configmaps", Some("default"));
        let ask = |deed: &Deed, there: &str| spared(deed, |_, _| false, |namespace| namespace == there).is_some();
        assert!(ask(&create, "default"));
        assert!(!ask(&create, "elsewhere"));
        assert!(!ask(&deed("patch", "configmaps", Some("default")), "default"));
    }

    #[test]
    fn owners_are_told_up_to_what_is_commonly_on_top() {
        let of = |resource, has: fn(&str, &str) -> bool| spared(&deed("get", resource, None), has, |_| false).is_some();
        assert!(of("deployments", |group, resource| [("apps", "replicasets"), ("batch", "jobs")].contains(&(group, resource))));
        assert!(!of("deployments", |_, resource| resource == "jobs"), "owners are not told then");
        assert!(!of("replicasets", |_, _| true));
        assert!(!of("services", |_, _| true));
    }
}
