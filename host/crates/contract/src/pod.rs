//! A pod as modules see it: the fields that people ask for, typed. Kubernetes' names, Kubernetes' texts.
//!
//! As JSON (in case files) a pod has the WIT's names and shapes; what is absent may be left out.

use serde::{Deserialize, Serialize};

/// A pod. Texts are as the API writes them; an absent text is `None` or empty where that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pod {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`, sorted by key.
    pub labels: Vec<(String, String)>,
    /// `metadata.annotations`, sorted by key.
    pub annotations: Vec<(String, String)>,
    /// `metadata.ownerReferences`, in the API's order.
    pub owners: Vec<Owner>,
    /// `metadata.creationTimestamp`, RFC 3339.
    pub created_at: Option<String>,
    /// `metadata.deletionTimestamp`, RFC 3339: when the pod is to be gone; set from the moment that its deletion is asked for.
    pub deletion_at: Option<String>,
    /// `spec.nodeName`; none while it is not scheduled.
    pub node_name: Option<String>,
    /// `spec.serviceAccountName`
    pub service_account: Option<String>,
    /// `spec.hostNetwork`
    pub host_network: bool,
    /// `status.qosClass`
    pub qos_class: Option<QosClass>,
    /// `status.phase`
    pub phase: Option<Phase>,
    /// `status.reason`, such as `Evicted`.
    pub reason: Option<String>,
    /// `status.hostIP`
    pub host_ip: Option<String>,
    /// `status.podIP` first, then the others of `status.podIPs`.
    pub pod_ips: Vec<String>,
    /// `status.startTime`, RFC 3339.
    pub start_time: Option<String>,
    /// Every container: init containers, then app containers, then ephemeral ones, each group in the order of the spec.
    pub containers: Vec<Container>,
}

/// Who owns an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Owner {
    /// Such as `apps/v1`. Not told to modules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is the managing controller.
    #[serde(default)]
    pub controller: bool,
}

/// `status.qosClass`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QosClass {
    /// `Guaranteed`
    Guaranteed,
    /// `Burstable`
    Burstable,
    /// `BestEffort`
    BestEffort,
}

/// `status.phase`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// `Pending`
    Pending,
    /// `Running`
    Running,
    /// `Succeeded`
    Succeeded,
    /// `Failed`
    Failed,
    /// `Unknown`, and every text that Kubernetes does not define.
    Unknown,
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Container {
    /// Its name, unique within the pod.
    pub name: String,
    /// Which list of the spec it stands in.
    pub kind: ContainerKind,
    /// The image as the spec names it.
    pub image: String,
    /// `ports`, in the order of the spec.
    #[serde(default)]
    pub ports: Vec<ContainerPort>,
    /// `resources.requests`: name and quantity as the API writes it (`250m`, `64Mi`), sorted by name.
    #[serde(default)]
    pub requests: Vec<(String, String)>,
    /// `resources.limits`, likewise.
    #[serde(default)]
    pub limits: Vec<(String, String)>,
    /// What the kubelet says of it; none until it has said something.
    pub status: Option<ContainerStatus>,
}

/// Which list of the spec a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerKind {
    /// `initContainers`
    Init,
    /// `containers`
    App,
    /// `ephemeralContainers`
    Ephemeral,
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContainerPort {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The port in the container.
    pub port: u16,
    /// The port on the node, where it has one.
    pub host_port: Option<u16>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// What the kubelet says of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ContainerStatus {
    /// The image as the runtime resolved it.
    pub image: String,
    /// The image with its digest, such as `docker.io/library/nginx@sha256:…`; empty while unknown.
    #[serde(default)]
    pub image_id: String,
    /// The id with its scheme, such as `containerd://…`; none until the container was created.
    pub container_id: Option<String>,
    /// Waiting, running or terminated.
    pub state: ContainerState,
    /// Whether it passes its readiness probe.
    #[serde(default)]
    pub ready: bool,
    /// How often it was restarted.
    #[serde(default)]
    pub restart_count: u32,
}

/// The state of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    /// Not running yet, or waiting to be started again; the reason, such as `CrashLoopBackOff`.
    Waiting(Option<String>),
    /// Running since (RFC 3339).
    Running(Option<String>),
    /// It has ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Terminated {
    /// The exit code.
    pub exit_code: i32,
    /// Such as `Completed`, `Error` or `OOMKilled`.
    pub reason: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
}

impl Pod {
    /// Roughly how many bytes the pod holds in memory.
    pub fn weight(&self) -> usize {
        let pairs = |pairs: &[(String, String)]| -> usize { pairs.iter().map(|(key, value)| 48 + key.len() + value.len()).sum() };
        let containers: usize = self
            .containers
            .iter()
            .map(|container| {
                let status = container.status.as_ref().map_or(0, |status| {
                    status.image.len() + status.image_id.len() + status.container_id.as_ref().map_or(0, String::len)
                });
                size_of::<Container>()
                    + container.name.len()
                    + container.image.len()
                    + container.ports.len() * size_of::<ContainerPort>()
                    + pairs(&container.requests)
                    + pairs(&container.limits)
                    + status
            })
            .sum();
        let owners: usize = self.owners.iter().map(|owner| size_of::<Owner>() + owner.name.len() + owner.uid.len()).sum();
        size_of::<Self>()
            + self.uid.len()
            + self.namespace.len()
            + self.name.len()
            + pairs(&self.labels)
            + pairs(&self.annotations)
            + owners
            + containers
    }
}
