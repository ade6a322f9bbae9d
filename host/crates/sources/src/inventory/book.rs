//! What is known of the node and its pods, and the inventories that are made of it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluicebox_contract::pod::{Container, Phase};
use sluicebox_contract::{
    Inventory, InventoryContainer, InventoryNode, InventoryPod, Node, Notice, ObjectKind, Pod, Subject, SubjectId, SubjectKind,
    UnixNanos, Workload,
};

use super::watches::Heard;
use crate::processes::Processes;

/// A part of an inventory has so many pods at most.
const MOST_PODS: usize = 512;

/// The node and its pods.
#[derive(Default)]
pub(super) struct Book {
    subjects: BTreeMap<SubjectId, Arc<Subject>>,
    pods: BTreeMap<SubjectId, Arc<Pod>>,
    node: Option<(SubjectId, Arc<Node>)>,
    pods_are_listed: bool,
    node_is_listed: bool,
}

impl Book {
    /// Takes in what was heard: what lanes are to be told of it at once, and whether the next inventory is another one.
    pub(super) fn hear(&mut self, heard: Heard) -> (Option<Notice>, bool) {
        match heard {
            Heard::Defined(subject) => {
                let before = self.subjects.insert(subject.id, Arc::clone(&subject));
                (Some(Notice::Defined(subject)), before.is_some())
            }
            Heard::Pod(subject, pod, is_new) => {
                self.pods.insert(subject, pod);
                (None, is_new)
            }
            Heard::Node(subject, node, is_new) => {
                self.node = Some((subject, node));
                (None, is_new)
            }
            Heard::Forgotten(subject) => {
                self.subjects.remove(&subject);
                let was_pod = self.pods.remove(&subject).is_some();
                let was_node = self.node.take_if(|(node, _)| *node == subject).is_some();
                (Some(Notice::Forgotten(subject)), was_pod || was_node)
            }
            Heard::Listed(kind) => {
                self.pods_are_listed |= kind == ObjectKind::Pod;
                self.node_is_listed |= kind == ObjectKind::Node;
                (None, true)
            }
        }
    }

    /// Whether all pods that were there at the start are known.
    pub(super) fn pods_are_listed(&self) -> bool {
        self.pods_are_listed
    }

    /// Whether the API server has said what it knows of the node.
    pub(super) fn node_is_listed(&self) -> bool {
        self.node_is_listed
    }

    /// Whether the node has been seen, even if nothing else could be read of it.
    pub(super) fn has_node(&self) -> bool {
        self.subjects.values().any(|subject| subject.kind == SubjectKind::Node)
    }

    /// The pods, in the order in which they were first seen.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// How many subjects there are.
    pub(super) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// Whether any pod should have processes.
    pub(super) fn expects_processes(&self) -> bool {
        let has_run = |container: &Container| id(container).is_some();
        self.pods().any(|pod| pod.phase == Some(Phase::Running) && pod.containers.iter().any(has_run))
    }

    /// The inventory, in parts.
    pub(super) fn inventories(
        &self,
        observed_at: UnixNanos,
        processes: &Processes,
        owners: impl Fn(&Pod) -> Vec<Workload>,
    ) -> Vec<Inventory> {
        let node = self.node.as_ref().map(|(subject, node)| self.inventory_node(*subject, node));
        let mut pods =
            self.pods.iter().map(|(subject, pod)| self.inventory_pod(*subject, pod, processes, owners(pod))).peekable();
        let mut parts = Vec::new();
        loop {
            let part: Vec<InventoryPod> = pods.by_ref().take(MOST_PODS).collect();
            let more = pods.peek().is_some();
            parts.push(Inventory { observed_at, more, node: node.clone(), pods: part });
            if !more {
                return parts;
            }
        }
    }

    fn attributes(&self, subject: SubjectId) -> Vec<(String, String)> {
        self.subjects.get(&subject).map(|subject| subject.attributes.clone()).unwrap_or_default()
    }

    fn inventory_node(&self, subject: SubjectId, node: &Node) -> InventoryNode {
        InventoryNode {
            subject,
            uid: node.uid.clone(),
            name: node.name.clone(),
            addresses: node.addresses.clone(),
            kernel_version: node.kernel_version.clone(),
            labels: node.labels.clone(),
            allocatable: node.allocatable.clone(),
            attributes: self.attributes(subject),
        }
    }

