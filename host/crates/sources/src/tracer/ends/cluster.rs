//! What the API server has told of pods, services and nodes, found by what a connection shows of them. Pure.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Node, ObjectKind, Pod, Protocol, Service, UnixNanos, Workload};

use super::heard::Heard;
use super::known::{KnownNode, KnownPod, KnownService, addresses, addresses_of, addresses_of_node, container_id};
use super::tenures::{Holder, Tenures};
use super::time::rfc3339;
use crate::cgroups::place::PodKey;

/// What a static pod's cgroup is named by, in the order of their worth.
const HASHES: [&str; 2] = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];
/// Pods that have gone and are remembered, at most.
const MOST_GONE: usize = 20_000;

/// Pods, services and nodes.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pods: HashMap<Arc<str>, KnownPod>,
    /// From the hash of a static pod to the uid of its mirror.
    hashes: HashMap<Box<str>, Arc<str>>,
    /// From the ids of containers to the uids of their pods.
    containers: HashMap<Box<str>, Arc<str>>,
    tenures: Tenures,
    /// In the order in which they went.
    gone: VecDeque<(UnixNanos, Arc<str>)>,
    services: HashMap<Arc<str>, KnownService>,
    service_addresses: HashMap<IpAddr, Arc<str>>,
    nodes: HashMap<Arc<str>, KnownNode>,
    node_addresses: HashMap<IpAddr, Arc<str>>,
    listed: Listed,
    version: u64,
}

/// Of which kinds all that were there have been told.
#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    pods: bool,
    services: bool,
    nodes: bool,
}

impl Cluster {
    /// Takes in what was heard.
    pub(super) fn hear(&mut self, heard: Heard) {
        self.version += 1;
        match heard {
            Heard::Pod { pod, at } => self.pod_is(&pod, at),
            Heard::PodGone { uid, at } => self.pod_is_gone(&uid, at),
            Heard::Service(service) => self.service_is(service),
            Heard::ServiceGone { uid } => self.forget_service(&uid),
            Heard::Node(node) => self.node_is(node),
            Heard::NodeGone { name } => self.forget_node(&name),
            Heard::Listed(ObjectKind::Pod) => self.listed.pods = true,
            Heard::Listed(ObjectKind::Service) => self.listed.services = true,
            Heard::Listed(ObjectKind::Node) => self.listed.nodes = true,
            Heard::Listed(ObjectKind::Namespace) => {}
        }
    }

    /// Whether everything that was there at the start is known: only then can it be said what is none of it.
    pub(super) fn is_listed(&self) -> bool {
        self.listed.pods && self.listed.services && self.listed.nodes
    }

    /// Who controls a pod in the end.
    pub(super) fn learn_workload(&mut self, uid: &str, workload: Option<&Workload>) {
        self.version += 1;
        if let Some(known) = self.pods.get_mut(uid).filter(|known| known.workload.as_ref() != workload) {
            known.workload = workload.cloned();
            known.version = self.version;
        }
    }

    pub(super) fn pod(&self, uid: &str) -> Option<&KnownPod> {
        self.pods.get(uid)
    }

    pub(super) fn service(&self, uid: &str) -> Option<&KnownService> {
        self.services.get(uid)
    }

    pub(super) fn node(&self, name: &str) -> Option<&KnownNode> {
        self.nodes.get(name)
    }

    /// The uid of the pod whose cgroup is named so.
    pub(super) fn pod_by_key(&self, key: &PodKey) -> Option<&Arc<str>> {
        match key {
            PodKey::Uid(uid) => self.pods.get_key_value(uid.as_str()).map(|(uid, _)| uid),
            PodKey::ConfigHash(hash) => self.hashes.get(hash.as_str()),
        }
    }

    /// The uid of the pod that has this container.
    pub(super) fn pod_by_container(&self, id: &str) -> Option<&Arc<str>> {
        self.containers.get(id)
    }

    /// The pod that had this address at that time.
    pub(super) fn pod_by_address(&self, address: IpAddr, time: UnixNanos) -> Holder {
        self.tenures.holder(address, time)
    }

