//! A service as modules see it: the fields that people ask for, typed. Kubernetes' names, Kubernetes' texts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Change, SubjectId, UnixNanos};

/// A change of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServiceEvent {
    /// The service's subject.
    pub subject: SubjectId,
    /// What happened.
    pub change: Change,
    /// When the host observed it; kept through queues and outages.
    #[serde(rename = "observed-at-unix-nanos")]
    pub observed_at: UnixNanos,
    /// The service as it is now; its last known state when it has gone.
    pub service: Arc<Service>,
    /// The service as it was in the event before; none in the first event about it.
    pub previous: Option<Arc<Service>>,
}

/// A service. Texts are as the API writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Service {
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
    /// `metadata.creationTimestamp`, RFC 3339.
    pub created_at: Option<String>,
    /// `spec.type`: `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub service_type: String,
    /// `spec.clusterIP` first, then the others of `spec.clusterIPs`; empty for a headless service and one that stands for a name.
    pub cluster_ips: Vec<String>,
    /// `spec.externalIPs`, then the addresses of `status.loadBalancer.ingress`.
    pub external_ips: Vec<String>,
    /// `spec.externalName`
    pub external_name: Option<String>,
    /// `spec.ports`, in the API's order.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`, sorted by key.
    pub selector: Vec<(String, String)>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServicePort {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// The port of the service.
    pub port: u16,
    /// The port of the pods behind it: a number or the name of one of their ports; none where the API does not say.
    pub target_port: Option<String>,
    /// The port on every node, where it has one.
    pub node_port: Option<u16>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

impl Service {
    /// Roughly how many bytes it holds in memory.
    pub fn weight(&self) -> usize {
        let pair = |(name, value): &(String, String)| 48 + name.len() + value.len();
        let pairs = [&self.labels, &self.annotations, &self.selector];
        let port = |port: &ServicePort| {
            size_of::<ServicePort>()
                + port.protocol.len()
                + port.name.as_ref().map_or(0, String::len)
                + port.target_port.as_ref().map_or(0, String::len)
        };
        size_of::<Self>()
            + [&self.uid, &self.namespace, &self.name, &self.service_type].iter().map(|text| text.len()).sum::<usize>()
            + [&self.created_at, &self.external_name].into_iter().flatten().map(String::len).sum::<usize>()
            + self.cluster_ips.iter().chain(&self.external_ips).map(|text| 24 + text.len()).sum::<usize>()
            + pairs.into_iter().flatten().map(pair).sum::<usize>()
            + self.ports.iter().map(port).sum::<usize>()
    }
}
