//! What the API server has told of pods, services and nodes, found by what a connection shows of them. Pure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Node, ObjectKind, Pod, Protocol, Service, UnixNanos, Workload};

use super::cidrs::Cidrs;
use super::heard::{Heard, Pairs};
use super::known::{KnownNode, KnownPod, KnownService, addresses, addresses_of, addresses_of_node, container_id};
use super::tenures::{Holder, Tenures};
use super::time::rfc3339;
use crate::cgroups::place::PodKey;

/// What a static pod's cgroup is named by, in the order of their worth.
const HASHES: [&str; 2] = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];
/// Pods that have gone and are remembered, at most.
const MOST_GONE: usize = 20_000;
/// Addresses of services and nodes that have gone and are remembered, at most.
const MOST_FREED: usize = 20_000;

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
    /// The services that have an address at all, and those that serve a port there: many can share an address, as behind a load balancer.
    service_addresses: HashMap<IpAddr, usize>,
    service_ports: HashMap<(IpAddr, u16), Vec<Arc<str>>>,
    nodes: HashMap<Arc<str>, KnownNode>,
    node_addresses: HashMap<IpAddr, Vec<Arc<str>>>,
    freed: Freed,
    /// Ranges of addresses of pods, and what the configuration names besides.
    ranges: Cidrs,
    listed: Listed,
    /// There was no room for some that are there.
    is_incomplete: bool,
    version: u64,
}

/// Whose an address is, of those who can share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    One(Arc<str>),
    /// One of several, or somebody who does not serve this port.
    Unclear,
}

/// Of which kinds all that were there have been told.
#[derive(Clone, Copy, Debug, Default)]
struct Listed {
    pods: bool,
    services: bool,
    nodes: bool,
}

impl Cluster {
    /// Knows nobody. Addresses in these ranges are never outside.
    pub(super) fn new(ranges: &[String]) -> Self {
        let mut cluster = Self::default();
        for range in ranges {
            cluster.ranges.insert(range);
        }
        cluster
    }

    /// Takes in what was heard.
    pub(super) fn hear(&mut self, heard: Heard) {
        self.version += 1;
        match heard {
            Heard::Pod { pod, attributes, at } => self.pod_is(&pod, attributes, at),
            Heard::PodGone { uid, at } => self.pod_is_gone(&uid, at),
            Heard::Service { service, attributes } => self.service_is(service, attributes),
            Heard::ServiceGone { uid } => self.forget_service(&uid),
            Heard::Node { node, attributes } => self.node_is(node, attributes),
            Heard::NodeGone { name } => self.forget_node(&name),
            Heard::NoRoom => self.is_incomplete = true,
            Heard::Listed(ObjectKind::Pod) => self.listed.pods = true,
            Heard::Listed(ObjectKind::Service) => self.listed.services = true,
            Heard::Listed(ObjectKind::Node) => self.listed.nodes = true,
            Heard::Listed(ObjectKind::Namespace) => {}
        }
    }

    /// Whether everything that was there at the start has been told.
    pub(super) fn is_listed(&self) -> bool {
        self.listed.pods && self.listed.services && self.listed.nodes
    }

    /// Whether all that there is is known: only then can it be said what is none of it.
    pub(super) fn is_complete(&self) -> bool {
        self.is_listed() && !self.is_incomplete
    }

