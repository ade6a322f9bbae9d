//! One cgroup: its files, kept open, and what their totals were the time before.
//!
//! A cgroup has up to thirteen files of version 2, up to fourteen of version 1 with three of pressure, and a pod two more for its network:
//! with a thousand pods and containers, about fifteen thousand descriptors. When the budget is used up, the files of further cgroups are
//! opened for each reading. That is slower, and tells the same.

use std::path::Path;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{Sample, SubjectId};

use super::counters::Counters;
use super::files::directories::{Directories, Doors};
use super::files::file::{Failure, File};
use super::files::values::{Slot, Values};
use super::files::{self, Whose, net_dev};
use super::hierarchy::Hierarchies;
use super::network::Network;

pub(crate) use super::files::buffer::Buffer;
pub(crate) use super::files::complaints::Complaints;
pub(crate) use super::files::open_files::OpenFiles;
pub(crate) use super::network::NetworkRoot;

/// Which groups of metrics are read.
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Vec<Group>", into = "Vec<Group>")]
#[schemars(with = "Vec<Group>")]
pub struct Groups {
    pub(crate) cpu: bool,
    pub(crate) memory: bool,
    pub(crate) pids: bool,
    pub(crate) io: bool,
    pub(crate) pressure: bool,
    pub(crate) network: bool,
}

/// A group of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    /// Processor time, and what bandwidth control has held back.
    Cpu,
    /// Memory and swap space, and what they are used for.
    Memory,
    /// Processes and threads.
    Pids,
    /// Block devices.
    Io,
    /// Time spent waiting for processors, memory, and input or output.
    Pressure,
    /// Network interfaces, of pods only.
    Network,
}

impl Groups {
    /// Whether those of the network are read, for which processes of others must be looked at.
    pub fn of_the_network(self) -> bool {
        self.network
    }

    /// Whether nothing is read.
    pub(crate) fn is_empty(self) -> bool {
        Vec::from(self).is_empty()
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self { cpu: true, memory: true, pids: true, io: true, pressure: true, network: true }
    }
}

impl From<Vec<Group>> for Groups {
    fn from(groups: Vec<Group>) -> Self {
        let has = |group| groups.contains(&group);
        Self {
            cpu: has(Group::Cpu),
            memory: has(Group::Memory),
            pids: has(Group::Pids),
            io: has(Group::Io),
            pressure: has(Group::Pressure),
            network: has(Group::Network),
        }
    }
}

impl From<Groups> for Vec<Group> {
    fn from(groups: Groups) -> Self {
        let all = [
            (groups.cpu, Group::Cpu),
            (groups.memory, Group::Memory),
            (groups.pids, Group::Pids),
            (groups.io, Group::Io),
            (groups.pressure, Group::Pressure),
            (groups.network, Group::Network),
        ];
        all.into_iter().filter_map(|(wanted, group)| wanted.then_some(group)).collect()
    }
}

/// The directory of the cgroup has been removed, in all hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A cgroup that is read at each tick.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directories: Directories,
    files: Vec<File>,
    network: Option<Network>,
    counters: Counters,
    open_files: OpenFiles,
}

/// What is missing after that many tries in a row is said: the files of a cgroup that is being made, or removed, come and go one by one.
const TRIES_BEFORE_WORDS: u32 = 3;

impl Cgroup {
    /// Opens what is there. What is missing is tried again at later ticks, ever more rarely. `network` is given for those of pods, and for
    /// no others.
    pub(crate) fn open(
        hierarchies: &Hierarchies,
        path: &str,
        groups: Groups,
        network: Option<&NetworkRoot>,
        open_files: &OpenFiles,
        complaints: &mut Complaints,
    ) -> Self {
        let directories = Directories::new(hierarchies, path);
        let whose = if network.is_some() { Whose::Pods } else { Whose::Others };
        let mut files: Vec<File> = files::rows(hierarchies, groups, whose).map(|row| File::new(row, whose)).collect();
        let mut doors = Doors::new(&directories);
        for file in &mut files {
            if let Err(failure) = file.prepare(&mut doors, open_files) {
                complain(file, failure, &directories, complaints);
            }
        }
        let network = network.filter(|_| groups.network).and_then(|root| Network::new(root, hierarchies, path, complaints));
        Self { directories, files, network, counters: Counters::default(), open_files: open_files.clone() }
    }

    /// Reads all, and appends the samples in the order of the metrics.
    pub(crate) fn read(
        &mut self,
        subject: SubjectId,
        at: Instant,
        buffer: &mut Buffer,
        samples: &mut Vec<Sample>,
        complaints: &mut Complaints,
    ) -> Result<(), Gone> {
        let mut values = Values::new();
        self.read_files(&mut values, buffer, complaints)?;
        if let Some(network) = &mut self.network {
            network.read(&self.open_files, buffer, &mut values, complaints);
            if network.take_anew() {
                net_dev::metrics().for_each(|metric| self.counters.forget(metric));
            }
        }
        values.derive();
        let counters = &mut self.counters;
        let readings = values.readings(|metric, total| counters.count(metric, total, at));
        samples.extend(readings.map(|(metric, reading)| Sample { subject, metric, reading }));
        Ok(())
    }

    fn read_files(&mut self, values: &mut Values, buffer: &mut Buffer, complaints: &mut Complaints) -> Result<(), Gone> {
        let Self { directories, files, counters, open_files, .. } = self;
        let mut doors = Doors::new(directories);
        for file in files {
            match file.read(&mut doors, open_files, buffer) {
                Ok(Some(text)) => {
                    let row = file.row();
                    row.read(text, values);
                    let bad = values.take_bad();
                    if bad > 0 {
                        complaints.no_numbers(row.file, path(directories, file), bad);
                    } else if !file.examined {
                        file.examined = true;
                        complaints.incomplete(row, row.slots().filter(|slot| !values.has(*slot)).filter_map(Slot::metric));
                    }
                    if file.take_anew() {
                        row.metrics().for_each(|metric| counters.forget(metric));
                    }
                }
                Ok(None) => {}
                Err(Failure::NoDirectory | Failure::Missing) if doors.all_gone() => return Err(Gone),
                Err(failure) => complain(file, failure, directories, complaints),
            }
        }
        Ok(())
    }
}

fn complain(file: &File, failure: Failure, directories: &Directories, complaints: &mut Complaints) {
    let missing = matches!(failure, Failure::NoDirectory | Failure::Missing);
    if !missing || file.failures() >= TRIES_BEFORE_WORDS {
        complaints.failed(file.row(), path(directories, file), failure);
    }
}

fn path<'a>(directories: &'a Directories, file: &File) -> Option<&'a Path> {
    directories.path(file.row().home).map(std::path::PathBuf::as_path)
}

#[cfg(test)]
#[path = "cgroup_tests/mod.rs"]
mod tests;
