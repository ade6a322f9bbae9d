//! Whose the two ends of each connection are. What cannot be known stays nobody's; nothing is guessed.
//!
//! The source is where the process is: its container tells who it is, else its network namespace, else the address. The destination is who
//! sees the same connection from the other side, else a service, a pod or a node by its address, else what lies outside.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::{Protocol, SubjectId, UnixNanos};

use super::cluster::{Cluster, Owner};
use super::known;
use super::subjects::{Identity, Subjects};
use super::tenures::Holder;
use crate::cgroups::place::Place;
use crate::processes::{Process, Processes};
use crate::tracer::row::Reported;

/// What is known while a report is dealt with.
pub(super) struct Resolver<'known> {
    pub(super) cluster: &'known Cluster,
    /// The processes as they are, and as they were at an earlier look: the newest first.
    pub(super) pictures: &'known [Processes],
    /// The name of the node that this process runs on.
    pub(super) node: &'known str,
    /// Whether what is nobody's in the cluster lies outside of it: all of the cluster is known.
    pub(super) knows_outside: bool,
    pub(super) now: Instant,
    /// For how long the node slept since its start: starts of processes count that, what tracers see does not.
    pub(super) slept: Duration,
    /// The ticks in which the kernel counts when a process was started.
    pub(super) ticks_per_second: u64,
}

/// The source of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tracer) struct Source {
    pub(super) subject: Option<SubjectId>,
    /// It is known by its process, not by its address.
    by_process: bool,
}

/// A connection from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Side {
    address: IpAddr,
    port: u16,
    other: IpAddr,
    other_port: u16,
    protocol: Protocol,
    /// Of a connection on loopback, of which there can be an equal one in each network namespace.
    network_namespace: u32,
}

impl Side {
    /// The side on which it was seen; none where it cannot be told from those of other connections.
    fn of(row: &Reported) -> Option<Self> {
        let is_loopback = row.source.is_loopback();
        let network_namespace = if is_loopback { row.network_namespace } else { 0 };
        (!is_loopback || network_namespace != 0).then_some(Self {
            address: row.source,
            port: row.source_port,
            other: row.destination,
            other_port: row.destination_port,
            protocol: row.protocol,
            network_namespace,
        })
    }

    /// The other side of it.
    fn other(self) -> Self {
        let Self { address, port, other, other_port, .. } = self;
        Self { address: other, port: other_port, other: address, other_port: port, ..self }
    }
}

/// Who sees a connection from a side; none where two say that they do.
#[derive(Debug, Default)]
pub(in crate::tracer) struct Sides(HashMap<Side, Option<Source>>);

impl Sides {
    /// This is the source of this connection, if it is known by its process.
    pub(super) fn learn(&mut self, row: &Reported, source: Source) {
        let Some(side) = Side::of(row).filter(|_| source.by_process && source.subject.is_some()) else { return };
        match self.0.entry(side) {
            Entry::Vacant(entry) => drop(entry.insert(Some(source))),
            Entry::Occupied(mut entry) if *entry.get() != Some(source) => drop(entry.insert(None)),
            Entry::Occupied(_) => {}
        }
    }

    /// Who sees this connection from its other side.
    fn other(&self, row: &Reported) -> Option<Source> {
        self.0.get(&Side::of(row)?.other()).copied().flatten()
    }
}

