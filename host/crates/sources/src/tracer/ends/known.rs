//! What is known of the objects that can be at the end of a connection. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use sluicebox_contract::pod::{Container, ContainerKind, Phase};
use sluicebox_contract::{Node, Pod, Service, Subject, SubjectId, SubjectKind, UnixNanos, Workload};

use super::heard::Pairs;

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct KnownPod {
    pub(super) pod: Arc<Pod>,
    /// What the configuration names of it.
    pub(super) attributes: Pairs,
    /// Who controls it in the end, once that is known.
    pub(super) workload: Option<Workload>,
    /// Since when it has gone.
    pub(super) gone: Option<UnixNanos>,
    /// Raised with every change.
    pub(super) version: u64,
}

/// A service.
#[derive(Clone, Debug)]
pub(super) struct KnownService {
    pub(super) service: Arc<Service>,
    /// What the configuration names of it.
    pub(super) attributes: Pairs,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) version: u64,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct KnownNode {
    pub(super) node: Arc<Node>,
    /// What the configuration names of it.
    pub(super) attributes: Pairs,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) version: u64,
}

/// The addresses that are the pod's own: none of one on the network of its node, and of one that has ended, whose address is free.
pub(super) fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    if pod.host_network || has_ended(pod) {
        return Vec::new();
    }
    addresses(pod.pod_ips.iter())
}

/// Whether all of its containers have ended for good.
fn has_ended(pod: &Pod) -> bool {
    matches!(pod.phase, Some(Phase::Succeeded | Phase::Failed))
}

/// Those of these texts that are addresses.
pub(super) fn addresses<'texts>(texts: impl Iterator<Item = &'texts String>) -> Vec<IpAddr> {
    texts.filter_map(|text| text.parse::<IpAddr>().ok()).map(|address| address.to_canonical()).collect()
}

/// The addresses that a node has on a network.
pub(super) fn addresses_of_node(node: &Node) -> Vec<IpAddr> {
    addresses(node.addresses.iter().filter(|(kind, _)| kind.ends_with("IP")).map(|(_, address)| address))
}

/// The id of a container that was created, without the scheme.
pub(super) fn container_id(container: &Container) -> Option<&str> {
    let id = container.status.as_ref()?.container_id.as_deref()?;
    Some(id.split_once("://").map_or(id, |(_, id)| id))
}

impl KnownPod {
    /// The pod as lanes are told of it.
    pub(super) fn subject(&self, id: SubjectId) -> Subject {
        let image = self.pod.containers.iter().find(|container| container.kind == ContainerKind::App);
        Subject {
            id,
            kind: SubjectKind::Pod,
            uid: self.pod.uid.clone(),
            namespace: self.pod.namespace.clone(),
            name: self.pod.name.clone(),
            attributes: self.with_own(self.of_pod(image.map(|container| container.image.as_str()))),
        }
    }

    /// One of its containers, likewise; none where it has none of this id.
    pub(super) fn container_subject(&self, container_id: &str, id: SubjectId) -> Option<Subject> {
        let container = self.container(container_id)?;
        let kind = match container.kind {
            ContainerKind::Init => "init",
            ContainerKind::App => "app",
            ContainerKind::Ephemeral => "ephemeral",
        };
        let mut attributes =
            vec![attribute("pod-uid", &self.pod.uid), attribute("pod-name", &self.pod.name), attribute("container-kind", kind)];
        attributes.extend(self.of_pod(Some(&container.image)));
        Some(Subject {
            id,
            kind: SubjectKind::Container,
            uid: container_id.to_owned(),
            namespace: self.pod.namespace.clone(),
            name: container.name.clone(),
            attributes: self.with_own(attributes),
        })
    }

    /// Whether it has a container of this id.
    pub(super) fn has_container(&self, id: &str) -> bool {
        self.container(id).is_some()
    }

    fn container(&self, id: &str) -> Option<&Container> {
        self.pod.containers.iter().find(|container| container_id(container) == Some(id))
    }

    fn with_own(&self, attributes: Pairs) -> Pairs {
        all(&self.attributes, attributes)
    }

    fn of_pod(&self, image: Option<&str>) -> Pairs {
        let workload = self.workload.as_ref();
        let all = [
            ("pod-ip", self.pod.pod_ips.first().map(String::as_str)),
            ("node-name", self.pod.node_name.as_deref()),
            ("image", image),
            ("workload-kind", workload.map(|workload| workload.kind.as_str())),
            ("workload-name", workload.map(|workload| workload.name.as_str())),
        ];
        all.into_iter().filter_map(|(name, value)| Some(attribute(name, value?))).collect()
    }
}

impl KnownService {
    /// The service as lanes are told of it.
    pub(super) fn subject(&self, id: SubjectId) -> Subject {
        let service = &self.service;
        let mut attributes = vec![attribute("service-type", &service.service_type)];
        attributes.extend(service.cluster_ips.first().map(|address| attribute("cluster-ip", address)));
        attributes.extend(service.ports.first().map(|port| attribute("ports", &format!("{}/{}", port.port, port.protocol))));
        Subject {
            id,
            kind: SubjectKind::Service,
            uid: service.uid.clone(),
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            attributes: all(&self.attributes, attributes),
        }
    }
}

impl KnownNode {
    /// The node as lanes are told of it.
    pub(super) fn subject(&self, id: SubjectId) -> Subject {
        let node = &self.node;
        let mut attributes: Vec<_> = node.internal_ip().map(|address| attribute("node-ip", address)).into_iter().collect();
        attributes.push(attribute("kernel-version", &node.kernel_version));
        Subject {
            id,
            kind: SubjectKind::Node,
            uid: node.uid.clone(),
            namespace: String::new(),
            name: node.name.clone(),
            attributes: all(&self.attributes, attributes),
        }
    }
}

/// All that is neither in the cluster nor of it.
pub(super) fn outside(id: SubjectId) -> Subject {
    let (uid, namespace, attributes) = (String::new(), String::new(), Vec::new());
    Subject { id, kind: SubjectKind::Outside, uid, namespace, name: "outside".to_owned(), attributes }
}

/// What the configuration names comes first; a name stands once.
fn all(named: &Pairs, known: Pairs) -> Pairs {
    let is_new = |(name, _): &(String, String)| named.iter().all(|(other, _)| other != name);
    let mut all = named.clone();
    all.extend(known.into_iter().filter(is_new));
    all
}

fn attribute(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
