//! The roles that grant what is missing, as Kubernetes takes them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sluicebox_sources::kubernetes::access::Deed;

/// A rule: for which verbs, by what it is about.
type Rules = BTreeMap<(&'static str, &'static str, BTreeSet<String>), BTreeSet<&'static str>>;

/// Roles as YAML: one for the cluster, one for each namespace. Empty when nothing is to be granted.
pub(super) fn rules<'a>(deeds: impl Iterator<Item = &'a Deed>) -> String {
    let mut roles: BTreeMap<Option<&str>, Vec<&Deed>> = BTreeMap::new();
    for deed in deeds {
        roles.entry(deed.namespace.as_deref()).or_default().push(deed);
    }
    let mut out = String::new();
    for (namespace, deeds) in roles {
        let (kind, place) = namespace.map_or(("ClusterRole", String::new()), |name| ("Role", format!(", namespace: {name}")));
        let _never = writeln!(
            out,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: sluicebox{place}}}\nrules:"
        );
        for ((group, resource, names), verbs) in gathered(&deeds) {
            let _never = writeln!(out, "- apiGroups: [\"{group}\"]\n  resources: [{resource}]");
            if !names.is_empty() {
                let _never = writeln!(out, "  resourceNames: [{}]", joined(names.iter().map(String::as_str)));
            }
            let _never = writeln!(out, "  verbs: [{}]", joined(verbs.into_iter()));
        }
    }
    out
}

/// One rule for what differs in the verb only, and then for what differs in the name only.
fn gathered(deeds: &[&Deed]) -> Rules {
    let mut verbs: BTreeMap<(&str, &str, Option<&str>), BTreeSet<&'static str>> = BTreeMap::new();
    for deed in deeds {
        verbs.entry((deed.group, deed.resource, name(deed))).or_default().insert(deed.verb);
    }
    let mut names: BTreeMap<(&'static str, &'static str, BTreeSet<&'static str>), BTreeSet<String>> = BTreeMap::new();
    for deed in deeds {
        let Some(verbs) = verbs.get(&(deed.group, deed.resource, name(deed))) else { continue };
        let alike = names.entry((deed.group, deed.resource, verbs.clone()));
        alike.or_default().extend(name(deed).map(str::to_owned));
    }
    names.into_iter().map(|((group, resource, verbs), names)| ((group, resource, names), verbs)).collect()
}

/// A role for all nodes cannot name one of them.
fn name(deed: &Deed) -> Option<&str> {
    deed.name.as_deref().filter(|_| deed.resource != "nodes")
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(
        group: &'static str,
        resource: &'static str,
        namespace: Option<&str>,
        name: Option<&str>,
        verb: &'static str,
    ) -> Deed {
        Deed { group, resource, namespace: namespace.map(str::to_owned), name: name.map(str::to_owned), verb }
    }

    #[test]
    fn rules_are_as_few_and_as_narrow_as_can_be() {
        let ns = Some("default");
        let deeds = [
            deed("", "pods", None, None, "watch"),
            deed("", "pods", None, None, "list"),
            deed("", "nodes", None, Some("n1"), "list"),
            deed("", "configmaps", ns, None, "create"),
            deed("", "configmaps", ns, Some("b"), "get"),
            deed("", "configmaps", ns, Some("a"), "get"),
            deed("", "configmaps", ns, Some("a"), "patch"),
            deed("", "configmaps", ns, Some("b"), "patch"),
        ];
        assert_eq!(
            rules(deeds.iter()),
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: sluicebox}\nrules:\n\
             - apiGroups: [\"\"]\n  resources: [nodes]\n  verbs: [list]\n- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [list, watch]\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: sluicebox, namespace: default}\nrules:\n\
             - apiGroups: [\"\"]\n  resources: [configmaps]\n  verbs: [create]\n\
             - apiGroups: [\"\"]\n  resources: [configmaps]\n  resourceNames: [a, b]\n  verbs: [get, patch]\n"
        );
        assert_eq!(rules([].iter()), "");
    }
}