    /// Whether the address is of the cluster, or was not long ago, whoever has it now.
    pub(super) fn has_room_for(&self, address: IpAddr) -> bool {
        self.tenures.know(address) || self.ranges.contain(address) || self.freed.know(address)
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

    /// The service that serves this port at this address.
    pub(super) fn service_by_address(&self, address: IpAddr, port: u16, protocol: Protocol) -> Owner {
        if !self.service_addresses.contains_key(&address) {
            return Owner::Nobody;
        }
        let uids = self.service_ports.get(&(address, port)).map(Vec::as_slice).unwrap_or_default();
        let speaks = |name: &str| match protocol {
            Protocol::Tcp => name == "TCP",
            Protocol::Udp => name == "UDP",
            // What is spoken was not told.
            Protocol::Other => true,
        };
        let serves = |uid: &&Arc<str>| {
            let served = self.services.get(*uid).map(|known| known.service.ports.as_slice()).unwrap_or_default();
            served.iter().any(|served| served.port == port && speaks(&served.protocol))
        };
        let mut serving = uids.iter().filter(serves);
        match (serving.next(), serving.next()) {
            (Some(uid), None) => Owner::One(Arc::clone(uid)),
            _ => Owner::Unclear,
        }
    }

    /// The name of the node that has this address.
    pub(super) fn node_by_address(&self, address: IpAddr) -> Owner {
        match self.node_addresses.get(&address).map(Vec::as_slice) {
            None | Some([]) => Owner::Nobody,
            Some([name]) => Owner::One(Arc::clone(name)),
            Some(_) => Owner::Unclear,
        }
    }

    /// The name of a node that is known, as it is remembered.
    pub(super) fn node_name(&self, name: &str) -> Option<&Arc<str>> {
        self.nodes.get_key_value(name).map(|(name, _)| name)
    }

    /// Forgets what went so long ago.
    pub(super) fn expire(&mut self, now: UnixNanos, history: Duration) {
        self.tenures.expire(now, history);
        self.freed.expire(now, history);
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

    fn pod_is(&mut self, pod: &Arc<Pod>, attributes: Pairs, at: UnixNanos) {
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
        self.pods.insert(uid, KnownPod { pod: Arc::clone(pod), attributes, workload, gone: None, version: self.version });
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

    fn service_is(&mut self, service: Arc<Service>, attributes: Pairs) {
        self.forget_service(&service.uid);
        let uid: Arc<str> = service.uid.as_str().into();
        let addresses = addresses(service.cluster_ips.iter().chain(&service.external_ips));
        for address in &addresses {
            self.freed.remove(*address);
            *self.service_addresses.entry(*address).or_default() += 1;
            for port in &service.ports {
                add(&mut self.service_ports, (*address, port.port), &uid);
            }
        }
        self.services.insert(uid, KnownService { service, attributes, addresses, version: self.version });
    }

    fn forget_service(&mut self, uid: &str) {
        if let Some(known) = self.services.remove(uid) {
            for address in known.addresses {
                if let Some(count) = self.service_addresses.get_mut(&address) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.service_addresses.remove(&address);
                    }
                }
                for port in &known.service.ports {
                    take(&mut self.service_ports, (address, port.port), uid);
                }
                self.freed.insert(address);
            }
        }
    }

    fn node_is(&mut self, node: Arc<Node>, attributes: Pairs) {
        self.forget_node(&node.name);
        let name: Arc<str> = node.name.as_str().into();
        let addresses = addresses_of_node(&node);
        for address in &addresses {
            self.freed.remove(*address);
            add(&mut self.node_addresses, *address, &name);
        }
        node.pod_cidrs.iter().for_each(|range| self.ranges.insert(range));
        self.nodes.insert(name, KnownNode { node, attributes, addresses, version: self.version });
    }

    fn forget_node(&mut self, name: &str) {
        if let Some(known) = self.nodes.remove(name) {
            for address in known.addresses {
                take(&mut self.node_addresses, address, name);
                self.freed.insert(address);
            }
            known.node.pod_cidrs.iter().for_each(|range| self.ranges.remove(range));
        }
    }
}

/// Adds somebody to those who have this.
fn add<Key: Eq + Hash>(owners: &mut HashMap<Key, Vec<Arc<str>>>, key: Key, owner: &Arc<str>) {
    let owners = owners.entry(key).or_default();
    if !owners.contains(owner) {
        owners.push(Arc::clone(owner));
    }
}

/// Takes him away again.
fn take<Key: Eq + Hash>(owners: &mut HashMap<Key, Vec<Arc<str>>>, key: Key, owner: &str) {
    if let Entry::Occupied(mut others) = owners.entry(key) {
        others.get_mut().retain(|other| **other != *owner);
        if others.get().is_empty() {
            others.remove();
        }
    }
}

/// Addresses that services and nodes had until not long ago.
#[derive(Debug, Default)]
struct Freed {
    /// Since when; none until somebody tells the time.
    since: HashMap<IpAddr, Option<UnixNanos>>,
}

impl Freed {
    fn insert(&mut self, address: IpAddr) {
        if self.since.len() < MOST_FREED {
            self.since.insert(address, None);
        }
    }

    fn remove(&mut self, address: IpAddr) {
        self.since.remove(&address);
    }

    /// So many that not all could be remembered may have had any.
    fn know(&self, address: IpAddr) -> bool {
        self.since.len() >= MOST_FREED || self.since.contains_key(&address)
    }

    fn expire(&mut self, now: UnixNanos, history: Duration) {
        self.since.retain(|_, since| since.get_or_insert(now).elapsed_until(now) <= history);
    }
}

fn hashes(pod: &Pod) -> impl Iterator<Item = &str> {
    HASHES.iter().filter_map(|name| pod.annotations.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()))
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
pub(super) mod tests;
