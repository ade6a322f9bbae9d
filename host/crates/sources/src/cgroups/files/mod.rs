//! Which files of a cgroup there are, what stands in each, and how it is read.
//!
//! `version_1.rs` and `version_2.rs` are tables; `parse.rs` reads bytes, `values.rs` keeps what was found. `file.rs` has one of the files
//! open and reads it into `buffer.rs`, `directories.rs` is the way to it, `open_files.rs` says how many may be open, `complaints.rs` what an
//! operator reads of those that cannot be.

pub(crate) mod buffer;
pub(crate) mod complaints;
pub(crate) mod directories;
pub(crate) mod file;
pub(crate) mod net_dev;
pub(crate) mod open_files;
pub(crate) mod parse;
pub(crate) mod values;
mod version_1;
mod version_2;

use sluicebox_contract::Metric;

use super::cgroup::Groups;
use super::hierarchy::{Controller, Hierarchies};
use parse::{Bad, Number};
use values::{Slot, Values};

/// A file with metrics in it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) file: &'static str,
    pub(crate) home: Home,
    whose: Whose,
    group: Group,
    content: Content,
    /// Which file has it on kernels that lack this one.
    pub(crate) otherwise: Option<&'static Row>,
    /// Why a kernel may lack it; what an operator can do.
    pub(crate) missing_because: &'static str,
}

/// Of which cgroups a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    All,
    /// Those of pods, in which nothing runs but what lies in those of their containers.
    Pods,
    Others,
}

/// In which hierarchy a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Unified,
    Version1(Controller),
}

/// What is asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Cpu,
    Memory,
    Pids,
    Io,
    Pressure,
}

/// What stands in a file.
#[derive(Debug)]
enum Content {
    /// One number.
    Single(Slot),
    /// One number or `max`.
    Limit(Slot),
    /// One number, which may be the one that stands for no limit.
    LimitOfVersion1(Slot),
    /// Lines of a name and a value.
    Pairs(&'static [Key]),
    /// Lines of a device and of names with values, which are added up over the devices.
    Fields(&'static [Key]),
    /// Lines of a device, a word and a value, likewise.
    Throttle { read: Slot, written: Slot },
    /// Shares and totals of time.
    Pressure { some: Slot, full: Slot },
}

/// A value that has a name in its file.
#[derive(Debug)]
struct Key {
    name: &'static [u8],
    slot: Slot,
    scale: Scale,
}

/// What a number of the kernel is counted in, where our metric is counted otherwise.
#[derive(Clone, Copy, Debug)]
enum Scale {
    Same,
    Microseconds,
    /// What the kernel calls `USER_HZ`.
    Jiffies,
}

const NANOS_PER_MICRO: u64 = 1_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Scale {
    fn apply(self, number: Number) -> Number {
        let factor = match self {
            Self::Same => 1,
            Self::Microseconds => NANOS_PER_MICRO,
            Self::Jiffies => NANOS_PER_SECOND / rustix::param::clock_ticks_per_second().clamp(1, NANOS_PER_SECOND),
        };
        number.and_then(|number| number.checked_mul(factor).ok_or(Bad))
    }
}

/// The files that hold what is asked for, of whichever version the controllers are. Those of one directory stand together.
pub(crate) fn rows(hierarchies: &Hierarchies, groups: Groups, whose: Whose) -> impl Iterator<Item = &'static Row> {
    let wanted = [
        groups.cpu.then_some(Group::Cpu),
        groups.memory.then_some(Group::Memory),
        groups.pids.then_some(Group::Pids),
        groups.io.then_some(Group::Io),
        groups.pressure.then_some(Group::Pressure),
    ];
    let unified = hierarchies.unified.is_some();
    let older = |controller: &Controller| hierarchies.v1.contains_key(controller);
    let homes = [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Blkio, Controller::Pids]
        .map(|one| (older(&one), one));
    version_2::ROWS.iter().chain(version_1::ROWS).filter(move |row| {
        let there = |controller: Controller| homes.iter().any(|(there, home)| *there && *home == controller);
        wanted.contains(&Some(row.group))
            && row.is_of(whose)
            && match row.home {
                Home::Version1(controller) => there(controller),
                // A controller is in one version only. Pressure has no controller.
                Home::Unified => unified && !row.group.controllers().iter().any(|controller| there(*controller)),
            }
    })
}

impl Group {
    fn controllers(self) -> &'static [Controller] {
        match self {
            Self::Cpu => &[Controller::Cpu, Controller::Cpuacct],
            Self::Memory => &[Controller::Memory],
            Self::Pids => &[Controller::Pids],
            Self::Io => &[Controller::Blkio],
            Self::Pressure => &[],
        }
    }
}

