//! Whole cgroups: what kernels have written, what a file system can do to us, and real ones.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sluicebox_contract::{Increase, Metric, Reading};
use sluicebox_testkit::servers::{Need, require};
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
        Cgroup::open(&self.hierarchies, PATH, &Groups::default(), None, &self.open_files, &mut self.complaints)
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

#[test]
fn a_pod_of_kernel_6_1() {
    let mut scene = Scene::new(true, false);
    scene.fill("recorded-6.1-unified/pod", true);
    assert_eq!(
        scene.once(),
        "cpu-usage=840000000 cpu-user=800000000 cpu-system=40000000 cpu-periods=42 cpu-throttled-periods=42 \
         cpu-throttled-time=3310000000 memory-usage=30318592 memory-limit=99999744 memory-working-set=30318592 memory-swap-usage=0 \
         memory-swap-limit=unlimited memory-anonymous=69632 memory-file=30003200 memory-kernel-stack=16384 memory-page-tables=20480 \
         memory-slab-reclaimable=83376 memory-oom-kills=0 pids-current=2 pids-limit=unlimited io-read-bytes=2211840 \
         io-written-bytes=0 io-reads=35 io-writes=0"
    );
    assert_eq!(scene.complaints.take_count(), 0, "what a kernel lacks is no mistake");
}

#[test]
fn a_pod_of_kernel_6_12() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    let (some, full) = ("91487491000", "84675542000");
    assert_eq!(
        scene.once(),
        format!(
            "cpu-usage=5123456000 cpu-user=4000000000 cpu-system=1123456000 cpu-periods=900 cpu-throttled-periods=12 \
             cpu-throttled-time=345678000 cpu-pressure-some={some} cpu-pressure-full={full} memory-usage=268435456 \
             memory-limit=536870912 memory-working-set=167772160 memory-swap-usage=4096 memory-swap-limit=0 \
             memory-anonymous=104857600 memory-file=150994944 memory-kernel-stack=327680 memory-page-tables=1048576 \
             memory-slab-reclaimable=4194304 memory-swapped-in=7 memory-swapped-out=8 memory-oom-kills=3 \
             memory-pressure-some={some} memory-pressure-full={full} pids-current=17 pids-limit=unlimited io-read-bytes=1001 \
             io-written-bytes=2002 io-reads=13 io-writes=24 io-pressure-some={some} io-pressure-full={full}"
        )
    );
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (0, 0));
}

