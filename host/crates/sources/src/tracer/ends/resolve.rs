//! Whose the two ends of each connection are. What cannot be known stays nobody's; nothing is guessed.
//!
//! The source is where the process is: its container tells who it is, else its network namespace, else the address. The destination is who
//! sees the same connection from the other side, else a service, a pod or a node by its address, else what lies outside.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sluicebox_contract::{Protocol, SubjectId, UnixNanos};

use super::cluster::Cluster;
use super::known;
use super::subjects::{Identity, Subjects};
use super::tenures::Holder;
use crate::cgroups::place::Place;
use crate::processes::Processes;
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
        let process = self.by_pid(row).or_else(|| self.by_namespace(row.network_namespace));
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
        let identity = if row.destination.is_loopback() {
            self.on_loopback(row)
        } else {
            self.by_service(row).or_else(|| self.by_address_or_outside(row, time))
        };
        identity.and_then(|identity| self.tell(&identity, subjects))
    }

    /// The container, or the pod, of the process: unless its number is another's by now, as its network namespace shows.
    fn by_pid(&self, row: &Reported) -> Option<Identity> {
        let fits = |namespace: Option<u32>| {
            namespace.is_none_or(|namespace| row.network_namespace == 0 || namespace == row.network_namespace)
        };
        let processes = self.pictures.iter().filter_map(|picture| Some((picture, picture.process(row.pid)?)));
        let mut processes = processes.filter(|(_, process)| fits(process.network_namespace));
        let (picture, process) = processes.next()?;
        match &process.place {
            Some(place) => self.at(place),
            // A process of the node itself.
            None if picture.host_namespace().is_some() && process.network_namespace == picture.host_namespace() => {
                self.own_node()
            }
            None => None,
        }
    }

    /// The pod whose network namespace it is. That of the node is nobody's.
    fn by_namespace(&self, inode: u32) -> Option<Identity> {
        let places = self.pictures.iter().map(|picture| picture.in_namespace(inode)).find(|places| !places.is_empty())?;
        let mut pods = places.iter().filter_map(|place| self.pod_at(place));
        let first = pods.next()?;
        // More than one pod in a namespace that is not the node's: whose it is cannot be known.
        pods.all(|pod| pod == first).then(|| Identity::Pod(Arc::clone(first)))
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
            Holder::Nobody => self.cluster.node_by_address(address).map(|name| Identity::Node(Arc::clone(name))),
        }
    }

    /// A destination on loopback is in the network namespace of the source.
    fn on_loopback(&self, row: &Reported) -> Option<Identity> {
        let is_host = row.network_namespace != 0
            && self.pictures.iter().any(|picture| picture.host_namespace() == Some(row.network_namespace));
        if is_host { None } else { self.by_namespace(row.network_namespace) }
    }

    fn by_service(&self, row: &Reported) -> Option<Identity> {
        let (uid, serves) = self.cluster.service_by_address(row.destination, row.destination_port, row.protocol)?;
        serves.then(|| Identity::Service(Arc::clone(uid)))
    }

    fn by_address_or_outside(&self, row: &Reported, time: UnixNanos) -> Option<Identity> {
        let address = row.destination;
        if self.cluster.service_by_address(address, row.destination_port, row.protocol).is_some() {
            // An address of a service, at a port that it does not serve.
            return None;
        }
        match self.cluster.pod_by_address(address, time) {
            Holder::Nobody if self.cluster.node_by_address(address).is_none() => {
                (self.knows_outside && can_be_outside(address)).then_some(Identity::Outside)
            }
            _ => self.by_address(address, time),
        }
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
