//! The processes of the node: which pod and container each belongs to, and which network namespace it is in.
//!
//! `scan.rs` reads `/proc`, `parse.rs` understands what stands there. What is found is a picture of one moment: a process may have ended
//! by the time that it is looked at, and its number may be another's; [`Process::started`] tells the two apart.
//!
//! A process is placed by the path of its cgroup. Seen from a cgroup namespace, as a container has one, paths begin where that container
//! is: the processes of all other pods are placed all the same, those of its own pod are not.

#[cfg(test)]
mod fuzz;
mod parse;
mod scan;

use std::collections::HashMap;

use crate::cgroups::place::Place;

pub(crate) use scan::scan;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Whose cgroup it is in; none for what belongs to no pod.
    pub(crate) place: Option<Place>,
    /// The inode of its network namespace; none where that may not be looked at.
    pub(crate) network_namespace: Option<u32>,
    /// When it was started, in the kernel's ticks since boot. No two processes have the same number and the same start.
    pub(crate) started: u64,
}

/// All processes at one moment.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    by_pid: HashMap<u32, Process>,
    by_container: HashMap<String, Vec<u32>>,
    by_namespace: HashMap<u32, Vec<Place>>,
    host_namespace: Option<u32>,
    knows_pods: bool,
    not_seen: usize,
}

impl Processes {
    /// Puts in order what was read; `host_namespace` is that of the host itself, `not_seen` counts what there was no room for.
    pub(crate) fn new(found: HashMap<u32, Process>, host_namespace: Option<u32>, not_seen: usize) -> Self {
        let knows_pods = found.values().any(|process| process.place.is_some());
        let mut processes = Self { by_pid: found, host_namespace, knows_pods, not_seen, ..Self::default() };
        let Self { by_pid, by_container, by_namespace, .. } = &mut processes;
        for (pid, process) in &*by_pid {
            let Some(place) = &process.place else { continue };
            if let Place::Container { id, .. } = place {
                by_container.entry(id.clone()).or_default().push(*pid);
            }
            // What uses the host's namespace does not own it.
            if let Some(namespace) = process.network_namespace.filter(|namespace| Some(*namespace) != host_namespace) {
                by_namespace.entry(namespace).or_default().push(place.clone());
            }
        }
        for pids in by_container.values_mut() {
            pids.sort_unstable();
        }
        for places in by_namespace.values_mut() {
            places.sort_unstable();
            places.dedup();
        }
        processes
    }

    /// The process of this number.
    pub(crate) fn process(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid)
    }

    /// The processes of a container, ascending; `id` is without its scheme.
    pub(crate) fn container_pids(&self, id: &str) -> &[u32] {
        self.by_container.get(id).map_or(&[], Vec::as_slice)
    }

    /// The pods and containers that have processes in this network namespace, each once. Nobody's is that of the host, if it is known.
    pub(crate) fn in_namespace(&self, inode: u32) -> &[Place] {
        self.by_namespace.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// The host's own network namespace; none where it may not be looked at.
    pub(crate) fn host_namespace(&self) -> Option<u32> {
        self.host_namespace
    }

    /// How many processes there are.
    pub(crate) fn count(&self) -> usize {
        self.by_pid.len()
    }

    /// How many there are besides for which there was no room.
    pub(crate) fn not_seen(&self) -> usize {
        self.not_seen
    }

    /// Whether these are the processes of a host with pods: what is numbered here, others number so, too. The first process of a host
    /// belongs to no pod, and that of a pod to that pod.
    pub(crate) fn see_host(&self) -> bool {
        self.know_pods() && self.process(1).is_some_and(|first| first.place.is_none())
    }

    /// Whether any of them belongs to a pod. Where none does, these are not the processes of the host, or cgroups are named in a way that
    /// nobody knows.
    pub(crate) fn know_pods(&self) -> bool {
        self.knows_pods
    }
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
