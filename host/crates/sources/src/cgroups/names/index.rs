//! The pods of this node by what the names of cgroups say: their uid, the hash of their configuration, the ids of their containers. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sluicebox_contract::pod::{Container, ContainerKind, Pod};

use crate::cgroups::place::PodKey;

/// A static pod stands in the API as a mirror with another uid; both of these hold the hash that its cgroup is named by.
const HASHES: [&str; 2] = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];
/// More than fits on any node.
const MOST_PODS: usize = 10_000;
const MOST_CONTAINERS: usize = 50_000;
/// No name and no id is longer; a container of which they are is not known.
const LONGEST: usize = 256;
/// Pods that the API has forgotten while their cgroups may still be there.
const MOST_DELETED: usize = 1_000;

/// What is known of the pods.
#[derive(Debug, Default)]
pub(super) struct Index {
    pods: HashMap<Arc<str>, Known>,
    /// From the hash of a static pod to the uid of its mirror.
    hashes: HashMap<Arc<str>, Arc<str>>,
    containers: usize,
    /// In the order in which they were deleted.
    deleted: VecDeque<Arc<str>>,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) uid: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    hash: Option<Arc<str>>,
    containers: Vec<KnownContainer>,
    is_deleted: bool,
}

/// A container that has been created.
#[derive(Debug)]
pub(super) struct KnownContainer {
    /// Without the scheme.
    id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) kind: ContainerKind,
}

/// There is no room for this pod, or it would take too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Index {
    /// The pod is there, or has changed. Says by what its cgroups may be named.
    pub(super) fn present(&mut self, pod: &Pod) -> Result<Vec<Arc<str>>, Full> {
        let uid: Arc<str> = pod.uid.as_str().into();
        self.remove(&uid);
        let containers: Vec<KnownContainer> = pod.containers.iter().filter_map(container).collect();
        if [&pod.uid, &pod.namespace, &pod.name].iter().any(|text| text.len() > LONGEST) {
            return Err(Full);
        }
        if self.pods.len() >= MOST_PODS || self.containers + containers.len() > MOST_CONTAINERS {
            return Err(Full);
        }
        self.containers += containers.len();
        let hash: Option<Arc<str>> = hash(pod).map(Arc::from);
        if let Some(hash) = &hash {
            self.hashes.insert(Arc::clone(hash), Arc::clone(&uid));
        }
        let keys = std::iter::once(Arc::clone(&uid)).chain(hash.clone()).collect();
        let (namespace, name) = (pod.namespace.as_str().into(), pod.name.as_str().into());
        self.pods.insert(Arc::clone(&uid), Known { uid, namespace, name, hash, containers, is_deleted: false });
        Ok(keys)
    }

    /// The API has forgotten the pod: its names stay until its cgroup is gone.
    pub(super) fn deleted(&mut self, uid: &str) {
        let Some(known) = self.pods.get_mut(uid) else { return };
        if !std::mem::replace(&mut known.is_deleted, true) {
            self.deleted.push_back(Arc::clone(&known.uid));
        }
        if self.deleted.len() > MOST_DELETED
            && let Some(oldest) = self.deleted.pop_front()
        {
            self.remove_deleted(&oldest);
        }
    }

    /// The cgroup of the pod is gone.
    pub(super) fn released(&mut self, key: &PodKey) {
        if let Some(uid) = self.pod(key).filter(|pod| pod.is_deleted).map(|pod| Arc::clone(&pod.uid)) {
            self.deleted.retain(|deleted| *deleted != uid);
            self.remove_deleted(&uid);
        }
    }

    /// The pod whose cgroups are named by this.
    pub(super) fn pod(&self, key: &PodKey) -> Option<&Known> {
        match key {
            PodKey::Uid(uid) => self.pods.get(uid.as_str()),
            PodKey::ConfigHash(hash) => self.pods.get(self.hashes.get(hash.as_str())?),
        }
    }

    fn remove_deleted(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|pod| pod.is_deleted) {
            self.remove(uid);
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some(known) = self.pods.remove(uid) else { return };
        self.containers -= known.containers.len();
        // A pod that was made anew from the same file may have taken the hash over.
        if let Some(hash) = known.hash.filter(|hash| self.hashes.get(hash).is_some_and(|uid| *uid == known.uid)) {
            self.hashes.remove(&hash);
        }
        if known.is_deleted {
            self.deleted.retain(|deleted| *deleted != known.uid);
        }
    }
}

