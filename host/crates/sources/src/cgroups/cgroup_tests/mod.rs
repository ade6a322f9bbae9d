//! A cgroup on the disk, and what its readings are shown as. What is tested with it stands in the files beside.

mod hostile;
mod kernels;
mod life;
mod real;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sluicebox_contract::{Increase, Reading};
use tempfile::TempDir;

use super::*;
use crate::cgroups::hierarchy::Controller;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cgroup-files");
const PATH: &str = "/kubepods/pod1";
const CONTROLLERS: [(Controller, &str); 5] = [
    (Controller::Cpu, "cpu"),
    (Controller::Cpuacct, "cpuacct"),
    (Controller::Memory, "memory"),
    (Controller::Blkio, "blkio"),
    (Controller::Pids, "pids"),
];

/// A cgroup on the disk.
struct Scene {
    folder: TempDir,
    hierarchies: Hierarchies,
    open_files: OpenFiles,
    complaints: Complaints,
    buffer: Buffer,
    start: Instant,
}

impl Scene {
    fn new(unified: bool, version_1: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = |name: &str| folder.path().join(name);
        let hierarchies = Hierarchies {
            unified: unified.then(|| mount("unified")),
            v1: CONTROLLERS.iter().filter(|_| version_1).map(|(controller, name)| (*controller, mount(name))).collect(),
        };
        let scene = Self {
            folder,
            hierarchies,
            open_files: OpenFiles::new(100),
            complaints: Complaints::default(),
            buffer: Buffer::new(),
            start: Instant::now(),
        };
        scene.make();
        scene
    }

    /// The directories of the cgroup.
    fn make(&self) {
        for mount in self.hierarchies.v1.values().chain(&self.hierarchies.unified) {
            fs::create_dir_all(mount.join(&PATH[1..])).unwrap();
        }
    }

    fn remove(&self) {
        for mount in self.hierarchies.v1.values().chain(&self.hierarchies.unified) {
            fs::remove_dir_all(mount.join(&PATH[1..])).unwrap();
        }
    }

    /// Of version 2, all files of a folder; of version 1, each where its name says.
    fn fill(&self, folder: &str, unified: bool) {
        for entry in fs::read_dir(format!("{FIXTURES}/{folder}")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let home = if unified { "unified" } else { name.split('.').next().unwrap() };
            fs::copy(entry.path(), self.file(home, &name)).unwrap();
        }
    }

    fn file(&self, home: &str, name: &str) -> PathBuf {
        self.folder.path().join(home).join(&PATH[1..]).join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.file("unified", name), text).unwrap();
    }

    fn open(&mut self) -> Cgroup {
        Cgroup::open(&self.hierarchies, PATH, Groups::default(), None, &self.open_files, &mut self.complaints)
    }

    fn open_pod(&mut self) -> Cgroup {
        let (network, groups) = (NetworkRoot::new(self.folder.path()), Groups { network: false, ..Groups::default() });
        Cgroup::open(&self.hierarchies, PATH, groups, Some(&network), &self.open_files, &mut self.complaints)
    }

    fn read(&mut self, cgroup: &mut Cgroup, second: u64) -> Result<Vec<Sample>, Gone> {
        let mut samples = Vec::new();
        let at = self.start + Duration::from_secs(second);
        cgroup.read(SubjectId(7), at, &mut self.buffer, &mut samples, &mut self.complaints)?;
        assert!(samples.is_sorted_by_key(|sample| sample.metric) && samples.iter().all(|sample| sample.subject == SubjectId(7)));
        Ok(samples)
    }

    /// Opens and reads once.
    fn once(&mut self) -> String {
        let mut cgroup = self.open();
        show(&self.read(&mut cgroup, 0).unwrap())
    }
}

/// `name=value` for each, with the increase of counters that have one.
fn show(samples: &[Sample]) -> String {
    let one = |sample: &Sample| match sample.reading {
        Reading::Value(value) => format!("{}={value}", sample.metric.name()),
        Reading::Unlimited => format!("{}=unlimited", sample.metric.name()),
        Reading::Counter { total, increase: None } => format!("{}={total}", sample.metric.name()),
        Reading::Counter { total, increase: Some(Increase { amount, over_nanos }) } => {
            format!("{}={total}+{amount}/{}s", sample.metric.name(), over_nanos / 1_000_000_000)
        }
    };
    samples.iter().map(one).collect::<Vec<_>>().join(" ")
}
