//! Who a point is about: the attributes that it has, the path of its cgroup, and the key that keeps its order. Pure.

use sluicebox_sdk::{Subject, SubjectKind};

use crate::settings::{Per, Settings};

/// The attribute that cpu metrics have besides.
pub(crate) const KIND: &str = "kind";

/// The attributes that a subject can have of its own.
pub(crate) const OWN: [&str; 7] = ["uid", "name", "namespace", "node", "container_name", "container_id", KIND];

/// What is known of a subject.
pub(crate) struct Identity<'a> {
    /// The pod's uid, the container's id, or the path of a cgroup that is neither.
    pub(crate) key: &'a str,
    /// The path of its cgroup.
    pub(crate) path: &'a str,
    /// In the order in which they are told.
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Identity<'a> {
    /// None for a subject that is passed over.
    pub(crate) fn of(subject: &'a Subject, settings: &'a Settings, node: &'a str) -> Option<Self> {
        let known = |name| subject.attribute(name).unwrap_or_default();
        let (key, path, mut attributes) = match (subject.kind, settings.per) {
            (SubjectKind::Pod, Per::Pod) => {
                let attributes = pod(&subject.uid, &subject.name, &subject.namespace, node);
                (&subject.uid, known("cgroup"), attributes)
            }
            (SubjectKind::Container, Per::Container) => {
                let mut attributes = pod(known("pod-uid"), known("pod-name"), &subject.namespace, node);
                attributes.push(("container_name", &subject.name));
                attributes.push(("container_id", &subject.uid));
                (&subject.uid, known("cgroup"), attributes)
            }
            (SubjectKind::Cgroup, _) if settings.cgroups => (&subject.name, subject.name.as_str(), vec![("node", node)]),
            _ => return None,
        };
        attributes.extend(settings.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Some(Self { key, path, attributes })
    }

    /// The value of an attribute, empty where it has none.
    pub(crate) fn value(&self, name: &str) -> &'a str {
        self.attributes.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

fn pod<'a>(uid: &'a str, name: &'a str, namespace: &'a str, node: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("uid", uid), ("name", name), ("namespace", namespace), ("node", node)]
}

/// The names of the attributes that points can have, in the order of the alphabet; `kind` only where some metric has kinds.
pub(crate) fn names(settings: &Settings, has_kinds: bool) -> Vec<&str> {
    let of_containers = settings.per == Per::Container;
    let own = OWN.into_iter().filter(|name| match *name {
        KIND => has_kinds,
        name => of_containers || !name.starts_with("container_"),
    });
    let mut names: Vec<&str> = own.chain(settings.attributes.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names
}