impl Known {
    /// The container with this id.
    pub(super) fn container(&self, id: &str) -> Option<&KnownContainer> {
        self.containers.iter().find(|container| *container.id == *id)
    }
}

fn hash(pod: &Pod) -> Option<&str> {
    let value = |name: &&str| pod.annotations.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    HASHES.iter().find_map(value).filter(|hash| hash.len() <= LONGEST)
}

/// None for one that has not been created yet.
fn container(container: &Container) -> Option<KnownContainer> {
    let id = container.status.as_ref()?.container_id.as_ref()?;
    let id = id.split_once("://").map_or(id.as_str(), |(_, id)| id);
    if id.len() > LONGEST || container.name.len() > LONGEST {
        return None;
    }
    Some(KnownContainer { id: id.into(), name: container.name.as_str().into(), kind: container.kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, name: &str, hash: Option<&str>) -> Pod {
        let annotations = hash.map(|hash| vec![(HASHES[0].to_owned(), hash.to_owned())]).unwrap_or_default();
        Pod { uid: uid.to_owned(), namespace: "n".to_owned(), name: name.to_owned(), annotations, ..Pod::default() }
    }

    fn uid(uid: &str) -> PodKey {
        PodKey::Uid(uid.to_owned())
    }

    fn name(index: &Index, key: &PodKey) -> Option<String> {
        index.pod(key).map(|pod| pod.name.to_string())
    }

    #[test]
    fn a_deleted_pod_keeps_its_names_until_its_cgroup_is_gone() {
        let mut index = Index::default();
        index.present(&pod("u", "a", None)).unwrap();
        index.released(&uid("u"));
        assert_eq!(name(&index, &uid("u")).as_deref(), Some("a"), "it is not deleted");
        index.deleted("u");
        index.deleted("u");
        assert_eq!(name(&index, &uid("u")).as_deref(), Some("a"));
        index.released(&uid("u"));
        assert_eq!(name(&index, &uid("u")), None);
        assert_eq!((index.pods.len(), index.deleted.len()), (0, 0));
    }

    #[test]
    fn deleted_pods_are_bounded() {
        let mut index = Index::default();
        for number in 0..3 * MOST_DELETED {
            index.present(&pod(&number.to_string(), "a", None)).unwrap();
            index.deleted(&number.to_string());
        }
        assert_eq!((index.pods.len(), index.deleted.len()), (MOST_DELETED, MOST_DELETED));
    }

    #[test]
    fn pods_are_bounded() {
        let mut index = Index::default();
        for number in 0..MOST_PODS {
            index.present(&pod(&number.to_string(), "a", None)).unwrap();
        }
        assert_eq!(index.present(&pod("one-more", "a", None)), Err(Full));
        index.present(&pod("5", "changed", None)).unwrap();
        assert_eq!(name(&index, &uid("5")).as_deref(), Some("changed"));
    }

    #[test]
    fn names_are_bounded() {
        let mut index = Index::default();
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(index.present(&pod(&long, "a", None)), Err(Full));
        assert_eq!(index.present(&pod("u", &long, None)), Err(Full));
        assert_eq!(index.present(&pod("u", "a", Some(&long))).unwrap().len(), 1, "without the hash");
    }

    #[test]
    fn a_static_pod_is_found_by_its_hash_and_a_new_mirror_takes_it_over() {
        let mut index = Index::default();
        let hash = PodKey::ConfigHash("h".to_owned());
        assert_eq!(index.present(&pod("u1", "old", Some("h"))).unwrap().len(), 2);
        assert_eq!(name(&index, &hash).as_deref(), Some("old"));
        index.present(&pod("u2", "new", Some("h"))).unwrap();
        index.deleted("u1");
        index.released(&uid("u1"));
        assert_eq!(name(&index, &hash).as_deref(), Some("new"));
    }

    #[test]
    fn one_that_comes_back_is_not_deleted() {
        let mut index = Index::default();
        index.present(&pod("u", "a", None)).unwrap();
        index.deleted("u");
        index.present(&pod("u", "a", None)).unwrap();
        index.released(&uid("u"));
        assert!(index.pod(&uid("u")).is_some());
        assert_eq!(index.deleted.len(), 0);
    }
}
