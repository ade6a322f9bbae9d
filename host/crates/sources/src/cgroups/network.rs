//! What went through the network interfaces of a pod: of the network namespace of one of its processes.
//!
//! `net/dev` of that process is kept open, which also keeps the namespace: it is closed when the pod has no process any more, or when its
//! processes are in another namespace. A pod in the host's own namespace has no such metrics, for they would be those of the node.
//!
//! The kernel tells the processes of a cgroup by their ids as this process sees them, so that we need the host's process ids. Without them
//! all others are told as 0, and there are no such metrics, whichever `/proc` is mounted.

use std::collections::VecDeque;
use std::fs::{DirEntry, read_dir};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, openat, stat};

use super::files::buffer::Buffer;
use super::files::complaints::Complaints;
use super::files::file::{FLAGS, Failure, Kept, regular};
use super::files::open_files::OpenFiles;
use super::files::values::Values;
use super::files::{net_dev, parse};
use super::hierarchy::Hierarchies;

/// It is looked at again after so many ticks whether the processes are still there, and in the same namespace.
const TICKS_BETWEEN_LOOKS: u8 = 6;
/// How many directories below that of a pod are looked through for a process, and how many entries of each. A cgroup has about a hundred files.
const MOST_DIRECTORIES: usize = 64;
const MOST_ENTRIES: usize = 1024;
/// How many processes of a directory are asked, lowest number first: that is most often the one that has started the others.
const MOST_PROCESSES: usize = 16;
/// Our own processes; those of the host where we have its process ids.
const OWN_PROCESSES: &str = "/proc";
/// What looks after a container on the host's side and is no part of it.
const NO_CONTAINER: &str = "crio-conmon-";

/// The host's processes.
#[derive(Clone, Debug)]
pub(crate) struct NetworkRoot(Arc<Root>);

#[derive(Debug)]
struct Root {
    /// `/proc` of the host.
    processes: PathBuf,
    /// Its own namespace, which is that of its first process. Where that one may not be looked at, ours is as good if the two see the same
    /// interfaces; in any other, pods in that of the host would be told with the figures of the node.
    host: Result<Namespace, Failure>,
}

/// The device and the inode that stand for a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Namespace(u64, u64);

impl NetworkRoot {
    /// With the root directory of the host, as this process sees it. Where no processes are mounted there, our own are the host's, too, if
    /// we have its process ids; if not, those of pods are told as 0.
    pub(crate) fn new(host_root: &Path) -> Self {
        Self::with_own(host_root, Path::new(OWN_PROCESSES))
    }

    fn with_own(host_root: &Path, own: &Path) -> Self {
        let mounted = host_root.join("proc");
        let processes = if mounted.join("1").exists() { mounted } else { own.to_owned() };
        let host = namespace(&processes, "1")
            .or_else(|failure| if see_the_same(&processes, "1", "self") { namespace(&processes, "self") } else { Err(failure) });
        Self(Arc::new(Root { processes, host }))
    }
}

/// The network of one pod.
#[derive(Debug)]
pub(crate) struct Network {
    root: NetworkRoot,
    /// The pod's cgroup, where its processes are to be found.
    directory: PathBuf,
    /// Of version 2: says when there are none.
    events: Option<Events>,
    state: State,
    /// What was counted last. The processes of a pod come and go, and its totals go on.
    last: Option<Namespace>,
    /// So many ticks until the next look.
    rest: u8,
    looks: u32,
    anew: bool,
}

#[derive(Debug)]
enum State {
    /// No process was found.
    Unknown,
    /// It is in the host's namespace.
    Host,
    Own(Own),
}

