//! What is too much, too deep, odd, forged or not to be watched.

use super::*;

#[tokio::test]
async fn without_watches_cgroups_are_found_from_time_to_time() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, SOON);
    reader.tree.watches = Watches::refused();
    reader.tree.signal = Signal::new(None, SOON.poll);
    reader.make(&container(1));
    reader.settle().await;
    reader.make(&container(2));
    reader.settle().await;
    reader.remove(&container(1));
    reader.remove(&pod(1));
    reader.settle().await;
    assert_eq!(reader.believed.len(), 2);
    assert_eq!(reader.tree.said.len(), 1, "said once: {:?}", reader.tree.said);
    assert!(reader.rescans >= 2);
}

#[tokio::test]
async fn room_that_becomes_free_is_used() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, TreeLimits { directories: 13, ..SOON });
    for number in 0..20 {
        reader.make(&pod(number));
    }
    reader.ask();
    // `/`, `/kubepods` and the level of the pods take three.
    assert_eq!((reader.believed.len(), reader.tree.known.len(), reader.tree.left_out()), (10, 13, 10));
    for gone in reader.believed.clone() {
        reader.remove(&gone);
    }
    reader.settle().await;
    assert_eq!((reader.believed.len(), reader.tree.left_out()), (10, 0));
}

#[test]
fn directories_that_nobody_wants_do_not_take_the_room_of_pods() {
    for wanted in [Wanted::Kubernetes, Wanted::All] {
        let folder = folder();
        let mut reader = Reader::open(folder.path(), wanted, TreeLimits { directories: 100, ..NEVER });
        for number in 0..1_000 {
            reader.make(&format!("/a-user/{number}"));
        }
        reader.ask();
        for number in 0..40 {
            reader.make(&pod(number));
        }
        reader.ask();
        assert_eq!(reader.believed.iter().filter(|path| place(path).is_some()).count(), 40, "{wanted:?}");
        assert!(reader.tree.left_out() > 0 && reader.tree.known.len() <= 100);
    }
}

#[test]
fn what_lies_too_deep_is_left_out() {
    let folder = folder();
    let deep = |depth: usize| "/d".repeat(depth);
    let mut reader = Reader::open(folder.path(), Wanted::All, TreeLimits { depth: 5, ..NEVER });
    reader.make(&deep(20));
    let first = strings(&reader.ask());
    assert_eq!(first, format!("+/ {}", (1..=5).map(|depth| format!("+{}", deep(depth))).collect::<Vec<_>>().join(" ")));
    assert_eq!(reader.tree.left_out(), 1);
    // A notice leads no deeper.
    reader.make(&format!("{}/x", deep(4)));
    reader.make(&format!("{}/x", deep(5)));
    assert_eq!(strings(&reader.ask()), format!("+{}/x", deep(4)));
}

#[test]
fn a_link_is_not_followed_and_an_odd_name_is_left_out() {
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::All, NEVER);
    let link = |name: &str| std::os::unix::fs::symlink(folder.path(), folder.path().join(name)).unwrap();
    link("before");
    fs::create_dir(folder.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"))).unwrap();
    fs::write(folder.path().join("cpu.stat"), "").unwrap();
    assert_eq!(strings(&reader.ask()), "+/");
    assert_eq!(reader.tree.left_out(), 1);
    link("after");
    fs::create_dir(folder.path().join(std::ffi::OsStr::from_bytes(b"more\xff"))).unwrap();
    assert_eq!(strings(&reader.ask()), "");
}

#[test]
fn nobody_makes_pods_inside_of_a_container() {
    let folder = folder();
    let mut reader = Reader::open(folder.path(), Wanted::Kubernetes, NEVER);
    let forged = format!("{}{}", container(1), container(2));
    reader.make(&forged);
    assert_eq!(strings(&reader.ask()), format!("+{} +{}", pod(1), container(1)));
    let watched = reader.tree.watches.len();
    reader.make(&format!("{}{}", container(1), container(3)));
    assert_eq!(strings(&reader.ask()), "");
    assert_eq!(reader.tree.watches.len(), watched, "what is in a container is not watched");

    let mut all = Reader::open(folder.path(), Wanted::All, NEVER);
    let first = all.ask();
    let found = first.come.iter().find(|found| found.path == forged).unwrap();
    assert_eq!(found.place, None, "it is a cgroup, but no container of a pod");
    assert_eq!(first.come.iter().filter(|found| found.place.is_some()).count(), 2);
}

#[tokio::test]
async fn a_root_that_goes_takes_all_along_and_may_come_back() {
    let folder = folder();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut reader = Reader::open(&root, Wanted::Kubernetes, SOON);
    reader.make(&container(1));
    reader.settle().await;
    fs::remove_dir_all(&root).unwrap();
    reader.settle().await;
    assert!(reader.believed.is_empty());
    reader.make(&container(2));
    reader.settle().await;
    assert_eq!(reader.believed.len(), 2);
}