    fn inventory_pod(&self, subject: SubjectId, pod: &Pod, processes: &Processes, owners: Vec<Workload>) -> InventoryPod {
        InventoryPod {
            subject,
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            pod_ips: pod.pod_ips.clone(),
            host_network: pod.host_network,
            phase: pod.phase.map(|phase| phase_name(phase).to_owned()),
            owners,
            containers: pod.containers.iter().map(|container| inventory_container(container, processes)).collect(),
            attributes: self.attributes(subject),
        }
    }
}

fn inventory_container(container: &Container, processes: &Processes) -> InventoryContainer {
    let id = id(container);
    InventoryContainer {
        name: container.name.clone(),
        kind: container.kind,
        id: id.map(str::to_owned),
        image: container.image.clone(),
        pids: id.map(|id| processes.container_pids(id).to_vec()).unwrap_or_default(),
        ports: container.ports.clone(),
    }
}

/// Without what says which runtime it is.
fn id(container: &Container) -> Option<&str> {
    let id = container.status.as_ref()?.container_id.as_deref()?;
    Some(id.split_once("://").map_or(id, |(_, id)| id))
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Unknown => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(id: u32, attributes: &[(&str, &str)]) -> Arc<Subject> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (uid, namespace, name) = (id.to_string(), "n".to_owned(), format!("p{id}"));
        Arc::new(Subject { id: SubjectId(id), kind: SubjectKind::Pod, uid, namespace, name, attributes })
    }

    fn with_pods(count: u32) -> Book {
        let mut book = Book::default();
        for number in 1..=count {
            book.hear(Heard::Defined(subject(number, &[])));
            let pod = Pod { name: format!("p{number}"), ..Pod::default() };
            assert!(book.hear(Heard::Pod(SubjectId(number), Arc::new(pod), true)).1);
        }
        book
    }

    fn parts(book: &Book) -> Vec<(usize, bool)> {
        let inventories = book.inventories(UnixNanos(1), &Processes::default(), |_| Vec::new());
        inventories.into_iter().map(|inventory| (inventory.pods.len(), inventory.more)).collect()
    }

    #[test]
    fn a_large_inventory_comes_in_parts() {
        for (count, expected) in [
            (0, vec![(0, false)]),
            (3, vec![(3, false)]),
            (512, vec![(512, false)]),
            (513, vec![(512, true), (1, false)]),
            (1025, vec![(512, true), (512, true), (1, false)]),
        ] {
            assert_eq!(parts(&with_pods(count)), expected, "{count}");
        }
    }

    #[test]
    fn what_is_forgotten_is_in_no_inventory() {
        let mut book = with_pods(2);
        let (notice, is_new) = book.hear(Heard::Forgotten(SubjectId(1)));
        assert!(matches!(notice, Some(Notice::Forgotten(SubjectId(1)))) && is_new);
        assert_eq!(parts(&book), [(1, false)]);
        assert_eq!(book.subjects(), 1);
        assert!(!book.hear(Heard::Forgotten(SubjectId(9))).1);
    }

    #[test]
    fn a_node_is_there_when_anything_is_known_of_it() {
        let mut book = with_pods(1);
        book.hear(Heard::Listed(ObjectKind::Node));
        assert!(book.node_is_listed() && !book.has_node());
        book.hear(Heard::Defined(Arc::new(Subject { kind: SubjectKind::Node, ..(*subject(2, &[])).clone() })));
        assert!(book.has_node());
        book.hear(Heard::Forgotten(SubjectId(2)));
        assert!(!book.has_node());
    }

    #[test]
    fn other_attributes_are_news_and_the_first_ones_are_not() {
        let mut book = Book::default();
        assert!(!book.hear(Heard::Defined(subject(1, &[]))).1);
        book.hear(Heard::Pod(SubjectId(1), Arc::default(), true));
        let (notice, is_new) = book.hear(Heard::Defined(subject(1, &[("zone", "a")])));
        assert!(matches!(notice, Some(Notice::Defined(_))) && is_new);
        let inventories = book.inventories(UnixNanos(1), &Processes::default(), |_| Vec::new());
        assert_eq!(inventories[0].pods[0].attributes, [("zone".to_owned(), "a".to_owned())]);
    }
}