#[test]
fn a_pod_of_kernel_6_18_under_version_1_with_pressure_beside() {
    let mut scene = Scene::new(true, true);
    scene.fill("recorded-6.18-hybrid/v1", false);
    scene.fill("recorded-6.18-hybrid/unified", true);
    let text = scene.once();
    let text: Vec<&str> = text.split(' ').collect();
    for expected in [
        "cpu-usage=1192046301",
        "cpu-user=1139449768",
        "cpu-system=83975473",
        "cpu-periods=12",
        "cpu-throttled-periods=11",
        "cpu-throttled-time=808406984",
        "memory-usage=1560576",
        "memory-limit=unlimited",
        "memory-swap-usage=0",
        "memory-swap-limit=unlimited",
        "memory-oom-kills=0",
        "pids-limit=unlimited",
        "io-read-bytes=0",
        "io-writes=0",
    ] {
        assert!(text.contains(&expected), "{expected} in {text:?}");
    }
    let names: Vec<&str> = text.iter().map(|one| one.split('=').next().unwrap()).collect();
    for name in
        ["cpu-pressure-full", "memory-working-set", "memory-anonymous", "memory-file", "memory-pressure-some", "io-pressure-full"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn a_pod_of_kernel_4_4() {
    let mut scene = Scene::new(false, true);
    scene.fill("composed-4.4-v1", false);
    assert_eq!(
        scene.once(),
        "cpu-usage=2000000000 cpu-user=1500000000 cpu-system=400000000 cpu-periods=100 cpu-throttled-periods=5 \
         cpu-throttled-time=123456789 memory-usage=209715200 memory-limit=419430400 memory-working-set=167772160 \
         memory-swap-usage=10485760 memory-swap-limit=419430400 memory-anonymous=125829120 memory-file=62914560 pids-current=9 \
         pids-limit=100 io-read-bytes=4097 io-written-bytes=8194 io-reads=2 io-writes=3"
    );
}

#[test]
fn the_first_reading_has_no_increases_and_the_second_has() {
    let mut scene = Scene::new(true, false);
    scene.write("cpu.stat", "usage_usec 1000000\n");
    scene.write("memory.current", "5\n");
    let mut cgroup = scene.open();
    assert_eq!(show(&scene.read(&mut cgroup, 0).unwrap()), "cpu-usage=1000000000 memory-usage=5");
    scene.write("cpu.stat", "usage_usec 6000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 5).unwrap()), "cpu-usage=6000000000+5000000000/5s memory-usage=5");
    scene.write("cpu.stat", "user_usec 1\nusage_usec 2000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 10).unwrap()), "cpu-usage=2000000000 cpu-user=1000 memory-usage=5");
    scene.write("cpu.stat", "usage_usec oops\n");
    assert_eq!(show(&scene.read(&mut cgroup, 15).unwrap()), "memory-usage=5");
    scene.write("cpu.stat", "usage_usec 2000001\n");
    assert_eq!(show(&scene.read(&mut cgroup, 20).unwrap()), "cpu-usage=2000001000+1000/10s memory-usage=5");
}

#[test]
fn within_the_budget_files_are_kept_open_and_beyond_it_they_are_not() {
    let told = [0, 3, 100].map(|most| {
        let mut scene = Scene::new(true, false);
        scene.fill("composed-6.12-unified", true);
        scene.open_files = OpenFiles::new(most);
        let mut cgroup = scene.open();
        scene.read(&mut cgroup, 0).unwrap();
        let told = show(&scene.read(&mut cgroup, 5).unwrap());
        assert_eq!(scene.open_files.open(), most.min(13));
        drop(cgroup);
        assert_eq!(scene.open_files.open(), 0);
        told
    });
    assert_eq!(told[0], told[2]);
    assert_eq!(told[1], told[2]);
}

#[test]
fn files_are_kept_open_when_there_is_room_again() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    scene.open_files = OpenFiles::new(13);
    let (first, mut second) = (scene.open(), scene.open());
    scene.read(&mut second, 0).unwrap();
    drop(first);
    assert_eq!(scene.open_files.open(), 0);
    scene.read(&mut second, 5).unwrap();
    assert_eq!(scene.open_files.open(), 13);
}

#[test]
fn a_cgroup_that_is_removed_is_gone() {
    let mut scene = Scene::new(true, true);
    scene.open_files = OpenFiles::new(0);
    scene.fill("recorded-6.18-hybrid/v1", false);
    scene.fill("recorded-6.18-hybrid/unified", true);
    let mut cgroup = scene.open();
    assert!(scene.read(&mut cgroup, 0).is_ok());
    let said = scene.complaints.said();
    fs::remove_dir_all(scene.file("cpu", "")).unwrap();
    assert!(scene.read(&mut cgroup, 5).is_ok_and(|samples| !samples.is_empty()), "the others are still there");
    scene.make();
    scene.remove();
    assert_eq!(scene.read(&mut cgroup, 10), Err(Gone));
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (said, 0), "that is an expected end");
}

#[test]
fn a_file_that_is_removed_between_opening_and_reading_is_no_data() {
    let mut scene = Scene::new(true, false);
    scene.open_files = OpenFiles::new(0);
    scene.fill("composed-6.12-unified", true);
    let mut cgroup = scene.open();
    fs::remove_file(scene.file("unified", "memory.current")).unwrap();
    let told = show(&scene.read(&mut cgroup, 0).unwrap());
    assert!(told.contains("cpu-usage=") && !told.contains("memory-usage=") && !told.contains("working-set"), "{told}");
}

#[test]
fn files_that_come_later_are_found() {
    let mut scene = Scene::new(true, false);
    let mut cgroup = scene.open();
    assert_eq!(scene.read(&mut cgroup, 0), Ok(Vec::new()));
    assert_eq!(scene.complaints.said(), 0, "a cgroup that is being made is nothing to talk about");
    scene.fill("composed-6.12-unified", true);
    assert_eq!(scene.read(&mut cgroup, 5).unwrap().len(), 31);
}

#[test]
fn what_is_missing_for_good_is_said_once_and_hardly_asked_for() {
    let mut scene = Scene::new(true, false);
    scene.write("memory.current", "5\n");
    let mut cgroups = [scene.open(), scene.open(), scene.open()];
    for second in 0..200 {
        for cgroup in &mut cgroups {
            scene.read(cgroup, second).unwrap();
        }
    }
    assert_eq!((scene.complaints.said(), scene.complaints.take_count()), (12, 0));
}

#[test]
fn a_cgroup_made_anew_counts_anew() {
    let mut scene = Scene::new(true, false);
    scene.open_files = OpenFiles::new(0);
    scene.write("cpu.stat", "usage_usec 10\n");
    let mut cgroup = scene.open();
    scene.read(&mut cgroup, 0).unwrap();
    // The inode of the file that was there is not free to be used again.
    let _held = fs::File::open(scene.file("unified", "cpu.stat")).unwrap();
    scene.remove();
    scene.make();
    scene.write("cpu.stat", "usage_usec 5000000\n");
    assert_eq!(show(&scene.read(&mut cgroup, 5).unwrap()), "cpu-usage=5000000000");
    scene.write("cpu.stat", "usage_usec 5000001\n");
    assert_eq!(show(&scene.read(&mut cgroup, 10).unwrap()), "cpu-usage=5000001000+1000/5s");
}

/// Each in the place of `memory.current` and of `memory.stat`: nothing of it is told, the rest is, and it takes no time and no memory.
#[test]
fn files_that_no_kernel_writes_are_refused() {
    let texts: [(&str, Vec<u8>); 7] = [
        ("empty", Vec::new()),
        ("words", b"memory usage: plenty\n".to_vec()),
        ("too large", b"18446744073709551616".to_vec()),
        ("negative", b"-1\n".to_vec()),
        ("a fraction", b"42.5\n".to_vec()),
        ("binary", (0..=255).cycle().take(5000).collect()),
        ("a million lines", b"anon x\n".repeat(1_000_000)),
    ];
    for (name, text) in texts {
        evil(name, |path| fs::write(path, &text).unwrap());
    }
    evil("a gibibyte of nothing", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap());
    evil("a gibibyte of digits", |path| {
        fs::write(path, vec![b'7'; 1 << 20]).unwrap();
        fs::OpenOptions::new().append(true).open(path).unwrap().set_len(1 << 30).unwrap();
    });
    evil("a FIFO", |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap());
    evil("a directory", |path| fs::create_dir(path).unwrap());
    evil("a link", |path| std::os::unix::fs::symlink("/proc/self/stat", path).unwrap());
    evil("a link in a circle", |path| std::os::unix::fs::symlink(path, path).unwrap());
}

fn evil(name: &str, make: impl Fn(&std::path::Path)) {
    let mut scene = Scene::new(true, false);
    scene.write("pids.current", "3\n");
    for file in ["memory.current", "memory.stat", "memory.max", "io.stat", "io.pressure"] {
        make(&scene.file("unified", file));
    }
    let mut cgroup = scene.open();
    let start = Instant::now();
    for second in 0..100 {
        let mut samples = scene.read(&mut cgroup, second).unwrap();
        if name == "empty" {
            // That is what stands there before a device is used.
            assert_eq!(samples.split_off(1).len(), 4);
        }
        assert_eq!(show(&samples), "pids-current=3", "{name}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    assert!(scene.complaints.take_count() > 0, "{name} is counted");
    assert!(scene.complaints.said() < 20, "{name}");
}

/// The limit holds for a whole process, so that the test starts itself.
#[test]
fn a_process_without_descriptors_reads_what_it_can_and_says_it_once() {
    let me = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap().replace("a_process", "inside_a_process");
    let shell =
        Command::new("sh").args(["-c", "ulimit -n 32; exec \"$0\" --exact \"$1\" --ignored"]).arg(me).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&shell.stdout);
    assert!(shell.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by the test above, with few descriptors"]
fn inside_a_process_without_descriptors_reads_what_it_can_and_says_it_once() {
    let mut scene = Scene::new(true, false);
    scene.fill("composed-6.12-unified", true);
    scene.open_files = OpenFiles::new(1_000_000);
    let mut cgroups: Vec<Cgroup> = (0..10).map(|_| scene.open()).collect();
    assert_eq!(scene.complaints.said(), 1);
    assert!(scene.complaints.take_count() > 0);
    let mut last = cgroups.pop().unwrap();
    assert_eq!(scene.read(&mut last, 0), Ok(Vec::new()), "nothing is left for the last one, and it is not gone");
    cgroups.clear();
    for second in 1..200 {
        let samples = scene.read(&mut last, second).unwrap();
        if samples.len() == 31 {
            return;
        }
    }
    panic!("it was not read again when there were descriptors");
}

/// Removed when the test ends, however it does.
struct Real(Vec<PathBuf>);

impl Real {
    fn new(hierarchies: &Hierarchies, path: &str) -> Self {
        let real = Self(hierarchies.v1.values().chain(&hierarchies.unified).map(|mount| mount.join(&path[1..])).collect());
        real.make();
        real
    }

    fn make(&self) {
        for directory in &self.0 {
            let _there = fs::create_dir(directory);
        }
    }

    fn remove(&self) {
        for directory in &self.0 {
            let _gone = fs::remove_dir(directory);
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn a_real_cgroup_is_read_goes_and_comes_again() {
    if !require(Need::Cgroups) {
        return;
    }
    let mut scene = Scene::new(true, false);
    scene.hierarchies = Hierarchies::find(std::path::Path::new("/")).unwrap();
    let path = format!("/sluicebox-read-{}", std::process::id());
    let real = Real::new(&scene.hierarchies, &path);
    let mut cgroup = Cgroup::open(&scene.hierarchies, &path, &Groups::default(), None, &scene.open_files, &mut scene.complaints);
    let first = scene.read(&mut cgroup, 0).unwrap();
    let second = scene.read(&mut cgroup, 5).unwrap();
    let find = |samples: &[Sample], metric| samples.iter().find(|sample| sample.metric == metric).map(|sample| sample.reading);
    assert_eq!(find(&first, Metric::CpuUsage), Some(Reading::Counter { total: 0, increase: None }));
    let still = Some(Increase { amount: 0, over_nanos: 5_000_000_000 });
    assert_eq!(find(&second, Metric::CpuUsage), Some(Reading::Counter { total: 0, increase: still }));
    assert_eq!(scene.complaints.take_count(), 0);

    real.remove();
    real.make();
    let anew = scene.read(&mut cgroup, 10).unwrap();
    assert_eq!(
        find(&anew, Metric::CpuUsage),
        Some(Reading::Counter { total: 0, increase: None }),
        "another cgroup of the same name"
    );
    real.remove();
    assert_eq!(scene.read(&mut cgroup, 15), Err(Gone));
    assert_eq!(scene.complaints.take_count(), 0);
}
