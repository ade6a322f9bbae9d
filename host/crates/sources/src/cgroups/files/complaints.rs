//! What an operator reads of files that cannot be read, and of values that are none: once for each kind of file, and the number of them.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use sluicebox_contract::Metric;

use super::Row;
use super::file::Failure;

/// What was said. Both parts come from our own tables, so that there are only so many.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    said: BTreeSet<(&'static str, Kind)>,
    count: u64,
}

/// What of a file there was to complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Missing,
    Incomplete,
    NoNumber,
    NotRegular,
    TooLong,
    NoDescriptors,
    Other,
    NoHost,
    Namespace,
    Strangers,
    UsedUp,
}

const PTRACE: &str =
    "run sluicebox as root with the right to look at all processes (CAP_SYS_PTRACE), or leave `network` out of `metrics`";

impl Complaints {
    /// How many files could not be read, and how many values were none, since it was last asked. What is merely missing is not counted.
    pub(crate) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// How many different things were complained about.
    #[cfg(test)]
    pub(crate) fn said(&self) -> usize {
        self.said.len()
    }

    /// A file of a cgroup could not be read.
    pub(crate) fn failed(&mut self, row: &'static Row, directory: Option<&Path>, failure: Failure) {
        match failure {
            Failure::NoDirectory | Failure::Missing => {
                if self.first(row.file, Kind::Missing) {
                    tracing::info!(source = "cgroups", "{}", missing(row, failure));
                }
            }
            failure => self.unreadable(row.file, directory, failure),
        }
    }

    /// A file that has nothing to do with the tables, or one that is there, could not be read.
    pub(crate) fn unreadable(&mut self, file: &'static str, directory: Option<&Path>, failure: Failure) {
        self.count += 1;
        let (kind, hint) = match failure {
            Failure::NoDirectory | Failure::Missing => (Kind::Missing, ""),
            Failure::NotRegular => (Kind::NotRegular, "is another file system mounted there?"),
            Failure::TooLong => (Kind::TooLong, "is another file system mounted there?"),
            // Whichever file it was, it is the same for all.
            Failure::NoDescriptors => {
                (Kind::NoDescriptors, "raise the limit (ulimit -n, LimitNOFILE=), or lower `max-open-files`")
            }
            Failure::Other(_) => (Kind::Other, "it is tried again, ever more rarely"),
        };
        let name = if kind == Kind::NoDescriptors { "" } else { file };
        if self.first(name, kind) {
            let directory = directory.map(|directory| directory.display().to_string());
            tracing::warn!(source = "cgroups", directory, hint, "cannot read {file}: {}", cause(failure));
        }
    }

    /// So many values of a file were no numbers.
    pub(crate) fn no_numbers(&mut self, file: &'static str, directory: Option<&Path>, count: u32) {
        self.count += u64::from(count);
        if count > 0 && self.first(file, Kind::NoNumber) {
            let directory = directory.map(|directory| directory.display().to_string());
            tracing::warn!(
                source = "cgroups",
                directory,
                "{file} holds what is no number of the kernel: it is left out and counted"
            );
        }
    }

    /// A file was read and does not tell these.
    pub(crate) fn incomplete(&mut self, row: &'static Row, lost: impl Iterator<Item = Metric>) {
        let mut lost = lost.peekable();
        if lost.peek().is_some() && self.first(row.file, Kind::Incomplete) {
            tracing::info!(
                source = "cgroups",
                "{} does not tell all: {}; this kernel does not write it there",
                row.file,
                no(lost)
            );
        }
    }

    /// It cannot be told which network namespace is that of the host.
    pub(crate) fn no_host(&mut self, processes: &Path, failure: Failure) {
        if self.first("ns/net", Kind::NoHost) {
            tracing::warn!(
                source = "cgroups",
                hint = way_to_host(failure),
                "no network metrics of pods: cannot look at the network namespace of the host, {}/1/ns/net: {}",
                processes.display(),
                cause(failure)
            );
        }
    }

    /// It cannot be told in which network namespace a process of a pod is.
    pub(crate) fn namespace(&mut self, failure: Failure) {
        self.count += 1;
        if self.first("ns/net", Kind::Namespace) {
            tracing::warn!(
                source = "cgroups",
                hint = PTRACE,
                "no network metrics of a pod: cannot look at the network namespace of its processes: {}",
                cause(failure)
            );
        }
    }

    /// No more files may be kept open.
    pub(crate) fn used_up(&mut self, most: usize) {
        if self.first("", Kind::UsedUp) {
            tracing::warn!(
                source = "cgroups",
                hint = "raise the limit (ulimit -n, LimitNOFILE=) or `max-open-files`, or read fewer `metrics`",
                "{most} files are held open, which is all that may be: the others are opened at each reading, which is slower"
            );
        }
    }