impl Row {
    /// Whether it is read of these.
    pub(crate) fn is_of(&self, whose: Whose) -> bool {
        self.whose == Whose::All || self.whose == whose
    }

    /// Reads the file's text.
    pub(crate) fn read(&self, text: &[u8], values: &mut Values) {
        match &self.content {
            Content::Single(slot) => values.put(*slot, parse::single(text)),
            Content::Limit(slot) => values.put_limit(*slot, parse::limit(text)),
            Content::LimitOfVersion1(slot) => values.put_limit(*slot, parse::limit_of_version_1(text)),
            Content::Pairs(keys) => pairs(text, keys, values),
            Content::Fields(keys) => fields(text, keys, values),
            Content::Throttle { read, written } => match parse::throttle(text) {
                Some((bytes_read, bytes_written)) => {
                    values.put(*read, bytes_read);
                    values.put(*written, bytes_written);
                }
                None => values.put(*read, Err(Bad)),
            },
            Content::Pressure { some, full } => {
                let totals = parse::pressure(text);
                for (slot, total) in [(*some, totals.0), (*full, totals.1)] {
                    if let Some(total) = total {
                        values.put(slot, Scale::Microseconds.apply(total));
                    }
                }
            }
        }
    }

    /// What it is read for. Where a metric is computed from it, that one.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let (one, two, keys): (Option<Slot>, Option<Slot>, &[Key]) = match &self.content {
            Content::Single(slot) | Content::Limit(slot) | Content::LimitOfVersion1(slot) => (Some(*slot), None, &[]),
            Content::Throttle { read: one, written: two } | Content::Pressure { some: one, full: two } => {
                (Some(*one), Some(*two), &[])
            }
            Content::Pairs(keys) | Content::Fields(keys) => (None, None, keys),
        };
        one.into_iter().chain(two).chain(keys.iter().map(|key| key.slot))
    }

    /// The metrics that are lost without it.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.slots().filter_map(Slot::metric)
    }
}

/// The lines come in the order of the keys on the kernels that we know, and may come in any.
fn pairs(text: &[u8], keys: &[Key], values: &mut Values) {
    let mut left = keys.len();
    for (name, value) in parse::pairs(text) {
        let Some(key) = keys.iter().find(|key| key.name == name) else { continue };
        // Of two lines of one name the first counts.
        if !values.has(key.slot) {
            values.put(key.slot, key.scale.apply(parse::digits(value)));
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

/// An empty text is that of a cgroup that has not used a device yet: zero, so that its first use is an increase.
fn fields(text: &[u8], keys: &[Key], values: &mut Values) {
    const MOST: usize = 8;
    let mut sums = [if parse::are_devices(text) { Ok(0) } else { Err(Bad) }; MOST];
    for (name, value) in parse::fields(text) {
        if let Some((_, sum)) = keys.iter().zip(&mut sums).find(|(key, _)| key.name == name) {
            parse::add(sum, parse::digits(value));
        }
    }
    for (key, sum) in keys.iter().zip(sums) {
        values.put(key.slot, key.scale.apply(sum));
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
