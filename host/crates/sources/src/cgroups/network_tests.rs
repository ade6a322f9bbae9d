//! Pods with and without a namespace of their own, on a `/proc` made of files; the inode of `ns/net` stands for the namespace.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluicebox_contract::{Metric, Reading};
use sluicebox_testkit::servers::{Need, require};
use tempfile::TempDir;

use super::*;

const HEAD: &str = "Inter-|   Receive  |  Transmit\n face |bytes packets\n";

struct Scene {
    folder: TempDir,
    network: Option<Network>,
    open_files: OpenFiles,
    complaints: Complaints,
    buffer: Buffer,
}

impl Scene {
    /// A pod with a container, on a host whose first process is number 1.
    fn new() -> Self {
        Self::with_open_files(10)
    }

    fn with_open_files(most: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self {
            folder,
            network: None,
            open_files: OpenFiles::new(most),
            complaints: Complaints::default(),
            buffer: Buffer::new(),
        };
        scene.process(1, None, "");
        scene.write("cgroup/pod/cgroup.procs", "");
        scene.write("cgroup/pod/container/cgroup.procs", "");
        let hierarchies = Hierarchies { unified: Some(scene.path("cgroup")), ..Hierarchies::default() };
        let root = NetworkRoot::new(scene.folder.path());
        scene.network = Network::new(&root, &hierarchies, "/pod", &mut scene.complaints);
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A process in a namespace of its own, or in that of another process.
    fn process(&self, process: u32, with: Option<u32>, interfaces: &str) {
        let namespace = format!("proc/{process}/ns/net");
        self.write(&format!("proc/{process}/net/dev"), &format!("{HEAD}{interfaces}"));
        match with {
            None => self.write(&namespace, ""),
            Some(other) => {
                fs::create_dir_all(self.path(&format!("proc/{process}/ns"))).unwrap();
                fs::hard_link(self.path(&format!("proc/{other}/ns/net")), self.path(&namespace)).unwrap();
            }
        }
    }

    fn ends(&self, process: u32) {
        fs::remove_dir_all(self.path(&format!("proc/{process}"))).unwrap();
    }

    fn members(&self, processes: &str) {
        self.write("cgroup/pod/container/cgroup.procs", processes);
    }

    /// The bytes received, if they are told; and whether they are those of another namespace.
    fn read(&mut self) -> (Option<u64>, bool) {
        let mut values = Values::new();
        let network = self.network.as_mut().unwrap();
        network.read(&self.open_files, &mut self.buffer, &mut values, &mut self.complaints);
        let received = values.readings(|_, total| Reading::Value(total)).find_map(|(metric, reading)| match reading {
            Reading::Value(value) if metric == Metric::NetworkReceivedBytes => Some(value),
            _ => None,
        });
        (received, network.take_anew())
    }

    /// Reads as often as it takes until a look is due again.
    fn read_until_looked(&mut self) -> Vec<(Option<u64>, bool)> {
        (0..=TICKS_BETWEEN_LOOKS).map(|_| self.read()).collect()
    }
}

fn eth0(received: u64) -> String {
    format!("  eth0: {received} 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n")
}

#[test]
fn a_process_below_the_pod_is_found() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.members("100\n");
    assert_eq!(scene.read(), (Some(7), true));
    scene.process(100, None, &eth0(9));
    assert_eq!(scene.read(), (Some(9), false));
    assert_eq!(scene.open_files.open(), 1);
    scene.network = None;
    assert_eq!(scene.open_files.open(), 0, "nothing keeps the namespace");
}

/// As of a container that runs containers.
#[test]
fn what_lies_less_deep_is_asked_first() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.process(200, None, &eth0(1_000));
    for number in 0..16 {
        scene.write(&format!("cgroup/pod/container/docker{number}/cgroup.procs"), "");
        scene.write(&format!("cgroup/pod/container/docker{number}/inner/cgroup.procs"), "200\n");
        // Wherever it stands in the directory, another one stands behind it.
        scene.write("cgroup/pod/container/init/cgroup.procs", "100\n");
    }
    assert_eq!(scene.read(), (Some(7), true));
}

#[test]
fn a_pod_in_the_namespace_of_the_host_has_none() {
    let mut scene = Scene::new();
    scene.process(100, Some(1), &eth0(7));
    scene.members("100\n");
    assert!(scene.read_until_looked().iter().all(|read| *read == (None, false)));
    assert_eq!(scene.open_files.open(), 0);
}

#[test]
fn a_container_that_leaves_the_namespace_of_the_host_is_seen() {
    let mut scene = Scene::new();
    scene.process(100, Some(1), &eth0(7));
    scene.members("100\n");
    assert_eq!(scene.read(), (None, false));
    scene.ends(100);
    scene.process(100, None, &eth0(8));
    assert!(scene.read_until_looked().contains(&(Some(8), true)));
}

