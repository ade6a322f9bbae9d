//! Real cgroups in the kubelet's layout: made as root, gone with the test.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use super::{in_machine, is_version_2};

const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "blkio", "pids"];
const UNIFIED: [&str; 4] = ["+cpu", "+io", "+memory", "+pids"];
const OURS: &str = "sluicebox-test-";

/// Held while what is above a pod is made or removed: one test removes what another is about to stand on.
static ABOVE: Mutex<()> = Mutex::new(());

/// A cgroup, that is one directory in version 2, one for each controller in version 1. Removed when dropped, with all below it.
#[derive(Debug)]
pub(crate) struct Group {
    /// Within the hierarchy, with a leading slash.
    pub(crate) path: String,
    /// Whether what is above goes as well, when nothing else is there.
    above: bool,
}

/// What may be limited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// So many microseconds of each 100 ms.
    CpuMicroseconds(u64),
    MemoryBytes(u64),
    Processes(u64),
}

/// A uid that no other pod has.
pub(crate) fn uid() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A container id that no other container has.
pub(crate) fn container_id() -> String {
    uid().replace('-', "").repeat(2)
}

/// The cgroup of a burstable pod. What is above it goes with the last pod.
pub(crate) fn pod(uid: &str) -> Group {
    let mut group = Group::make(&format!("{}/kubepods/burstable/pod{uid}", prefix()));
    group.above = in_machine().is_none();
    group
}

/// A cgroup of a container of the pod with this path.
pub(crate) fn container_of(pod: &str, id: &str) -> Group {
    Group::make(&format!("{pod}/{id}"))
}

/// Outside of a small machine there may be other pods, and other tests: ours have a root of their own, as with the kubelet's `--cgroup-root`.
fn prefix() -> String {
    static ONCE: Once = Once::new();
    if in_machine().is_some() {
        return String::new();
    }
    ONCE.call_once(|| mounts().iter().for_each(|mount| remove_what_is_left_over(mount)));
    format!("/{OURS}{}", std::process::id())
}

/// What a test that was killed has left.
fn remove_what_is_left_over(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(OURS));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&entry.path());
        }
    }
}

/// Where cgroups are made: in version 1 for each controller, and where version 2 is beside it.
fn mounts() -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    if is_version_2() {
        return vec![mount.to_owned()];
    }
    // `cpu` and `cpuacct` may be links to one mount.
    let places = CONTROLLERS.iter().chain(&["unified"]).filter_map(|name| fs::canonicalize(mount.join(name)).ok());
    let mut places: Vec<PathBuf> = places.filter(|place| place.join("cgroup.procs").is_file()).collect();
    places.sort();
    places.dedup();
    places
}

impl Group {
    fn make(path: &str) -> Self {
        let _above = ABOVE.lock();
        for mount in mounts() {
            make(&mount, path);
        }
        Self { path: path.to_owned(), above: false }
    }

    /// A cgroup of a container below.
    pub(crate) fn container(&self, id: &str) -> Group {
        container_of(&self.path, id)
    }

    /// The file of each hierarchy that moves a process into the cgroup.
    pub(crate) fn doors(&self) -> Vec<PathBuf> {
        mounts().into_iter().map(|mount| mount.join(&self.path[1..]).join("cgroup.procs")).collect()
    }

    /// A file by its name in version 2, or by its controller and its name in version 1.
    pub(crate) fn file(&self, unified: &str, controller: &str, version_1: &str) -> PathBuf {
        let directory = if is_version_2() { PathBuf::from(MOUNT) } else { Path::new(MOUNT).join(controller) };
        directory.join(&self.path[1..]).join(if is_version_2() { unified } else { version_1 })
    }

    pub(crate) fn limit(&self, limit: Limit) {
        let (file, text) = match limit {
            Limit::CpuMicroseconds(quota) if is_version_2() => (self.file("cpu.max", "", ""), format!("{quota} 100000")),
            Limit::CpuMicroseconds(quota) => (self.file("", "cpu", "cpu.cfs_quota_us"), quota.to_string()),
            Limit::MemoryBytes(bytes) => (self.file("memory.max", "memory", "memory.limit_in_bytes"), bytes.to_string()),
            Limit::Processes(number) => (self.file("pids.max", "pids", "pids.max"), number.to_string()),
        };
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// In version 2 a cgroup has the controllers that all above it hand down.
fn make(mount: &Path, path: &str) {
    let mut directory = mount.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if is_version_2() {
            hand_down(&directory);
        }
        directory.push(name);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{}: {error}", directory.display()),
            _ => {}
        }
    }
}

fn hand_down(directory: &Path) {
    let file = directory.join("cgroup.subtree_control");
    let handed = fs::read_to_string(&file).expect("what is handed down");
    for controller in UNIFIED.iter().filter(|controller| !handed.split_whitespace().any(|there| there == &controller[1..])) {
        fs::write(&file, controller).unwrap_or_else(|error| panic!("{controller} to {}: {error}", file.display()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for mount in mounts() {
            remove(&mount.join(&self.path[1..]));
        }
        if self.above {
            let _above = ABOVE.lock();
            for above in Path::new(&self.path[1..]).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                for mount in mounts() {
                    // There are others below it.
                    let _ = fs::remove_dir(mount.join(above));
                }
            }
        }
    }
}

/// A process that was killed leaves its cgroup a little later.
fn remove(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let begun = Instant::now();
    while fs::remove_dir(directory).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy) {
        if begun.elapsed() > Duration::from_secs(10) {
            return;
        }
        std::thread::yield_now();
    }
}
