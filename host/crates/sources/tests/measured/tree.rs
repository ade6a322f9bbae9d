//! Cgroups for tests: files in a temporary directory that says of itself where what is mounted, or real ones below it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// The id of a container, as a runtime makes it.
pub(crate) const CONTAINER: &str = "3f8a1c0e5b7d29461f0a8c3e5d7b9f1a2c4e6d8b0f1a3c5e7d9b1f3a5c7e9d0b";

/// The controllers of version 1, the one that is watched last: what comes there has come everywhere.
const CONTROLLERS: [&str; 5] = ["pids", "blkio", "cpuacct", "cpu", "memory"];

/// The root directory of a host.
pub(crate) struct Root {
    folder: TempDir,
    /// Every hierarchy that there is, the one that is watched last.
    hierarchies: Vec<Hierarchy>,
    is_real: bool,
}

struct Hierarchy {
    directory: PathBuf,
    files: &'static [(&'static str, &'static str)],
}

const VERSION_2: &[(&str, &str)] = &[
    ("cgroup.procs", ""),
    ("cpu.stat", "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 7\nnr_throttled 2\nthrottled_usec 900\n"),
    ("cpu.pressure", PRESSURE),
    ("memory.current", "73400320\n"),
    ("memory.max", "max\n"),
    ("memory.swap.current", "0\n"),
    ("memory.swap.max", "max\n"),
    ("memory.stat", "anon 40960\nfile 8192\nkernel_stack 16384\npagetables 4096\ninactive_file 2048\nslab_reclaimable 512\n"),
    ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
    ("memory.pressure", PRESSURE),
    ("pids.current", "3\n"),
    ("pids.max", "max\n"),
    ("io.stat", "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"),
    ("io.pressure", PRESSURE),
];
const PRESSURE: &str =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=91487491\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=84675542\n";
const PIDS: &[(&str, &str)] = &[("cgroup.procs", ""), ("pids.current", "3\n"), ("pids.max", "max\n")];
const BLKIO: &[(&str, &str)] = &[
    ("cgroup.procs", ""),
    ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n"),
    ("blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n"),
];
const MEMORY: &[(&str, &str)] = &[
    ("cgroup.procs", ""),
    ("memory.usage_in_bytes", "73400320\n"),
    ("memory.limit_in_bytes", "9223372036854771712\n"),
    ("memory.stat", "cache 8192\nrss 40960\ninactive_file 2048\ntotal_cache 8192\ntotal_rss 40960\ntotal_inactive_file 2048\n"),
    ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
];
const CPUACCT: &[(&str, &str)] = &[
    ("cgroup.procs", ""),
    ("cpuacct.usage", "5000000\n"),
    ("cpuacct.usage_user", "3000000\n"),
    ("cpuacct.usage_sys", "2000000\n"),
];
const CPU: &[(&str, &str)] = &[("cgroup.procs", ""), ("cpu.stat", "nr_periods 7\nnr_throttled 2\nthrottled_time 900000\n")];

impl Root {
    /// Files like those of version 2.
    pub(crate) fn version_2() -> Self {
        let root = Self::empty();
        root.mount("sys/fs/cgroup", "cgroup2", "rw", VERSION_2)
    }

    /// Files like those of version 1.
    pub(crate) fn version_1() -> Self {
        let files = [PIDS, BLKIO, CPUACCT, CPU, MEMORY];
        CONTROLLERS.iter().zip(files).fold(Self::empty(), |root, (controller, files)| {
            root.mount(&format!("sys/fs/cgroup/{controller}"), "cgroup", &format!("rw,{controller}"), files)
        })
    }

    /// Version 1 beside a version 2 that has no controllers.
    pub(crate) fn hybrid() -> Self {
        let root = Self::version_1();
        let mut root = root.mount("sys/fs/cgroup/unified", "cgroup2", "rw", &[("cgroup.procs", ""), ("cpu.pressure", PRESSURE)]);
        root.hierarchies.rotate_right(1);
        root
    }

    /// Real ones of version 1 in directories of their own; says why that cannot be.
    pub(crate) fn real() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut root = Self::empty();
        root.is_real = true;
        let name = format!("sluicebox-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let unified = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists().then_some("unified");
        for controller in unified.into_iter().chain(CONTROLLERS) {
            let mounted = Path::new("/sys/fs/cgroup").join(controller);
            let directory = mounted.join(&name);
            fs::create_dir(&directory).map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
            std::os::unix::fs::symlink(&mounted, root.path().join(controller)).map_err(|error| error.to_string())?;
            let (kind, options) = if controller == "unified" { ("cgroup2", "rw") } else { ("cgroup", controller) };
            root = root.mount(&format!("{controller}/{name}"), kind, &format!("rw,{options}"), &[]);
        }
        Ok(root)
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for directory in ["proc/1/ns", "sys/devices/system/cpu", "staging"] {
            fs::create_dir_all(folder.path().join(directory)).expect("it is made");
        }
        fs::write(folder.path().join("sys/devices/system/cpu/online"), "0-3\n").expect("it is written");
        // The namespace of the host's network; nobody here is in it.
        fs::write(folder.path().join("proc/1/ns/net"), "").expect("it is written");
        Self { folder, hierarchies: Vec::new(), is_real: false }
    }

