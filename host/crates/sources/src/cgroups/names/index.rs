//! The pods of this node by what the names of cgroups say: their uid, the hash of their configuration, the ids of their containers. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sluicebox_contract::pod::{Container, ContainerKind, Pod};

use super::subject::text;
use crate::cgroups::place::{Place, PodKey};

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
    /// From the ids of containers to the uids of their pods.
    containers: HashMap<Arc<str>, Arc<str>>,
    /// From what cgroups of pods are named by, where only their containers say whose they are.
    learnt: HashMap<Arc<str>, Arc<str>>,
    /// So many containers the pods have.
    held: usize,
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
    learnt: Option<Arc<str>>,
    containers: Vec<KnownContainer>,
    is_deleted: bool,
}

/// A container that has been created.
#[derive(Debug)]
pub(super) struct KnownContainer {
    /// Without the scheme.
    id: Arc<str>,
    pub(super) name: Box<str>,
    pub(super) kind: ContainerKind,
}

/// There is no room for this pod, or it would take too much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Index {
    /// The pod is there, or has changed. Says by what its cgroups and those of its containers may be named.
    pub(super) fn present(&mut self, pod: &Pod) -> Result<Vec<Arc<str>>, Full> {
        let uid: Arc<str> = pod.uid.as_str().into();
        let learnt = self.remove(&uid).and_then(|known| known.learnt);
        let containers: Vec<KnownContainer> = pod.containers.iter().filter_map(container).collect();
        if [&pod.uid, &pod.namespace, &pod.name].iter().any(|text| text.len() > LONGEST) {
            return Err(Full);
        }
        if self.pods.len() >= MOST_PODS || self.held + containers.len() > MOST_CONTAINERS {
            return Err(Full);
        }
        self.held += containers.len();
        self.containers.extend(containers.iter().map(|container| (Arc::clone(&container.id), Arc::clone(&uid))));
        self.learnt.extend(learnt.iter().map(|learnt| (Arc::clone(learnt), Arc::clone(&uid))));
        let hash: Option<Arc<str>> = hash(pod).map(Arc::from);
        if let Some(hash) = &hash {
            self.hashes.insert(Arc::clone(hash), Arc::clone(&uid));
        }
        let ids = containers.iter().map(|container| Arc::clone(&container.id));
        let keys = std::iter::once(Arc::clone(&uid)).chain(hash.clone()).chain(learnt.clone()).chain(ids).collect();
        let (namespace, name) = (pod.namespace.as_str().into(), pod.name.as_str().into());
        self.pods.insert(Arc::clone(&uid), Known { uid, namespace, name, hash, learnt, containers, is_deleted: false });
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
        let told = match key {
            PodKey::Uid(uid) => self.pods.get(uid.as_str()),
            PodKey::ConfigHash(hash) => self.hashes.get(hash.as_str()).and_then(|uid| self.pods.get(uid)),
        };
        told.or_else(|| self.pods.get(self.learnt.get(text(key))?))
    }

    /// A container in a pod of which nobody has told by that name: when the container is known, so is the pod from now on. Says by what the
    /// cgroup of the pod is named.
    pub(super) fn learn(&mut self, place: &Place) -> Option<Arc<str>> {
        let Place::Container { key, id, .. } = place else { return None };
        if self.pod(key).is_some() {
            return None;
        }
        let known = self.pods.get_mut(self.containers.get(id.as_str())?)?;
        let learnt: Arc<str> = text(key).into();
        // A pod has one cgroup.
        if let Some(before) = known.learnt.replace(Arc::clone(&learnt)) {
            self.learnt.remove(&before);
        }
        self.learnt.insert(Arc::clone(&learnt), Arc::clone(&known.uid));
        Some(learnt)
    }

    fn remove_deleted(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|pod| pod.is_deleted) {
            self.remove(uid);
        }
    }

    fn remove(&mut self, uid: &str) -> Option<Known> {
        let known = self.pods.remove(uid)?;
        self.held = self.held.saturating_sub(known.containers.len());
        // A pod that was made anew from the same file may have taken the hash over.
        let forget = |names: &mut HashMap<Arc<str>, Arc<str>>, name: &Arc<str>| {
            if names.get(name).is_some_and(|uid| *uid == known.uid) {
                names.remove(name);
            }
        };
        known.hash.iter().for_each(|hash| forget(&mut self.hashes, hash));
        known.learnt.iter().for_each(|learnt| forget(&mut self.learnt, learnt));
        known.containers.iter().for_each(|container| forget(&mut self.containers, &container.id));
        if known.is_deleted {
            self.deleted.retain(|deleted| *deleted != known.uid);
        }
        Some(known)
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
    use sluicebox_contract::pod::{ContainerState, ContainerStatus};

    use super::*;
    use crate::cgroups::place::Qos;

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
    fn nothing_stays_of_a_pod_that_is_forgotten() {
        let mut index = Index::default();
        let status = ContainerStatus { container_id: Some("containerd://c".to_owned()), ..status() };
        let container = Container { name: "main".to_owned(), status: Some(status), ..container_of("main") };
        let place = Place::Container { key: uid("elsewhere"), qos: Qos::Burstable, id: "c".to_owned() };
        assert_eq!(index.learn(&place), None, "nobody knows it");
        for name in ["a", "changed"] {
            let pod = Pod { containers: vec![container.clone()], ..pod("u", name, Some("h")) };
            let keys: Vec<_> = index.present(&pod).unwrap().iter().map(ToString::to_string).collect();
            let (told, learnt) = (["u", "h", "c"], ["u", "h", "elsewhere", "c"]);
            assert_eq!(keys, if name == "a" { &told[..] } else { &learnt[..] });
            assert_eq!(index.learn(&place).as_deref(), (name == "a").then_some("elsewhere"));
            assert_eq!(super::tests::name(&index, &uid("elsewhere")).as_deref(), Some(name));
        }
        index.deleted("u");
        index.released(&uid("elsewhere"));
        let Index { pods, hashes, containers, learnt, held, deleted } = index;
        assert_eq!((pods.len(), hashes.len(), containers.len(), learnt.len(), held, deleted.len()), (0, 0, 0, 0, 0, 0));
    }

    fn status() -> ContainerStatus {
        ContainerStatus {
            image: String::new(),
            image_id: String::new(),
            container_id: None,
            state: ContainerState::Running(None),
            ready: true,
            restart_count: 0,
        }
    }

    fn container_of(name: &str) -> Container {
        Container {
            name: name.to_owned(),
            kind: ContainerKind::App,
            image: String::new(),
            ports: vec![],
            requests: vec![],
            limits: vec![],
            status: None,
        }
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
