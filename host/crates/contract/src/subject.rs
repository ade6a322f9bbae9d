//! What events are about: a pod, a container, a namespace, a node, a service, a cgroup, a time series, or what lies outside.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

/// Names a subject within one run of the host. Never reused while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectId(pub u32);

/// What kind of thing a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A Kubernetes pod.
    Pod,
    /// A Kubernetes namespace.
    Namespace,
    /// A Kubernetes node.
    Node,
    /// A container of a pod.
    Container,
    /// A control group that belongs to no pod that is known.
    Cgroup,
    /// A Kubernetes service.
    Service,
    /// All that is neither in the cluster nor of it.
    Outside,
    /// A time series.
    Series,
}

/// A subject's identity: its strings cross to a module once, when it is defined, and not again with every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subject {
    /// The number by which events name it.
    pub id: SubjectId,
    /// What kind of thing it is.
    pub kind: SubjectKind,
    /// The API's `metadata.uid`; of a container, its id without the scheme; empty for a cgroup, a series and what lies outside.
    pub uid: String,
    /// The API's `metadata.namespace`, of a container that of its pod; empty for what lives in no namespace.
    pub namespace: String,
    /// The API's `metadata.name`; of a container, its name in the pod; of a cgroup, its path; of what lies outside, `outside`; of a series, the
    /// label `__name__`.
    pub name: String,
    /// What else its source knows of it, each name once; `wit/subjects.wit` lists the names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

impl Subject {
    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| 48 + name.len() + value.len()).sum();
        size_of::<Self>() + self.uid.len() + self.namespace.len() + self.name.len() + attributes
    }
}

/// Hands out subject ids. One for the whole host, shared by all sources.
#[derive(Debug, Default)]
pub struct SubjectIds(AtomicU32);

impl SubjectIds {
    /// The next id. Ids start at 1; `None` when all 4 294 967 295 have been used.
    pub fn next(&self) -> Option<SubjectId> {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| last.checked_add(1)).ok().map(|last| SubjectId(last + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one_and_are_never_reused() {
        let ids = SubjectIds::default();
        assert_eq!(ids.next(), Some(SubjectId(1)));
        assert_eq!(ids.next(), Some(SubjectId(2)));
    }

    #[test]
    fn the_last_id_is_followed_by_none() {
        let ids = SubjectIds(AtomicU32::new(u32::MAX - 1));
        assert_eq!(ids.next(), Some(SubjectId(u32::MAX)));
        assert_eq!(ids.next(), None);
        assert_eq!(ids.next(), None);
    }
}
