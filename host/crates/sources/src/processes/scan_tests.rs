//! Processes on a `/proc` made of files, and real ones in network namespaces of their own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluicebox_testkit::servers::{Need, require};
use tempfile::TempDir;

use super::*;
use crate::cgroups::place::Place;

const UID: &str = "12b379f7-ef99-46e5-8125-0129a27bd799";
const ID: &str = "11e9220bd2b450ed40132bcd5cdc3c115b93c69d02c37d844fec7574026edff3";

/// One process, looked at alone.
fn of_pid(root: &Path, pid: u32) -> Option<Process> {
    process(&root.join(pid.to_string()), &mut Vec::new())
}

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn process(&self, pid: &str, cgroup: &str, namespace: Option<u32>) {
        fs::create_dir_all(self.path(pid).join("ns")).unwrap();
        fs::create_dir_all(self.path(pid).join("net")).unwrap();
        fs::write(self.path(pid).join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        fs::write(self.path(pid).join("stat"), format!("{pid} (a) S {}77 0\n", "0 ".repeat(18))).unwrap();
        if let Some(inode) = namespace {
            symlink(format!("net:[{inode}]"), self.path(pid).join("ns/net")).unwrap();
        }
    }

    fn container(&self, pid: &str, namespace: Option<u32>) {
        self.process(pid, &format!("/kubepods/besteffort/pod{UID}/{ID}"), namespace);
    }

    fn scan(&self) -> Processes {
        scan(self.0.path()).unwrap()
    }
}

#[test]
fn processes_are_told_from_what_else_stands_there() {
    let scene = Scene::new();
    scene.process("1", "/init.scope", Some(5));
    scene.container("20", Some(6));
    scene.process("sys", "/", None);
    fs::write(scene.path("30"), "no directory").unwrap();
    let processes = scene.scan();
    assert_eq!(processes.count(), 2);
    assert_eq!(processes.container_pids(ID), [20]);
    assert_eq!(processes.host_namespace(), Some(5));
    assert!(matches!(processes.in_namespace(6), [Place::Container { id, .. }] if id == ID));
    assert_eq!(processes.process(20), of_pid(scene.0.path(), 20).as_ref());
    assert_eq!(processes.process(20).map(|process| process.started), Some(77));
    assert_eq!(of_pid(scene.0.path(), 21), None);
}

#[test]
fn one_that_ends_meanwhile_is_left_out() {
    let scene = Scene::new();
    scene.container("20", Some(6));
    for missing in ["cgroup", "stat"] {
        scene.container("21", None);
        fs::remove_file(scene.path("21").join(missing)).unwrap();
        assert_eq!(scene.scan().container_pids(ID), [20], "{missing}");
    }
}

#[test]
fn a_namespace_that_may_not_be_looked_at_is_none() {
    let scene = Scene::new();
    scene.process("1", "/", None);
    scene.container("20", None);
    let processes = scene.scan();
    assert_eq!(processes.host_namespace(), None);
    assert_eq!(processes.process(20).and_then(|process| process.network_namespace), None);
    assert_eq!(processes.container_pids(ID), [20]);
}

#[test]
fn our_own_namespace_is_the_hosts_if_both_see_the_same() {
    let scene = Scene::new();
    scene.process("1", "/", None);
    scene.process("self", "/", Some(5));
    fs::write(scene.path("1/net/dev"), "").unwrap();
    fs::write(scene.path("self/net/dev"), "").unwrap();
    assert_eq!(scene.scan().host_namespace(), None);
    fs::remove_file(scene.path("self/net/dev")).unwrap();
    fs::hard_link(scene.path("1/net/dev"), scene.path("self/net/dev")).unwrap();
    assert_eq!(scene.scan().host_namespace(), Some(5));
}

#[test]
fn no_more_than_so_many_are_looked_at_and_the_rest_is_counted() {
    let scene = Scene::new();
    for pid in 1..=5 {
        scene.container(&pid.to_string(), None);
    }
    let processes = scan_at_most(scene.0.path(), 3).unwrap();
    assert_eq!((processes.count(), processes.not_seen()), (3, 2));
}

#[test]
fn a_file_that_does_not_end_is_cut() {
    let scene = Scene::new();
    scene.container("20", None);
    let line = format!("1:a:/{}\n", "x".repeat(4000));
    fs::write(scene.path("20/cgroup"), line.repeat(1000) + &format!("0::/kubepods/pod{UID}/{ID}\n")).unwrap();
    assert_eq!(scene.scan().process(20).map(|process| process.place.is_none()), Some(true));
}

#[test]
fn where_nothing_is_mounted_is_an_error() {
    assert!(scan(&Scene::new().path("proc")).is_err());
}

#[test]
fn this_process_is_one_of_those_that_are_there() {
    let processes = scan(Path::new("/proc")).unwrap();
    let own = of_pid(Path::new("/proc"), std::process::id()).unwrap();
    assert_eq!(processes.process(std::process::id()), Some(&own));
    assert!(own.network_namespace.is_some() && own.started > 0);
}

/// A process that sleeps in a network namespace of its own.
struct Sleeper(Child);

impl Sleeper {
    async fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
        let sleeper = Self(child);
        let begun = Instant::now();
        while sleeper.namespace() == of_pid(Path::new("/proc"), std::process::id()).unwrap().network_namespace {
            assert!(begun.elapsed() < Duration::from_secs(10), "it got no namespace of its own");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sleeper
    }

    fn namespace(&self) -> Option<u32> {
        of_pid(Path::new("/proc"), self.0.id()).unwrap().network_namespace
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn real_processes_are_in_real_namespaces() {
    if !require(Need::NetworkNamespaces) {
        return;
    }
    let (one, other) = (Sleeper::new().await, Sleeper::new().await);
    let processes = scan(Path::new("/proc")).unwrap();
    let found = |sleeper: &Sleeper| processes.process(sleeper.0.id()).unwrap().network_namespace.unwrap();
    assert_ne!(found(&one), found(&other));
    assert_eq!(Some(found(&one)), one.namespace());
    // They belong to no pod.
    assert_eq!(processes.in_namespace(found(&one)), []);
}
