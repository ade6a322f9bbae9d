//! A node as modules see it: the fields that people ask for, typed. Kubernetes' names, Kubernetes' texts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Change, SubjectId, UnixNanos};

/// A change of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeEvent {
    /// The node's subject.
    pub subject: SubjectId,
    /// What happened.
    pub change: Change,
    /// When the host observed it; kept through queues and outages.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// The node as it is now; its last known state when it has gone.
    pub node: Arc<Node>,
    /// The node as it was in the event before; none in the first event about it.
    pub previous: Option<Arc<Node>>,
}

/// A node. Texts are as the API writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Node {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`, sorted by key.
    pub labels: Vec<(String, String)>,
    /// `metadata.annotations`, sorted by key.
    pub annotations: Vec<(String, String)>,
    /// `metadata.creationTimestamp`, RFC 3339.
    pub created_at: Option<String>,
    /// `status.addresses`, in the API's order: the type, such as `InternalIP`, and the address.
    pub addresses: Vec<(String, String)>,
    /// `spec.podCIDR` first, then the others of `spec.podCIDRs`.
    pub pod_cidrs: Vec<String>,
    /// `spec.unschedulable`
    pub unschedulable: bool,
    /// Whether the condition `Ready` is `True`.
    pub ready: bool,
    /// `status.nodeInfo.kernelVersion`
    pub kernel_version: String,
    /// `status.nodeInfo.osImage`
    pub os_image: String,
    /// `status.nodeInfo.operatingSystem`
    pub operating_system: String,
    /// `status.nodeInfo.architecture`
    pub architecture: String,
    /// `status.nodeInfo.containerRuntimeVersion`
    pub container_runtime_version: String,
    /// `status.nodeInfo.kubeletVersion`
    pub kubelet_version: String,
    /// `status.capacity`: resource and quantity, sorted by resource.
    pub capacity: Vec<(String, String)>,
    /// `status.allocatable`, likewise.
    pub allocatable: Vec<(String, String)>,
}

impl Node {
    /// The address that a node is known by within the cluster: the first of type `InternalIP`.
    pub fn internal_ip(&self) -> Option<&str> {
        self.addresses.iter().find(|(kind, _)| kind == "InternalIP").map(|(_, address)| address.as_str())
    }

    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let pair = |(name, value): &(String, String)| 48 + name.len() + value.len();
        let pairs = [&self.labels, &self.annotations, &self.addresses, &self.capacity, &self.allocatable];
        let texts = [
            &self.uid,
            &self.name,
            &self.kernel_version,
            &self.os_image,
            &self.operating_system,
            &self.architecture,
            &self.container_runtime_version,
            &self.kubelet_version,
        ];
        size_of::<Self>()
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + self.created_at.as_ref().map_or(0, String::len)
            + self.pod_cidrs.iter().map(|text| 24 + text.len()).sum::<usize>()
            + pairs.into_iter().flatten().map(pair).sum::<usize>()
    }
}