#[derive(Debug)]
struct Own {
    process: u32,
    namespace: Namespace,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Events {
    path: PathBuf,
    kept: Option<Kept>,
}

impl Network {
    /// Of the pod whose cgroup has this path. None where the host's own namespace cannot be told from that of a pod.
    pub(crate) fn new(root: &NetworkRoot, hierarchies: &Hierarchies, path: &str, complaints: &mut Complaints) -> Option<Self> {
        if let Err(failure) = root.0.host {
            complaints.no_host(&root.0.processes, failure);
            return None;
        }
        let watched = hierarchies.watched()?;
        let directory = watched.join(path.trim_start_matches('/'));
        // Beside version 1, nobody is obliged to put processes into the unified hierarchy.
        let events = hierarchies.v1.is_empty().then(|| Events { path: directory.join("cgroup.events"), kept: None });
        Some(Self { root: root.clone(), directory, events, state: State::Unknown, last: None, rest: 0, looks: 0, anew: false })
    }

    /// Whether it is another namespace than before, since it was last asked.
    pub(crate) fn take_anew(&mut self) -> bool {
        std::mem::take(&mut self.anew)
    }

    /// Reads what went through, if the pod has a namespace of its own.
    pub(crate) fn read(&mut self, open_files: &OpenFiles, buffer: &mut Buffer, values: &mut Values, complaints: &mut Complaints) {
        if self.events.as_mut().is_some_and(|events| events.say_empty(open_files, buffer)) {
            self.close();
            // The kernel gives the number of a namespace that has ended to the next one.
            self.last = None;
            return;
        }
        if let Some(rest) = self.rest.checked_sub(1) {
            self.rest = rest;
        } else {
            self.look(buffer, complaints);
        }
        let mut read = self.read_own(open_files, buffer);
        if matches!(read, Some(Err(Failure::Missing | Failure::NoDirectory))) {
            // The process has ended. Others may go on.
            self.close();
            self.look(buffer, complaints);
            read = self.read_own(open_files, buffer);
        }
        match read {
            Some(Ok(length)) => {
                net_dev::read(buffer.text(length), values);
                complaints.no_numbers("net/dev", None, values.take_bad());
            }
            Some(Err(Failure::Missing | Failure::NoDirectory)) => self.close(),
            Some(Err(failure)) => {
                complaints.unreadable("net/dev", None, failure);
                self.close();
            }
            None => {}
        }
    }

    fn read_own(&mut self, open_files: &OpenFiles, buffer: &mut Buffer) -> Option<Result<usize, Failure>> {
        match &mut self.state {
            State::Own(own) => Some(own.read(&self.root.0.processes, open_files, buffer)),
            State::Unknown | State::Host => None,
        }
    }

    fn close(&mut self) {
        if matches!(self.state, State::Own(_)) {
            self.looks = 0;
            self.rest = 0;
        }
        self.state = State::Unknown;
    }

