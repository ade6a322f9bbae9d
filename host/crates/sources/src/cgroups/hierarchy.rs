//! Where cgroups are mounted, of version 1 and of version 2: read from the kernel's table of mounts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The mounts of this process, as it sees them.
const OWN_MOUNTS: &str = "/proc/self/mountinfo";
/// The mounts of the host's first process, below the host root.
const HOST_MOUNTS: &str = "proc/1/mountinfo";
/// How much of a table of mounts is read. Those of cgroups are made at boot and stand near its beginning.
const MOUNT_BYTES: u64 = 1 << 20;
/// Every cgroup has this file, in both versions.
const MARK: &str = "cgroup.procs";

/// A controller of version 1 of which we read files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    Cpu,
    Cpuacct,
    Memory,
    Blkio,
    Pids,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Cpu, Self::Cpuacct, Self::Memory, Self::Blkio, Self::Pids];

    /// Its name in the options of a mount.
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Blkio => "blkio",
            Self::Pids => "pids",
        }
    }
}

/// The mount points, as this process sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Of version 2. Beside version 1 it may be there and hold no controllers.
    pub(crate) unified: Option<PathBuf>,
    /// Of version 1.
    pub(crate) v1: BTreeMap<Controller, PathBuf>,
}

/// Why no cgroups are to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("cannot look for cgroups in {}: {cause}", .path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error(
        "cannot find cgroups at or below {}: neither version 2 nor one of the controllers cpu, cpuacct, memory, blkio and pids of version 1 is mounted there",
        .root.display()
    )]
    NotMounted { root: PathBuf },
}

impl Missing {
    /// What cures it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "is /proc mounted, and may this user read it?".to_owned(),
            Self::NotMounted { root } if is_own_root(root) => {
                "mount /sys/fs/cgroup; in a container, mount that of the host and set `sources.cgroups.root` to where the host's files are"
                    .to_owned()
            }
            Self::NotMounted { root } => {
                format!(
                    "mount the host's /sys to {}, or set `sources.cgroups.root` to where the host's files are",
                    root.join("sys").display()
                )
            }
        }
    }
}

impl Hierarchies {
    /// From the mounts that this process sees, at or below the host root. When there are none, from those that the host's first
    /// process sees, joined to the host root.
    pub(crate) fn find(host_root: &Path) -> Result<Self, Missing> {
        Self::find_with(host_root, Path::new(OWN_MOUNTS))
    }

    fn find_with(host_root: &Path, own: &Path) -> Result<Self, Missing> {
        let host_root = if host_root.as_os_str().is_empty() { Path::new("/") } else { host_root };
        let is_cgroup = |directory: &Path| directory.join(MARK).is_file();
        let mounts = parse(&read(own).map_err(|cause| Missing::Unreadable { path: own.to_owned(), cause })?);
        let found = Self::among(&mounts, host_root, is_cgroup);
        if !found.is_empty() {
            return Ok(found);
        }
        let not_mounted = || Missing::NotMounted { root: host_root.to_owned() };
        if is_own_root(host_root) {
            return Err(not_mounted());
        }
        // Where it cannot be read, nothing but what we see ourselves is left.
        let mut mounts = parse(&read(&host_root.join(HOST_MOUNTS)).map_err(|_| not_mounted())?);
        for mount in &mut mounts {
            mount.point = below(host_root, &mount.point);
        }
        let found = Self::among(&mounts, host_root, is_cgroup);
        if found.is_empty() { Err(not_mounted()) } else { Ok(found) }
    }

    /// The best mount of each hierarchy at or below `root` that really is one.
    fn among(mounts: &[Mount], root: &Path, is_cgroup: impl Fn(&Path) -> bool) -> Self {
        // Of several mounts on one point the last one is seen.
        let top: HashMap<&Path, usize> = mounts.iter().enumerate().map(|(at, mount)| (mount.point.as_path(), at)).collect();
        let mut candidates: Vec<&Mount> = mounts
            .iter()
            .enumerate()
            .filter(|(at, mount)| top.get(mount.point.as_path()) == Some(at) && mount.point.starts_with(root))
            .map(|(_, mount)| mount)
            .collect();
        candidates.sort_by_key(|mount| mount.rank());
        let best = |matches: &dyn Fn(&Kind) -> bool| {
            candidates.iter().find(|mount| matches(&mount.kind) && is_cgroup(&mount.point)).map(|mount| mount.point.clone())
        };
        let unified = best(&|kind| matches!(kind, Kind::Unified));
        let v1 = Controller::ALL
            .into_iter()
            .filter_map(|controller| {
                let point = best(&|kind| matches!(kind, Kind::V1(controllers) if controllers.contains(&controller)))?;
                Some((controller, point))
            })
            .collect();
        Self { unified, v1 }
    }

