//! What lanes are told of a cgroup: its kind, its names, its attributes. Pure.

use sluicebox_contract::pod::ContainerKind;
use sluicebox_contract::{Subject, SubjectId, SubjectKind};

use super::index::Index;
use crate::cgroups::place::{Place, PodKey, Qos, lies_in};

/// Under the names that the API has for it; none when it has not told of it.
pub(super) fn named(id: SubjectId, path: &str, place: &Place, index: &Index) -> Option<Subject> {
    let pod = index.pod(key(place))?;
    let mut attributes = vec![attribute("cgroup", path), attribute("qos-class", qos_class(place))];
    match place {
        Place::Pod { .. } => Some(Subject {
            id,
            kind: SubjectKind::Pod,
            uid: pod.uid.to_string(),
            namespace: pod.namespace.to_string(),
            name: pod.name.to_string(),
            attributes,
        }),
        Place::Container { id: container_id, .. } => {
            let container = pod.container(container_id)?;
            attributes.push(attribute("pod-uid", &pod.uid));
            attributes.push(attribute("pod-name", &pod.name));
            attributes.push(attribute("container-kind", kind(container.kind)));
            Some(Subject {
                id,
                kind: SubjectKind::Container,
                uid: container_id.clone(),
                namespace: pod.namespace.to_string(),
                name: container.name.to_string(),
                attributes,
            })
        }
    }
}

/// Under its path, with what the path tells: of a pod or container, and of what lies in one.
pub(super) fn unnamed(id: SubjectId, path: &str, place: Option<&Place>) -> Subject {
    let mut attributes = vec![attribute("cgroup", path)];
    if let Some(place) = place.cloned().or_else(|| lies_in(path)) {
        attributes.push(attribute("qos-class", qos_class(&place)));
        // The hash of a static pod is not the uid that the API has for it.
        if let PodKey::Uid(uid) = key(&place) {
            attributes.push(attribute("pod-uid", uid));
        }
        if let Place::Container { id, .. } = &place {
            attributes.push(attribute("container-id", id));
        }
    }
    Subject { id, kind: SubjectKind::Cgroup, uid: String::new(), namespace: String::new(), name: path.to_owned(), attributes }
}

/// What the pod is named by.
pub(super) fn key(place: &Place) -> &PodKey {
    match place {
        Place::Pod { key, .. } | Place::Container { key, .. } => key,
    }
}

/// The text of it.
pub(super) fn text(key: &PodKey) -> &str {
    match key {
        PodKey::Uid(text) | PodKey::ConfigHash(text) => text,
    }
}

fn qos_class(place: &Place) -> &'static str {
    match place {
        Place::Pod { qos, .. } | Place::Container { qos, .. } => match qos {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        },
    }
}

fn kind(kind: ContainerKind) -> &'static str {
    match kind {
        ContainerKind::App => "app",
        ContainerKind::Init => "init",
        ContainerKind::Ephemeral => "ephemeral",
    }
}

fn attribute(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