    /// The service that has this address, and whether it serves this port.
    pub(super) fn service_by_address(&self, address: IpAddr, port: u16, protocol: Protocol) -> Option<(&Arc<str>, bool)> {
        let uid = self.service_addresses.get(&address)?;
        let known = self.services.get(uid)?;
        let name = match protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Other => "SCTP",
        };
        Some((uid, known.service.ports.iter().any(|served| served.port == port && served.protocol == name)))
    }

    /// The name of the node that has this address.
    pub(super) fn node_by_address(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.node_addresses.get(&address)
    }

    /// The name of a node that is known, as it is remembered.
    pub(super) fn node_name(&self, name: &str) -> Option<&Arc<str>> {
        self.nodes.get_key_value(name).map(|(name, _)| name)
    }

    /// Forgets what went so long ago.
    pub(super) fn expire(&mut self, now: UnixNanos, history: Duration) {
        self.tenures.expire(now, history);
        while let Some((_, uid)) =
            self.gone.pop_front_if(|(time, _)| time.elapsed_until(now) > history).or_else(|| self.too_many_gone())
        {
            if self.pods.get(&uid).is_some_and(|known| known.gone.is_some()) {
                self.forget_pod(&uid);
            }
        }
    }

    fn too_many_gone(&mut self) -> Option<(UnixNanos, Arc<str>)> {
        if self.gone.len() > MOST_GONE { self.gone.pop_front() } else { None }
    }

    fn pod_is(&mut self, pod: &Arc<Pod>, at: UnixNanos) {
        let known = self.pods.get(pod.uid.as_str());
        let (before, workload) = known.map(|known| (addresses_of(&known.pod), known.workload.clone())).unwrap_or_default();
        let uid: Arc<str> =
            self.pods.get_key_value(pod.uid.as_str()).map_or_else(|| pod.uid.as_str().into(), |(uid, _)| Arc::clone(uid));
        self.forget_pod(&uid);
        let addresses = addresses_of(pod);
        for address in before.iter().filter(|address| !addresses.contains(address)) {
            self.tenures.end(*address, &uid, at);
        }
        let from = pod.start_time.as_deref().and_then(rfc3339).unwrap_or(at);
        for address in addresses {
            self.tenures.begin(address, &uid, from, at, pod.deletion_at.is_some());
        }
        for id in pod.containers.iter().filter_map(container_id) {
            self.containers.insert(id.into(), Arc::clone(&uid));
        }
        for hash in hashes(pod) {
            self.hashes.insert(hash.into(), Arc::clone(&uid));
        }
        self.pods.insert(uid, KnownPod { pod: Arc::clone(pod), workload, gone: None, version: self.version });
    }

    fn pod_is_gone(&mut self, uid: &str, at: UnixNanos) {
        let Some((uid, known)) = self.pods.get_key_value(uid) else { return };
        let uid = Arc::clone(uid);
        for address in addresses_of(&known.pod) {
            self.tenures.end(address, &uid, at);
        }
        if let Some(known) = self.pods.get_mut(&uid)
            && known.gone.replace(at).is_none()
        {
            self.gone.push_back((at, uid));
        }
    }

    /// Forgets all but who had an address.
    fn forget_pod(&mut self, uid: &str) {
        let Some(known) = self.pods.remove(uid) else { return };
        for id in known.pod.containers.iter().filter_map(container_id) {
            if self.containers.get(id).is_some_and(|owner| **owner == *uid) {
                self.containers.remove(id);
            }
        }
        for hash in hashes(&known.pod) {
            // A pod that was made anew from the same file may have taken the hash over.
            if self.hashes.get(hash).is_some_and(|owner| **owner == *uid) {
                self.hashes.remove(hash);
            }
        }
    }

    fn service_is(&mut self, service: Arc<Service>) {
        self.forget_service(&service.uid);
        let uid: Arc<str> = service.uid.as_str().into();
        let addresses = addresses(service.cluster_ips.iter().chain(&service.external_ips));
        for address in &addresses {
            self.service_addresses.insert(*address, Arc::clone(&uid));
        }
        self.services.insert(uid, KnownService { service, addresses, version: self.version });
    }

    fn forget_service(&mut self, uid: &str) {
        let Some(known) = self.services.remove(uid) else { return };
        for address in known.addresses {
            if self.service_addresses.get(&address).is_some_and(|owner| **owner == *uid) {
                self.service_addresses.remove(&address);
            }
        }
    }

    fn node_is(&mut self, node: Arc<Node>) {
        self.forget_node(&node.name);
        let name: Arc<str> = node.name.as_str().into();
        let addresses = addresses_of_node(&node);
        for address in &addresses {
            self.node_addresses.insert(*address, Arc::clone(&name));
        }
        self.nodes.insert(name, KnownNode { node, addresses, version: self.version });
    }

    fn forget_node(&mut self, name: &str) {
        let Some(known) = self.nodes.remove(name) else { return };
        for address in known.addresses {
            if self.node_addresses.get(&address).is_some_and(|owner| **owner == *name) {
                self.node_addresses.remove(&address);
            }
        }
    }
}

fn hashes(pod: &Pod) -> impl Iterator<Item = &str> {
    HASHES.iter().filter_map(|name| pod.annotations.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()))
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
pub(super) mod tests;
