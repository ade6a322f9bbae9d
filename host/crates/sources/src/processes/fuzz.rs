//! Whatever stands in `/proc` and in the names of cgroups.

use sluicebox_testkit::fuzz::Fuzz;

use super::parse::{inode, started, whose};
use crate::cgroups::place::{Place, PodKey, innermost, lies_in, place};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cgroups");

fn paths() -> Fuzz {
    let words = [
        "kubepods",
        "pod",
        ".slice",
        ".scope",
        "cri-containerd-",
        "crio-",
        "docker-",
        ":cri-containerd:",
        "user.slice",
        "/..",
        "/a",
    ];
    Fuzz::of_files(FIXTURES, "/paths").words(words)
}

fn check(place: &Place) {
    let (key, id) = match place {
        Place::Pod { key, .. } => (key, None),
        Place::Container { key, id, .. } => (key, Some(id)),
    };
    let (PodKey::Uid(text) | PodKey::ConfigHash(text)) = key;
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    assert!(matches!(text.len(), 32 | 36) && is_plain(text), "{place:?}");
    assert!(id.is_none_or(|id| (33..=64).contains(&id.len()) && is_plain(id)), "{place:?}");
}

/// The directories above a path are looked at with it as each of them is by itself.
fn check_with_each_beginning(path: &str) {
    let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).collect();
    if ends.len() > 60 {
        return;
    }
    let places = || ends.iter().filter_map(|end| place(&path[..*end]));
    let outermost = places().find(|place| matches!(place, Place::Container { .. })).or_else(|| places().next_back());
    assert_eq!(lies_in(path), outermost, "{path}");
    assert_eq!(innermost(path), place(path).or_else(|| places().next_back()), "{path}");
}

#[test]
fn a_path_is_that_of_a_pod_or_container_or_of_nobody() {
    paths().longest(6 << 10).run(|input, _| {
        for line in String::from_utf8_lossy(input).lines() {
            let path = line.rsplit(' ').next().unwrap_or(line);
            for found in [place(path), lies_in(path)].into_iter().flatten() {
                check(&found);
            }
            // What lies in a container is never nobody's.
            if path.len() < 4000 && matches!(place(path), Some(Place::Container { .. })) {
                assert!(matches!(lies_in(&format!("{path}/below")), Some(Place::Container { .. })), "{path}");
                assert!(matches!(innermost(&format!("{path}/below")), Some(Place::Container { .. })), "{path}");
            }
            check_with_each_beginning(path);
        }
    });
}

#[test]
fn the_cgroups_of_a_process_are_those_of_one_place() {
    let line = |path: &str| format!("12:cpuset:/\n4:memory:{path}\n1:name=systemd:/\n0::/../../..{path}\n");
    let paths = [
        "/kubepods/besteffort/pod12b379f7-ef99-46e5-8125-0129a27bd799/11e9220bd2b450ed40132bcd5cdc3c115b93c69d02c37d844fec7574026edff3",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12b379f7_ef99_46e5_8125_0129a27bd799.slice/init.scope/deeper",
    ];
    Fuzz::of(paths.map(line)).longest(80 << 10).words(["/a", "/..", "0::/", "pod", ".slice"]).run(|input, _| {
        if let Some(found) = whose(input) {
            check(&found);
        }
    });
}

#[test]
fn starts_and_namespaces_are_numbers_or_none() {
    let samples = ["42 (a) b) S 1 42 42 0 -1 4194560 2085 18 0 0 1 2 3 4 20 0 1 0 123456 2703360 200", "net:[4026532528]"];
    Fuzz::of(samples).run(|input, _| {
        if let Some(start) = started(input) {
            assert!(input.windows(start.to_string().len()).any(|part| part == start.to_string().as_bytes()));
        }
        if let Some(inode) = inode(input) {
            assert!(input.starts_with(b"net:[") && u64::from(inode) < 1 << 32);
        }
    });
}