    /// Looks for a process and its namespace. Often at first: a container is begun from the host's namespace.
    fn look(&mut self, buffer: &mut Buffer, complaints: &mut Complaints) {
        self.rest =
            1_u8.checked_shl(self.looks).filter(|rest| (1..TICKS_BETWEEN_LOOKS).contains(rest)).unwrap_or(TICKS_BETWEEN_LOOKS);
        self.looks = self.looks.saturating_add(1);
        let root = &self.root.0;
        if let State::Own(own) = &self.state
            && namespace(&root.processes, &own.process.to_string()) == Ok(own.namespace)
        {
            return;
        }
        match (find(&root.processes, &self.directory, buffer, complaints), &mut self.state) {
            (None, _) => {
                self.close();
                self.last = None;
            }
            (Some((_, namespace)), _) if root.host == Ok(namespace) => self.state = State::Host,
            (Some((process, namespace)), State::Own(own)) if own.namespace == namespace => own.process = process,
            (Some((process, namespace)), _) => {
                self.state = State::Own(Own { process, namespace, kept: None });
                self.anew |= self.last.replace(namespace) != Some(namespace);
            }
        }
    }
}

impl Own {
    fn read(&mut self, processes: &Path, open_files: &OpenFiles, buffer: &mut Buffer) -> Result<usize, Failure> {
        if let Some(kept) = &self.kept {
            return buffer.fill_by_pieces(&kept.file);
        }
        let process = self.process.to_string();
        let file = openat(CWD, processes.join(&process).join("net/dev"), FLAGS, Mode::empty())?;
        regular(&file)?;
        // Another process may have got the number meanwhile.
        if namespace(processes, &process)? != self.namespace {
            return Err(Failure::Missing);
        }
        let length = buffer.fill_by_pieces(&file)?;
        self.kept = Kept::new(file, open_files);
        Ok(length)
    }
}

impl Events {
    /// Whether no process is left. Where that cannot be read, the next look will tell.
    fn say_empty(&mut self, open_files: &OpenFiles, buffer: &mut Buffer) -> bool {
        let read = match self.kept.take() {
            Some(kept) => buffer.fill_beginning(&kept.file).map(|length| (length, Some(kept))).map_err(Failure::from),
            None => openat(CWD, &self.path, FLAGS, Mode::empty()).map_err(Failure::from).and_then(|file| {
                regular(&file)?;
                Ok((buffer.fill_beginning(&file)?, Kept::new(file, open_files)))
            }),
        };
        let Ok((length, kept)) = read else { return false };
        self.kept = kept;
        parse::pairs(buffer.text(length)).any(|(name, value)| name == b"populated" && value == b"0")
    }
}

/// A process of the cgroup or of those below it, and its namespace. What lies deeper comes later: a container may hold others, which have
/// namespaces of their own.
fn find(processes: &Path, directory: &Path, buffer: &mut Buffer, complaints: &mut Complaints) -> Option<(u32, Namespace)> {
    let (mut next, mut looked, mut denied) = (VecDeque::from([directory.to_owned()]), 0, None);
    while let Some(directory) = next.pop_front() {
        looked += 1;
        for process in members(&directory, buffer, complaints) {
            match namespace(processes, &process.to_string()) {
                Ok(namespace) => return Some((process, namespace)),
                Err(Failure::Missing) => {}
                Err(failure) => denied = Some(failure),
            }
        }
        let room = MOST_DIRECTORIES.saturating_sub(looked + next.len());
        next.extend(
            read_dir(&directory)
                .into_iter()
                .flatten()
                .take(MOST_ENTRIES)
                .flatten()
                .filter(holds_processes)
                .map(|entry| entry.path())
                .take(room),
        );
    }
    if let Some(failure) = denied {
        complaints.namespace(failure);
    }
    None
}

/// The processes of a cgroup, lowest number first.
fn members(directory: &Path, buffer: &mut Buffer, complaints: &mut Complaints) -> Vec<u32> {
    let Ok(file) = openat(CWD, directory.join("cgroup.procs"), FLAGS, Mode::empty()) else { return Vec::new() };
    let Ok(length) = regular(&file).and_then(|_| Ok(buffer.fill_beginning(&file)?)) else { return Vec::new() };
    // The last line may have been cut off.
    let text = buffer.text(length);
    let whole = memchr::memrchr(b'\n', text).and_then(|end| text.get(..end)).unwrap_or_default();
    let mut members: Vec<u32> = parse::lines(whole).filter_map(|line| u32::try_from(parse::digits(line).ok()?).ok()).collect();
    members.sort_unstable();
    // Zero is a process that is not visible from here.
    if members.first() == Some(&0) {
        complaints.strangers();
        members.retain(|process| *process != 0);
    }
    members.truncate(MOST_PROCESSES);
    members
}

fn holds_processes(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
        && !entry.file_name().as_encoded_bytes().starts_with(NO_CONTAINER.as_bytes())
}

fn namespace(processes: &Path, process: &str) -> Result<Namespace, Failure> {
    let stat = stat(processes.join(process).join("ns/net"))?;
    Ok(Namespace(stat.st_dev, stat.st_ino))
}

/// Whether two processes are in one network namespace. The kernel has one such file for each, which everybody may look at.
fn see_the_same(processes: &Path, one: &str, other: &str) -> bool {
    let file = |process: &str| stat(processes.join(process).join("net/dev")).map(|stat| (stat.st_dev, stat.st_ino));
    file(one).is_ok_and(|one| file(other) == Ok(one))
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
