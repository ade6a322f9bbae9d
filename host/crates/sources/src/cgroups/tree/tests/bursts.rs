//! Whatever happens at once, nothing is lost and nothing is left behind.

use std::sync::atomic::{AtomicBool, Ordering};

use sluicebox_testkit::servers::{Need, require};

use super::*;

#[tokio::test]
async fn nothing_is_lost_when_more_happens_than_the_kernel_queues() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make(&pod(0));
    reader.settle().await;
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for _ in 0..=queue / 10_000 {
        for number in 0..5_000 {
            reader.make(&pod(number));
        }
        for number in 0..5_000 {
            reader.remove(&pod(number));
        }
    }
    for number in 2_500..2_600 {
        reader.make(&container(number));
    }
    reader.settle().await;
    assert!(reader.rescans > 0, "the queue of {queue} notices was to overflow");
    assert_eq!(reader.believed.len(), 200);
    check_is_small(&reader, 100);
    // And notices serve again.
    let rescans = reader.rescans;
    reader.make(&container(7));
    reader.settle().await;
    assert_eq!(reader.rescans, rescans);
}

/// Of what has gone, nothing is kept: a few levels, so many pods and their containers.
fn check_is_small(reader: &Reader, pods: usize) {
    assert!(reader.tree.known.len() <= 2 * pods + 5, "{} known", reader.tree.known.len());
    assert!(reader.tree.watches.len() <= pods + 5, "{} watched", reader.tree.watches.len());
    assert_eq!(reader.tree.watches.len(), reader.kernel_watches(), "the kernel holds watches of what has gone");
}

#[tokio::test]
async fn what_happens_while_we_look_is_not_lost() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    let root = folder.path().to_owned();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..20 {
                for number in 0..100 {
                    fs::create_dir_all(root.join(&container(number)[1..])).unwrap();
                }
                for number in (0..100).filter(|number| number % 10 != round % 10) {
                    fs::remove_dir_all(root.join(&pod(number)[1..])).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            reader.ask();
        }
    });
    reader.settle().await;
    assert!(!reader.believed.is_empty());
    assert_eq!(reader.tree.watches.len(), reader.kernel_watches());
}

#[tokio::test]
async fn a_container_that_comes_just_after_its_pod_is_not_lost() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    reader.make("/kubepods/burstable");
    reader.ask();
    let root = folder.path().to_owned();
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| {
            for number in 0..3_000 {
                fs::create_dir(root.join(&pod(number)[1..])).unwrap();
                fs::create_dir(root.join(&container(number)[1..])).unwrap();
            }
        });
        while !maker.is_finished() {
            reader.ask();
        }
    });
    reader.settle().await;
    assert_eq!(reader.believed.len(), 6_000);
    assert_eq!(reader.rescans, 0, "notices serve");
}

#[tokio::test]
async fn real_cgroups_come_and_go_without_loss() {
    if !require(Need::Cgroups) {
        return;
    }
    let mount = Hierarchies::find(Path::new("/")).unwrap().watched().unwrap().to_owned();
    let folder = RealFolder(mount.join(format!("sluicebox-tree-{}", std::process::id())));
    fs::create_dir(&folder.0).unwrap();
    let mut reader = Reader::open(&folder.0, Wanted::Kubernetes, NEVER);
    reader.ask();
    for number in 0..5_000 {
        reader.make(&pod(number));
    }
    reader.make(&container(4_900));
    for number in 0..4_900 {
        reader.remove(&pod(number));
    }
    reader.settle().await;
    assert_eq!(reader.believed.len(), 101);
    check_is_small(&reader, 100);

    // Between two questions, under the same name.
    reader.remove(&container(4_900));
    reader.remove(&pod(4_900));
    reader.make(&container(4_900));
    let expected = format!("-{0} -{1} +{0} +{1}", pod(4_900), container(4_900));
    assert_eq!(strings(&reader.ask()), expected);
    reader.remove(&container(4_900));
    reader.settle().await;
    check_is_small(&reader, 100);
    assert_eq!(reader.rescans, 0, "notices serve");
}

/// A cgroup of our own, removed with all that is in it.
struct RealFolder(PathBuf);

impl Drop for RealFolder {
    fn drop(&mut self) {
        remove_cgroup(&self.0);
    }
}

/// The files of a cgroup cannot be removed, and need not be.
fn remove_cgroup(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
