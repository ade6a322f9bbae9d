//! What runs on this node, all at once: the node, its pods with those who own them, their containers with their processes.

use serde::{Deserialize, Serialize};

use crate::pod::ContainerKind;
use crate::{SubjectId, UnixNanos};

/// The inventory of this node at one time; a large one comes in several of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Inventory {
    /// When; the same for all parts.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// Whether another part of the same inventory follows.
    #[serde(default)]
    pub more: bool,
    /// The node; none while the API server has not told of it.
    #[serde(default)]
    pub node: Option<InventoryNode>,
    /// The pods that are bound to the node.
    #[serde(default)]
    pub pods: Vec<InventoryPod>,
}

/// The node. Texts are as the API writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InventoryNode {
    /// The node's subject.
    pub subject: SubjectId,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.name`
    pub name: String,
    /// `status.addresses`: the type, such as `InternalIP`, and the address.
    #[serde(default)]
    pub addresses: Vec<(String, String)>,
    /// `status.nodeInfo.kernelVersion`
    #[serde(default)]
    pub kernel_version: String,
    /// `metadata.labels`, sorted by key.
    #[serde(default)]
    pub labels: Vec<(String, String)>,
    /// `status.allocatable`: resource and quantity, sorted by resource.
    #[serde(default)]
    pub allocatable: Vec<(String, String)>,
    /// What the configuration names besides, each name once.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
}

/// A pod of the node. Texts are as the API writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InventoryPod {
    /// The pod's subject.
    pub subject: SubjectId,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `status.podIP` first, then the others of `status.podIPs`.
    #[serde(default)]
    pub pod_ips: Vec<String>,
    /// `spec.hostNetwork`
    #[serde(default)]
    pub host_network: bool,
    /// `status.phase`
    #[serde(default)]
    pub phase: Option<String>,
    /// Who controls it: first the pod's own controller, then who controls that, up to the top; empty for a pod of nobody. Where a step
    /// could not be asked for, it ends there.
    #[serde(default)]
    pub owners: Vec<Workload>,
    /// Its containers, in the order of the pod.
    #[serde(default)]
    pub containers: Vec<InventoryContainer>,
    /// What the configuration names besides, each name once.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
}

/// Somebody who controls pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Workload {
    /// Such as `apps/v1`.
    #[serde(default)]
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct InventoryContainer {
    /// Its name, unique within the pod.
    pub name: String,
    /// Which list of the spec it stands in.
    pub kind: ContainerKind,
    /// Its id without the scheme; none until it was created.
    #[serde(default)]
    pub id: Option<String>,
    /// The image as the spec names it.
    #[serde(default)]
    pub image: String,
    /// Its processes as the node numbers them, ascending; empty when it does not run, or where they cannot be seen.
    #[serde(default)]
    pub pids: Vec<u32>,
    /// `ports`, in the order of the spec.
    #[serde(default)]
    pub ports: Vec<crate::pod::ContainerPort>,
}

impl Inventory {
    /// The same inventory with the pods of these subjects only.
    #[must_use]
    pub fn only(&self, keep: impl Fn(SubjectId) -> bool) -> Self {
        Self {
            observed_at: self.observed_at,
            more: self.more,
            node: self.node.clone().filter(|node| keep(node.subject)),
            pods: self.pods.iter().filter(|pod| keep(pod.subject)).cloned().collect(),
        }
    }

    /// Two parts of it, each with the node; none when there are fewer than two pods.
    pub fn halves(&self) -> Option<(Self, Self)> {
        let count = self.pods.len();
        let (left, right) = self.pods.split_at_checked(count / 2).filter(|_| count > 1)?;
        let part = |pods: &[InventoryPod], more| Self {
            observed_at: self.observed_at,
            more,
            node: self.node.clone(),
            pods: pods.to_vec(),
        };
        Some((part(left, true), part(right, self.more)))
    }

    /// The subjects that it tells of.
    pub fn subjects(&self) -> impl Iterator<Item = SubjectId> {
        self.node.iter().map(|node| node.subject).chain(self.pods.iter().map(|pod| pod.subject))
    }

    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let node = self.node.as_ref().map_or(0, InventoryNode::weight);
        size_of::<Self>() + node + self.pods.iter().map(InventoryPod::weight).sum::<usize>()
    }
}

fn pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| 48 + name.len() + value.len()).sum()
}

impl InventoryNode {
    fn weight(&self) -> usize {
        let lists = [&self.addresses, &self.labels, &self.allocatable, &self.attributes];
        self.uid.len() + self.name.len() + self.kernel_version.len() + lists.into_iter().map(|list| pairs(list)).sum::<usize>()
    }
}

impl InventoryPod {
    fn weight(&self) -> usize {
        let owner = |owner: &Workload| {
            size_of::<Workload>() + owner.api_version.len() + owner.kind.len() + owner.name.len() + owner.uid.len()
        };
        let container = |container: &InventoryContainer| {
            size_of::<InventoryContainer>()
                + container.name.len()
                + container.image.len()
                + container.id.as_ref().map_or(0, String::len)
                + 4 * container.pids.len()
                + 96 * container.ports.len()
        };
        size_of::<Self>()
            + self.uid.len()
            + self.namespace.len()
            + self.name.len()
            + self.pod_ips.iter().map(|text| 24 + text.len()).sum::<usize>()
            + pairs(&self.attributes)
            + self.owners.iter().map(owner).sum::<usize>()
            + self.containers.iter().map(container).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(pods: &[u32]) -> Inventory {
        let pod = |subject: &u32| InventoryPod {
            subject: SubjectId(*subject),
            uid: subject.to_string(),
            namespace: "n".to_owned(),
            name: "p".to_owned(),
            pod_ips: Vec::new(),
            host_network: false,
            phase: None,
            owners: Vec::new(),
            containers: Vec::new(),
            attributes: Vec::new(),
        };
        Inventory { observed_at: UnixNanos(1), more: false, node: None, pods: pods.iter().map(pod).collect() }
    }

    #[test]
    fn the_first_half_says_that_more_comes() {
        let (left, right) = inventory(&[1, 2, 3]).halves().unwrap();
        assert_eq!((left, right), (Inventory { more: true, ..inventory(&[1]) }, inventory(&[2, 3])));
        assert_eq!(inventory(&[1]).halves(), None);
    }

    #[test]
    fn what_is_left_out_is_not_told() {
        assert_eq!(inventory(&[1, 2]).only(|subject| subject == SubjectId(2)), inventory(&[2]));
    }
}