    fn mount(mut self, at: &str, kind: &str, options: &str, files: &'static [(&'static str, &'static str)]) -> Self {
        let directory = self.path().join(at);
        fs::create_dir_all(&directory).expect("it is made");
        if !self.is_real {
            fs::write(directory.join("cgroup.procs"), "").expect("it is written");
        }
        let mounts = self.path().join("proc/1/mountinfo");
        let before = fs::read_to_string(&mounts).unwrap_or_default();
        let number = 30 + self.hierarchies.len();
        fs::write(&mounts, format!("{before}{number} 23 0:{number} / /{at} rw,nosuid - {kind} {kind} {options}\n"))
            .expect("it is written");
        self.hierarchies.push(Hierarchy { directory, files });
        self
    }

    /// The host's root as the source is told it.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether a file is that of a cgroup of ours.
    pub(crate) fn holds(&self, file: &Path) -> bool {
        self.hierarchies.iter().any(|hierarchy| {
            let directory = fs::canonicalize(&hierarchy.directory).unwrap_or_else(|_| hierarchy.directory.clone());
            file.starts_with(&directory) && *file != directory
        })
    }

    /// A pod as the driver `cgroupfs` names it, with containers; all at once.
    pub(crate) fn make_pod(&self, uid: &str, containers: &[&str]) {
        self.make(&pod_path(uid), containers);
    }

    /// A container in a pod that is there.
    pub(crate) fn make_container(&self, uid: &str, id: &str) {
        self.make(&format!("{}/{id}", pod_path(uid)), &[]);
    }

    /// A cgroup with others in it. It comes with its files, as the kernel's do.
    pub(crate) fn make(&self, path: &str, inside: &[&str]) {
        for hierarchy in &self.hierarchies {
            let place = below(&hierarchy.directory, path);
            fs::create_dir_all(place.parent().expect("it lies in something")).expect("it is made");
            if self.is_real {
                fs::create_dir(&place).expect("it is made");
                for name in inside {
                    fs::create_dir(place.join(name)).expect("it is made");
                }
                continue;
            }
            let staging = tempfile::tempdir_in(self.path().join("staging")).expect("a temporary directory");
            let staged = staging.path().join("cgroup");
            fs::create_dir(&staged).expect("it is made");
            for directory in std::iter::once(staged.clone()).chain(inside.iter().map(|name| staged.join(name))) {
                fs::create_dir_all(&directory).expect("it is made");
                for (file, text) in hierarchy.files {
                    fs::write(directory.join(file), text).expect("it is written");
                }
            }
            fs::rename(&staged, &place).expect("it is put in place");
        }
    }

    /// Writes a file of a cgroup, in whichever hierarchy has it.
    pub(crate) fn write(&self, path: &str, file: &str, text: &str) {
        let place = |hierarchy: &Hierarchy| below(&hierarchy.directory, path).join(file);
        let hierarchy = self.hierarchies.iter().find(|hierarchy| place(hierarchy).exists()).expect("some hierarchy has it");
        fs::write(place(hierarchy), text).expect("it is written");
    }

    /// Removes a cgroup and what lies in it, deepest first.
    pub(crate) fn remove(&self, path: &str) {
        self.hierarchies.iter().for_each(|hierarchy| remove(&below(&hierarchy.directory, path), self.is_real));
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.is_real {
            self.hierarchies.iter().for_each(|hierarchy| remove(&hierarchy.directory, true));
        }
    }
}

/// A uid as the API makes it.
pub(crate) fn pod_uid(number: usize) -> String {
    format!("5f32d849-6210-4886-a48d-e0d9{number:08}")
}

/// Where `make_pod` puts it.
pub(crate) fn pod_path(uid: &str) -> String {
    format!("/kubepods/burstable/pod{uid}")
}

fn below(directory: &Path, path: &str) -> PathBuf {
    directory.join(path.trim_start_matches('/'))
}

/// The files of a real cgroup are the kernel's: only directories can be removed.
fn remove(directory: &Path, is_real: bool) {
    if !is_real {
        fs::remove_dir_all(directory).expect("it is removed");
        return;
    }
    let inside = fs::read_dir(directory).into_iter().flatten().flatten();
    inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| remove(&entry.path(), true));
    // What is left after a test that failed is in nobody's way.
    drop(fs::remove_dir(directory));
}