impl Resolver<'_> {
    /// Whose the source is; `time` is when something was last seen of the connection.
    pub(super) fn source(&self, row: &Reported, time: UnixNanos, subjects: &mut Subjects) -> Source {
        let process = self.by_pid(row, time).or_else(|| self.by_namespace(row, time));
        let identity = process.clone().or_else(|| self.by_address(row.source, time));
        Source { subject: identity.and_then(|identity| self.tell(&identity, subjects)), by_process: process.is_some() }
    }

    /// Whose the destination is.
    pub(super) fn destination(
        &self,
        row: &Reported,
        sides: &Sides,
        time: UnixNanos,
        subjects: &mut Subjects,
    ) -> Option<SubjectId> {
        if let Some(other) = sides.other(row) {
            return other.subject;
        }
        let identity = if row.destination.is_loopback() { self.on_loopback(row, time) } else { self.at_destination(row, time) };
        identity.and_then(|identity| self.tell(&identity, subjects))
    }

    /// The container, or the pod, of the process: unless its number is another's by now. That shows where the number has changed hands
    /// between two looks, where the process is younger than what was seen of the connection, or in another network namespace, and
    /// where the address is another pod's.
    fn by_pid(&self, row: &Reported, time: UnixNanos) -> Option<Identity> {
        let mut looks = self.pictures.iter().filter(|picture| picture.see_host());
        let mut found = looks.by_ref().filter_map(|picture| Some((picture, picture.process(row.pid)?)));
        let (picture, process) = found.next()?;
        if found.any(|(_, before)| before.started != process.started) || self.is_younger(process, row) {
            return None;
        }
        let fits = |namespace| row.network_namespace == 0 || namespace == row.network_namespace;
        if !process.network_namespace.is_none_or(fits) {
            return None;
        }
        match &process.place {
            Some(place) => self.at(place).filter(|_| !self.is_anothers(row, self.pod_at(place), time)),
            // A process of the node itself.
            None if picture.host_namespace().is_some() && process.network_namespace == picture.host_namespace() => {
                self.own_node()
            }
            None => None,
        }
    }

    /// Whether the process was started after something was last seen of the connection.
    fn is_younger(&self, process: &Process, row: &Reported) -> bool {
        let started = process.started.saturating_mul(1_000_000_000 / self.ticks_per_second.max(1));
        let slept = u64::try_from(self.slept.as_nanos()).unwrap_or(u64::MAX);
        row.last_seen != 0 && started.saturating_sub(slept) > row.last_seen
    }

    /// The pod whose network namespace it is. That of the node is nobody's, also where it cannot be seen which one that is: a pod on the
    /// network of its node owns none. The number of a namespace is given again at once, so that an older look counts only where the address
    /// says the same.
    fn by_namespace(&self, row: &Reported, time: UnixNanos) -> Option<Identity> {
        let looks = self.pictures.iter().enumerate();
        let mut found = looks.map(|(age, picture)| (age, picture.in_namespace(row.network_namespace)));
        let (age, places) = found.find(|(_, places)| !places.is_empty())?;
        let mut pods = places.iter().filter_map(|place| self.pod_at(place));
        let first = pods.next()?;
        let is_on_host = |uid: &Arc<str>| self.cluster.pod(uid).is_some_and(|known| known.pod.host_network);
        // More than one pod in a namespace that is not the node's: whose it is cannot be known.
        if is_on_host(first) || !pods.all(|pod| pod == first) || self.is_anothers(row, Some(first), time) {
            return None;
        }
        let says_the_same = || self.cluster.pod_by_address(row.source, time) == Holder::Pod(Arc::clone(first));
        (age == 0 || says_the_same()).then(|| Identity::Pod(Arc::clone(first)))
    }

    /// Whether the address of the source is that of another pod, or of a node, and this pod has its own.
    fn is_anothers(&self, row: &Reported, pod: Option<&Arc<str>>, time: UnixNanos) -> bool {
        let Some(uid) = pod.filter(|uid| self.cluster.pod(uid).is_some_and(|known| !known.pod.host_network)) else {
            return false;
        };
        match self.cluster.pod_by_address(row.source, time) {
            Holder::Pod(other) => other != *uid,
            Holder::Several => false,
            Holder::Nobody => self.cluster.node_by_address(row.source) != Owner::Nobody,
        }
    }

    fn at(&self, place: &Place) -> Option<Identity> {
        let uid = self.pod_at(place)?;
        match place {
            Place::Container { id, .. } if self.cluster.pod(uid)?.has_container(id) => {
                Some(Identity::Container(id.as_str().into()))
            }
            // The sandbox of a pod is none of its containers.
            Place::Container { .. } | Place::Pod { .. } => Some(Identity::Pod(Arc::clone(uid))),
        }
    }

    fn pod_at(&self, place: &Place) -> Option<&Arc<str>> {
        let (key, id) = match place {
            Place::Pod { key, .. } => (key, None),
            Place::Container { key, id, .. } => (key, Some(id)),
        };
        self.cluster.pod_by_key(key).or_else(|| self.cluster.pod_by_container(id?))
    }

    fn own_node(&self) -> Option<Identity> {
        self.cluster.node_name(self.node).map(|name| Identity::Node(Arc::clone(name)))
    }

    fn by_address(&self, address: IpAddr, time: UnixNanos) -> Option<Identity> {
        if address.is_loopback() {
            return None;
        }
        match self.cluster.pod_by_address(address, time) {
            Holder::Pod(uid) => Some(Identity::Pod(uid)),
            Holder::Several => None,
            Holder::Nobody => match self.cluster.node_by_address(address) {
                Owner::One(name) => Some(Identity::Node(name)),
                Owner::Nobody | Owner::Unclear => None,
            },
        }
    }

    /// A destination on loopback is in the network namespace of the source.
    fn on_loopback(&self, row: &Reported, time: UnixNanos) -> Option<Identity> {
        let is_host = row.network_namespace != 0
            && self.pictures.iter().any(|picture| picture.host_namespace() == Some(row.network_namespace));
        if is_host { None } else { self.by_namespace(row, time) }
    }

    /// A service, a pod, a node, or what lies outside: if nobody has the address, nobody can, and all of the cluster is known.
    fn at_destination(&self, row: &Reported, time: UnixNanos) -> Option<Identity> {
        let address = row.destination;
        let service = self.cluster.service_by_address(address, row.destination_port, row.protocol);
        if let Owner::One(uid) = service {
            return Some(Identity::Service(uid));
        }
        let known = self.by_address(address, time);
        let is_free = service == Owner::Nobody
            && self.cluster.node_by_address(address) == Owner::Nobody
            && !self.cluster.has_room_for(address);
        known.or_else(|| (is_free && self.knows_outside && can_be_outside(address)).then_some(Identity::Outside))
    }

    fn tell(&self, identity: &Identity, subjects: &mut Subjects) -> Option<SubjectId> {
        let cluster = self.cluster;
        match identity {
            Identity::Container(container) => {
                let known = cluster.pod(cluster.pod_by_container(container)?)?;
                subjects.tell(identity, known.version, self.now, |id| known.container_subject(container, id))
            }
            Identity::Pod(uid) => {
                let known = cluster.pod(uid)?;
                subjects.tell(identity, known.version, self.now, |id| Some(known.subject(id)))
            }
            Identity::Service(uid) => {
                let known = cluster.service(uid)?;
                subjects.tell(identity, known.version, self.now, |id| Some(known.subject(id)))
            }
            Identity::Node(name) => {
                let known = cluster.node(name)?;
                subjects.tell(identity, known.version, self.now, |id| Some(known.subject(id)))
            }
            Identity::Outside => subjects.tell(identity, 0, self.now, |id| Some(known::outside(id))),
        }
    }
}

/// Whether an address can be that of a machine elsewhere.
fn can_be_outside(address: IpAddr) -> bool {
    let is_within_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(is_within_link || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