    /// The mount in which directories are to be looked for. Pods have their cgroups under each controller of version 1, so that one is
    /// enough, and beside these the unified one may be empty.
    pub(crate) fn watched(&self) -> Option<&Path> {
        [Controller::Memory, Controller::Cpu, Controller::Cpuacct, Controller::Pids, Controller::Blkio]
            .into_iter()
            .find_map(|controller| self.v1.get(&controller))
            .or(self.unified.as_ref())
            .map(PathBuf::as_path)
    }

    /// Where the files of a controller of version 1 are for this cgroup, none when the controller is not mounted as such.
    pub(crate) fn v1_directory(&self, controller: Controller, path: &str) -> Option<PathBuf> {
        self.v1.get(&controller).map(|mount| below(mount, Path::new(path)))
    }

    /// Where the files of version 2 are for this cgroup, none when it is not mounted.
    pub(crate) fn unified_directory(&self, path: &str) -> Option<PathBuf> {
        self.unified.as_ref().map(|mount| below(mount, Path::new(path)))
    }

    fn is_empty(&self) -> bool {
        self.unified.is_none() && self.v1.is_empty()
    }
}

fn is_own_root(root: &Path) -> bool {
    root == Path::new("/")
}

/// The path below the root, whatever it says: neither a leading slash nor `..` leads out of it.
fn below(root: &Path, path: &Path) -> PathBuf {
    let mut joined = root.to_owned();
    joined.extend(path.components().filter(|component| matches!(component, Component::Normal(_))));
    joined
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MOUNT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// One line of the table.
#[derive(Debug)]
struct Mount {
    /// What of the file system is mounted. In a cgroup namespace, `/..` is what lies above the namespace's own root.
    root: PathBuf,
    point: PathBuf,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unified,
    V1(Vec<Controller>),
    /// It matters only because it may lie on top of another one.
    Other,
}

impl Mount {
    /// The less, the better: the whole hierarchy before a part of it, what reaches above our own namespace before what does not.
    fn rank(&self) -> (usize, Reverse<usize>, usize) {
        let count = |wanted: fn(&Component<'_>) -> bool| self.root.components().filter(wanted).count();
        let down = count(|component| matches!(component, Component::Normal(_)));
        let up = count(|component| matches!(component, Component::ParentDir));
        (down, Reverse(up), self.point.components().count())
    }
}

/// Whatever is no line of the table is left out.
fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `36 35 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate`; the fields before the dash vary in number.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = unescape(fields.next()?);
    fields.find(|field| field == b"-")?;
    let kind = match fields.next()? {
        b"cgroup2" => Kind::Unified,
        b"cgroup" => Kind::V1(controllers(fields.nth(1)?)),
        _ => Kind::Other,
    };
    point.is_absolute().then(|| Mount { root: unescape(root), point, kind })
}

/// Controllers that are mounted together stand in the options of each other's mount. A hierarchy with only a name has none.
fn controllers(options: &[u8]) -> Vec<Controller> {
    let has = |name: &str| options.split(|byte| *byte == b',').any(|option| option == name.as_bytes());
    Controller::ALL.into_iter().filter(|controller| has(controller.name())).collect()
}

/// The kernel writes white space, backslashes and number signs as a backslash with three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| after.split_first_chunk::<3>()).flatten();
        let (byte, after) = escaped.and_then(|(digits, after)| Some((octal(*digits)?, after))).unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    let value = digits.into_iter().try_fold(0_u32, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        Some(value * 8 + u32::from(digit))
    })?;
    u8::try_from(value).ok()
}

#[cfg(test)]
#[path = "hierarchy_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hierarchy_fuzz.rs"]
mod fuzz;