#[test]
fn the_next_process_of_the_same_namespace_goes_on_counting() {
    let mut scene = Scene::with_open_files(0);
    scene.process(100, None, &eth0(7));
    scene.process(200, Some(100), &eth0(8));
    scene.members("200\n100\n");
    assert_eq!(scene.read(), (Some(7), true), "the lowest number comes first");
    scene.ends(100);
    assert_eq!(scene.read(), (Some(8), false), "nothing is lost where a file is not kept open");
    scene.ends(200);
    assert_eq!(scene.read(), (None, false));
    scene.process(300, None, &eth0(9));
    scene.members("300\n");
    assert!(scene.read_until_looked().contains(&(Some(9), true)), "nobody was left: it is another one");

    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.process(200, Some(100), &eth0(8));
    scene.members("100\n200\n");
    assert_eq!(scene.read(), (Some(7), true));
    scene.ends(100);
    let reads: Vec<_> = scene.read_until_looked();
    assert!(reads.iter().all(|read| *read == (Some(7), false)), "an open file lasts: {reads:?}");
}

#[test]
fn another_namespace_is_counted_anew() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.members("100\n");
    assert_eq!(scene.read(), (Some(7), true));
    scene.process(200, None, &eth0(1));
    scene.members("200\n");
    scene.ends(100);
    let reads = scene.read_until_looked();
    assert!(reads.contains(&(Some(1), true)), "{reads:?}");
    assert_eq!(scene.open_files.open(), 1);
}

/// A number may be given to another process at any time.
#[test]
fn a_process_of_another_pod_is_not_read() {
    let mut scene = Scene::with_open_files(0);
    scene.process(100, None, &eth0(7));
    scene.process(300, None, "");
    scene.members("100\n");
    assert_eq!(scene.read(), (Some(7), true));
    scene.ends(100);
    scene.members("");
    scene.process(100, Some(300), &eth0(1_000_000));
    assert_eq!(scene.read(), (None, false));
}

#[test]
fn when_no_process_is_left_nothing_is_kept_open() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.members("100\n");
    scene.write("cgroup/pod/cgroup.events", "populated 1\nfrozen 0\n");
    assert_eq!(scene.read(), (Some(7), true));
    assert_eq!(scene.open_files.open(), 2);
    scene.write("cgroup/pod/cgroup.events", "populated 0\nfrozen 0\n");
    assert_eq!(scene.read(), (None, false));
    assert_eq!(scene.open_files.open(), 1);
    scene.write("cgroup/pod/cgroup.events", "populated 1\nfrozen 0\n");
    assert_eq!(scene.read(), (Some(7), true));

    // Without that file, it is seen at the next look.
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.members("100\n");
    assert_eq!(scene.read(), (Some(7), true));
    scene.ends(100);
    scene.members("");
    scene.read_until_looked();
    assert_eq!(scene.open_files.open(), 0);
}

#[test]
fn what_looks_after_a_container_is_none() {
    let mut scene = Scene::new();
    scene.process(50, Some(1), "");
    scene.process(100, None, &eth0(7));
    scene.write("cgroup/pod/crio-conmon-abc.scope/cgroup.procs", "50\n");
    scene.members("100\n");
    assert_eq!(scene.read(), (Some(7), true));
}

#[test]
fn processes_that_are_not_visible_are_said_once() {
    let mut scene = Scene::new();
    scene.members("0\n0\n");
    for _ in 0..100 {
        assert_eq!(scene.read(), (None, false));
    }
    assert_eq!(scene.complaints.said(), 1);
}

