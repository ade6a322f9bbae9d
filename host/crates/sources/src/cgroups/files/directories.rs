//! The directories of one cgroup, one in each hierarchy, and the way into them for the time of one reading.

use std::array;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::Home;
use super::file::Failure;
use crate::cgroups::hierarchy::{Controller, Hierarchies};

const HOMES: [Home; 6] = [
    Home::Unified,
    Home::Version1(Controller::Cpu),
    Home::Version1(Controller::Cpuacct),
    Home::Version1(Controller::Memory),
    Home::Version1(Controller::Blkio),
    Home::Version1(Controller::Pids),
];

/// Where the files of a cgroup are.
#[derive(Debug)]
pub(crate) struct Directories {
    paths: [Option<PathBuf>; HOMES.len()],
}

impl Directories {
    /// Of the cgroup with this path, in the hierarchies that are mounted.
    pub(crate) fn new(hierarchies: &Hierarchies, path: &str) -> Self {
        let directory = |home| match home {
            Home::Unified => hierarchies.unified_directory(path),
            Home::Version1(controller) => hierarchies.v1_directory(controller, path),
        };
        Self { paths: HOMES.map(directory) }
    }

    /// Where files of this home are.
    pub(crate) fn path(&self, home: Home) -> Option<&PathBuf> {
        self.paths.get(number(home)?)?.as_ref()
    }
}

/// The directories that were entered. Closed after each reading: a directory held open takes a descriptor and is of no use to files that are.
pub(crate) struct Doors<'a> {
    directories: &'a Directories,
    doors: [Door; HOMES.len()],
}

enum Door {
    Untried,
    Open(OwnedFd),
    Gone,
    Closed(Errno),
}

impl<'a> Doors<'a> {
    pub(crate) fn new(directories: &'a Directories) -> Self {
        Self { directories, doors: array::from_fn(|_| Door::Untried) }
    }

    /// The directory of this home, opened when it is first asked for.
    pub(super) fn enter(&mut self, home: Home) -> Result<&OwnedFd, Failure> {
        let number = number(home).ok_or(Failure::NoDirectory)?;
        self.enter_number(number)
    }

    /// Whether none of the directories is there any more.
    pub(crate) fn all_gone(&mut self) -> bool {
        (0..HOMES.len()).all(|number| matches!(self.enter_number(number), Err(Failure::NoDirectory)))
    }

    fn enter_number(&mut self, number: usize) -> Result<&OwnedFd, Failure> {
        let door = self.doors.get_mut(number).ok_or(Failure::NoDirectory)?;
        if matches!(door, Door::Untried) {
            *door = match self.directories.paths.get(number).and_then(Option::as_ref) {
                Some(path) => Door::new(path),
                None => Door::Gone,
            };
        }
        match door {
            Door::Open(directory) => Ok(directory),
            Door::Gone | Door::Untried => Err(Failure::NoDirectory),
            Door::Closed(errno) => Err(Failure::from(*errno)),
        }
    }
}

impl Door {
    fn new(path: &PathBuf) -> Self {
        match openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(directory) => Self::Open(directory),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NODEV) => Self::Gone,
            Err(errno) => Self::Closed(errno),
        }
    }
}

fn number(home: Home) -> Option<usize> {
    HOMES.iter().position(|one| *one == home)
}