    /// The processes of cgroups have no ids that mean anything here.
    pub(crate) fn strangers(&mut self) {
        if self.first("cgroup.procs", Kind::Strangers) {
            let hint = "give sluicebox the host's process ids (hostPID), or leave `network` out of `metrics`";
            tracing::warn!(source = "cgroups", hint, "no network metrics of pods: their processes are not visible from here");
        }
    }

    fn first(&mut self, file: &'static str, kind: Kind) -> bool {
        self.said.insert((file, kind))
    }
}

/// What is missing, what is lost, and why.
fn missing(row: &Row, failure: Failure) -> String {
    let because = if failure == Failure::NoDirectory { "its hierarchy has no such cgroup" } else { row.missing_because };
    format!("{} is missing: {}; {because}", row.file, no(row.metrics()))
}

/// What keeps us from the host's first process.
fn way_to_host(failure: Failure) -> &'static str {
    match failure {
        Failure::NoDirectory | Failure::Missing => {
            "is /proc mounted, and are all processes to be seen there (hidepid)? or leave `network` out of `metrics`"
        }
        _ => PTRACE,
    }
}

fn no(metrics: impl Iterator<Item = Metric>) -> String {
    metrics.map(|metric| format!("no {}", metric.name())).collect::<Vec<_>>().join(", ")
}

fn cause(failure: Failure) -> String {
    match failure {
        Failure::NoDirectory => "its directory is not there".to_owned(),
        Failure::Missing => "it is not there".to_owned(),
        Failure::NotRegular => "it is no regular file".to_owned(),
        Failure::TooLong => "it is longer than 64 KiB".to_owned(),
        Failure::NoDescriptors => "too many files are open".to_owned(),
        Failure::Other(errno) => io::Error::from_raw_os_error(errno).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Groups, Hierarchies, Whose, rows};
    use super::*;

    fn row(file: &str) -> &'static Row {
        let hierarchies = Hierarchies { unified: Some("/nowhere".into()), ..Hierarchies::default() };
        rows(&hierarchies, Groups::default(), Whose::Others).find(|row| row.file == file).unwrap()
    }

    #[test]
    fn a_missing_file_says_what_is_lost_and_why() {
        let words = "memory.swap.current is missing: no memory-swap-usage; the kernel has no swap accounting (swapaccount=1)";
        assert_eq!(missing(row("memory.swap.current"), Failure::Missing), words);
        assert_eq!(
            missing(row("io.pressure"), Failure::Missing),
            "io.pressure is missing: no io-pressure-some, no io-pressure-full; the kernel does not measure pressure (psi=1)"
        );
        let words = "cpu.pressure is missing: no cpu-pressure-some, no cpu-pressure-full; its hierarchy has no such cgroup";
        assert_eq!(missing(row("cpu.pressure"), Failure::NoDirectory), words, "as beside version 1");
    }

    #[test]
    fn each_kind_is_said_once_and_counted_always() {
        let mut complaints = Complaints::default();
        for _ in 0..1000 {
            complaints.failed(row("memory.stat"), None, Failure::TooLong);
            complaints.failed(row("memory.stat"), None, Failure::Other(5));
            complaints.failed(row("memory.stat"), None, Failure::NoDescriptors);
            complaints.failed(row("memory.max"), None, Failure::NoDescriptors);
            complaints.no_numbers("memory.stat", None, 3);
            complaints.no_numbers("memory.max", None, 0);
        }
        assert_eq!((complaints.said(), complaints.take_count()), (4, 7000));
        assert_eq!(complaints.take_count(), 0);
    }

    #[test]
    fn what_keeps_us_from_the_network_of_the_host_has_its_own_cure() {
        assert!(way_to_host(Failure::Missing).contains("/proc"));
        let not_permitted = Failure::from(rustix::io::Errno::ACCESS);
        assert!(way_to_host(not_permitted).contains("CAP_SYS_PTRACE"));
        let mut complaints = Complaints::default();
        for _ in 0..1000 {
            complaints.no_host(Path::new("/proc"), not_permitted);
            complaints.strangers();
            complaints.used_up(5);
        }
        assert_eq!((complaints.said(), complaints.take_count()), (3, 0));
    }

    #[test]
    fn what_is_missing_is_not_counted() {
        let mut complaints = Complaints::default();
        complaints.failed(row("memory.swap.max"), None, Failure::Missing);
        complaints.incomplete(row("memory.stat"), [Metric::MemorySwappedIn].into_iter());
        complaints.incomplete(row("memory.events"), std::iter::empty());
        assert_eq!((complaints.said(), complaints.take_count()), (2, 0));
    }
}