#[test]
fn a_namespace_that_may_not_be_looked_at_is_said_once_and_another_process_is_asked() {
    let mut scene = Scene::new();
    for process in 100..110 {
        let link = scene.path(&format!("proc/{process}/ns"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&link, &link).unwrap();
    }
    scene.members("100\n101\n102\n103\n104\n105\n106\n107\n108\n109\n");
    for _ in 0..100 {
        assert_eq!(scene.read(), (None, false));
    }
    assert_eq!(scene.complaints.said(), 1);
    assert!((10..40).contains(&scene.complaints.take_count()), "once for each look");
    scene.process(200, None, &eth0(7));
    scene.members("100\n200\n");
    assert!(scene.read_until_looked().contains(&(Some(7), true)));
}

#[test]
fn without_the_namespace_of_the_host_there_is_no_network() {
    let folder = tempfile::tempdir().unwrap();
    // The namespace of this process is there, and another one than that of the host.
    let own = folder.path().join("own");
    for directory in ["self/ns", "self/net", "1/net"] {
        fs::create_dir_all(own.join(directory)).unwrap();
    }
    for file in ["self/ns/net", "self/net/dev", "1/net/dev"] {
        fs::write(own.join(file), "").unwrap();
    }
    let (root, mut complaints) = (NetworkRoot::with_own(folder.path(), &own), Complaints::default());
    let hierarchies = Hierarchies { unified: Some(folder.path().to_owned()), ..Hierarchies::default() };
    for _ in 0..10 {
        assert!(Network::new(&root, &hierarchies, "/pod", &mut complaints).is_none());
    }
    assert_eq!(complaints.said(), 1);
    // Both see the same interfaces.
    fs::remove_file(own.join("1/net/dev")).unwrap();
    fs::hard_link(own.join("self/net/dev"), own.join("1/net/dev")).unwrap();
    let root = NetworkRoot::with_own(folder.path(), &own);
    assert!(Network::new(&root, &hierarchies, "/pod", &mut complaints).is_some());
}

#[test]
fn where_no_processes_of_the_host_are_mounted_our_own_are_asked() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    scene.members("100\n");
    let elsewhere = scene.path("host");
    fs::create_dir_all(&elsewhere).unwrap();
    let hierarchies = Hierarchies { unified: Some(scene.path("cgroup")), ..Hierarchies::default() };
    let root = NetworkRoot::with_own(&elsewhere, &scene.path("proc"));
    scene.network = Network::new(&root, &hierarchies, "/pod", &mut scene.complaints);
    assert_eq!(scene.read(), (Some(7), true));
    // Without the host's process ids.
    scene.members("0\n");
    scene.ends(100);
    assert!(scene.read_until_looked().contains(&(None, false)));
    assert_eq!(scene.complaints.said(), 1);
}

#[test]
fn lists_of_processes_may_be_anything() {
    let far = "4294967296\n99999999999999999999999\n-1\nx\n\n";
    for text in ["", "\n\n\n", "100", "\u{0}\u{1}", far, &"7\n".repeat(1_000_000)] {
        let mut scene = Scene::new();
        scene.process(100, None, &eth0(7));
        scene.members(text);
        assert_eq!(scene.read(), (None, false), "{}", &text[..text.len().min(40)]);
    }
    let mut scene = Scene::new();
    let pipe = scene.path("cgroup/pod/container/cgroup.procs");
    fs::remove_file(&pipe).unwrap();
    rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(scene.read(), (None, false), "a FIFO is not waited for");
}

#[test]
fn the_walk_is_bounded() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(7));
    for wide in 0..300 {
        scene.write(&format!("cgroup/pod/empty{wide}/cgroup.procs"), "");
    }
    let deep = (0..300).map(|_| "d").collect::<Vec<_>>().join("/");
    scene.write(&format!("cgroup/pod/{deep}/cgroup.procs"), "100\n");
    let start = Instant::now();
    assert_eq!(scene.read(), (None, false));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_list_of_interfaces_that_is_too_long_is_refused_and_counted() {
    let mut scene = Scene::new();
    scene.process(100, None, &eth0(1).repeat(1_000));
    scene.members("100\n");
    assert_eq!(scene.read().0, Some(1_000), "many interfaces come in many pieces");
    scene.process(100, None, &eth0(1).repeat(100_000));
    assert_eq!(scene.read().0, None);
    assert!(scene.complaints.take_count() > 0);
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn a_real_namespace_is_read() {
    if !require(Need::Cgroups) {
        return;
    }
    let sleeping = Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).spawn().map(Ended);
    let sleeping = sleeping.expect("unshare, of util-linux, can be run by root");
    let ours = std::process::id();
    let mut scene = Scene::new();
    let hierarchies = Hierarchies { unified: Some(scene.path("cgroup")), ..Hierarchies::default() };
    let root = NetworkRoot::new(Path::new("/"));
    assert!(see_the_same(Path::new(OWN_PROCESSES), "1", "self"), "the tests run on the host");
    scene.network = Network::new(&root, &hierarchies, "/pod", &mut scene.complaints);
    scene.members(&format!("{ours}\n"));
    assert_eq!(scene.read(), (None, false), "the tests run on the host");
    scene.members(&format!("{}\n", sleeping.0.id()));
    let deadline = Instant::now() + Duration::from_mins(1);
    let read = loop {
        let read = scene.read();
        if read.0.is_some() || Instant::now() > deadline {
            break read;
        }
        std::thread::yield_now();
    };
    assert_eq!(read, (Some(0), true), "nothing but the loopback is there");
    assert!(
        !see_the_same(Path::new(OWN_PROCESSES), "1", &sleeping.0.id().to_string()),
        "that of another namespace is another file"
    );
    drop(sleeping);
    assert!(scene.read_until_looked().contains(&(None, false)), "it was noticed that the process has ended");
    assert_eq!(scene.open_files.open(), 0);
}
