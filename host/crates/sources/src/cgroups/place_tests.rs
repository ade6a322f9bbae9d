use std::fs;
use std::path::Path;

use super::*;

const UID: &str = "247ca13b-bc17-4709-ab2c-4d98b5ad4fb2";
const UID_OF_SLICE: &str = "247ca13b_bc17_4709_ab2c_4d98b5ad4fb2";
const HASH: &str = "36b6d6be73b1065af369b3985edafa09";
const BEST_EFFORT: &str =
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod5f32d849_6210_4886_a48d_e0d90e1d0206.slice";
const BEST_EFFORT_UID: &str = "5f32d849-6210-4886-a48d-e0d90e1d0206";

fn id() -> String {
    "79fedb3bd23ca77c".repeat(4)
}

/// As in the fixtures, without the path.
fn written(place: Option<&Place>) -> String {
    let qos = |qos: Qos| match qos {
        Qos::Guaranteed => "guaranteed",
        Qos::Burstable => "burstable",
        Qos::BestEffort => "besteffort",
    };
    let key = |key: &PodKey| match key {
        PodKey::Uid(uid) => {
            assert!(uid.contains('-'), "{uid}");
            uid.clone()
        }
        PodKey::ConfigHash(hash) => hash.clone(),
    };
    match place {
        None => "none".to_owned(),
        Some(Place::Pod { key: pod, qos: level }) => format!("pod {} {}", qos(*level), key(pod)),
        Some(Place::Container { key: pod, qos: level, id }) => format!("container {} {} {id}", qos(*level), key(pod)),
    }
}

#[track_caller]
fn check(path: &str, expected: &str) {
    assert_eq!(written(place(path).as_ref()), expected, "{path}");
}

#[test]
fn every_cgroup_of_the_fixtures_is_whose_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroups");
    let mut trees = 0;
    for tree in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path().join("paths")).filter(|path| path.is_file()) {
        let text = fs::read_to_string(&tree).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (expected, path) = line.rsplit_once(' ').unwrap();
            assert_eq!(written(place(path).as_ref()), expected, "{path} in {}", tree.display());
        }
        trees += 1;
    }
    assert!(trees >= 12, "only {trees} trees");
}

#[test]
fn a_slice_of_a_best_effort_pod_is_that_pod() {
    check(BEST_EFFORT, &format!("pod besteffort {BEST_EFFORT_UID}"));
    // Where the hierarchy is mounted does not matter.
    check(&format!("/sys/fs/cgroup{BEST_EFFORT}"), &format!("pod besteffort {BEST_EFFORT_UID}"));
}

#[test]
fn the_slice_of_all_best_effort_pods_is_no_pod() {
    for path in ["/", "", "/kubepods.slice", "/kubepods.slice/kubepods-besteffort.slice", "/kubepods/besteffort", "/kubepods"] {
        check(path, "none");
    }
}

#[test]
fn an_id_like_a_uuid_is_a_container_of_its_pod() {
    check(
        &format!("{BEST_EFFORT}/crio-85b951fd_6954_491d_bcf4_c7490e49e399.scope"),
        &format!("container besteffort {BEST_EFFORT_UID} 85b951fd-6954-491d-bcf4-c7490e49e399"),
    );
}

#[test]
fn a_bad_uid_is_no_pod() {
    for uid in [
        "BAD!BAD",
        "",
        "s",
        "247ca13b",
        "247ca13b-bc17_4709-ab2c-4d98b5ad4fb2",
        "247ca13b-bc17-4709-ab2c-4d98b5ad4fbg",
        "247ca13b-bc17-4709-ab2c-4d98b5ad4fb22",
        "36b6d6be73b1065af369b3985edafa0",
        "36B6D6BE73B1065AF369B3985EDAFA09",
    ] {
        check(&format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid}.slice"), "none");
        check(&format!("/kubepods/besteffort/pod{uid}"), "none");
        check(&format!("/kubepods/besteffort/pod{uid}/{}", id()), "none");
    }
}

#[test]
fn the_slice_of_a_terminal_is_no_pod() {
    check("/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice", "none");
}

#[test]
fn a_unit_of_a_user_that_is_named_like_a_pod_is_none() {
    let user = "/user.slice/user-1000.slice/user@1000.service";
    for path in [
        format!("{user}/app.slice/app-pod{UID_OF_SLICE}.slice"),
        format!("{user}/pod{UID}"),
        format!("{user}/pod{UID}/{}", id()),
        format!("/kubepods/pod{UID}/x{user}/kubepods-pod{UID_OF_SLICE}.slice"),
    ] {
        check(&path, "none");
    }
    // A kubelet that a user runs.
    let root = format!("{user}/k3s-rootless.service/kubepods");
    check(&format!("{root}/burstable/pod{UID}"), &format!("pod burstable {UID}"));
    check(&format!("{root}/burstable/pod{UID}/{}", id()), &format!("container burstable {UID} {}", id()));
    check(&format!("{root}.slice/kubepods-pod{UID_OF_SLICE}.slice"), &format!("pod guaranteed {UID}"));
    check(
        &format!("{user}/x/kubepods-pod{UID_OF_SLICE}.slice:cri-containerd:{}", id()),
        &format!("container guaranteed {UID} {}", id()),
    );
}

#[test]
fn what_lies_in_a_pod_or_container_says_in_which() {
    let (pod, outer) = (format!("/kubepods/burstable/pod{UID}"), "0".repeat(64));
    let container = format!("{pod}/{}", id());
    for (path, expected) in [
        (pod.clone(), "none".to_owned()),
        ("/system.slice/some.service".to_owned(), "none".to_owned()),
        (String::new(), "none".to_owned()),
        (format!("{pod}/crio-conmon-{}", id()), format!("pod burstable {UID}")),
        (format!("{container}/system.slice/some.service"), format!("container burstable {UID} {}", id())),
        (format!("{pod}/{outer}/kubepods/pod{BEST_EFFORT_UID}/{}/x", id()), format!("container burstable {UID} {outer}")),
        ("/é/".repeat(2_000), "none".to_owned()),
    ] {
        assert_eq!(written(lies_in(&path).as_ref()), expected, "{path}");
    }
}

#[test]
fn a_slice_may_be_named_by_nothing_but_the_pod() {
    check(&format!("/any/pod{UID}.slice"), &format!("pod guaranteed {UID}"));
    check(&format!("/kubepods.slice/kubepods-burstable.slice/pod{UID}.slice"), &format!("pod burstable {UID}"));
}

#[test]
fn a_directory_of_a_burstable_pod_is_that_pod() {
    check(&format!("/kubepods/burstable/pod{UID}"), &format!("pod burstable {UID}"));
}

#[test]
fn a_scope_in_a_guaranteed_pod_is_a_container_of_it_whatever_the_runtime() {
    for runtime in ["cri-containerd", "crio", "docker", "libpod"] {
        check(
            &format!("/kubepods.slice/kubepods-pod{UID_OF_SLICE}.slice/{runtime}-{}.scope", id()),
            &format!("container guaranteed {UID} {}", id()),
        );
    }
}

#[test]
fn the_monitor_of_a_container_is_no_container() {
    let pod = format!("/kubepods.slice/kubepods-pod{UID_OF_SLICE}.slice");
    check(&format!("{pod}/crio-conmon-{}.scope", id()), "none");
    check(&format!("/kubepods/pod{UID}/crio-conmon-{}", id()), "none");
    for name in
        ["crio-ID.mount", "ID.mount", "ID.scope", "x-ID.scope", "cri-containerd-ID", "crio-ID.scope.d", "ID0", "0", "tasks"]
    {
        check(&format!("{pod}/{}", name.replace("ID", &id())), "none");
    }
}

#[test]
fn the_id_is_the_one_that_the_api_says_after_its_scheme() {
    let said = format!("containerd://{}", id());
    let Some(Place::Container { id, .. }) = place(&format!("/kubepods/pod{UID}/{}", id())) else { panic!("no container") };
    assert_eq!(said.split_once("://").map(|(_, id)| id), Some(id.as_str()));
}

#[test]
fn an_id_may_be_a_task_and_a_number() {
    let pod = format!("/kubepods/burstable/pod{UID}");
    check(&format!("{pod}/{HASH}-1234567890"), &format!("container burstable {UID} {HASH}-1234567890"));
    for name in ["-", "-12x", "-1-2", "-123456789012345678901"] {
        check(&format!("{pod}/{HASH}{name}"), "none");
    }
}

#[test]
fn a_static_pod_is_named_by_the_hash_of_its_configuration() {
    let hash = PodKey::ConfigHash(HASH.to_owned());
    for path in [format!("/kubepods/burstable/pod{HASH}"), format!("/a.slice/kubepods-burstable-pod{HASH}.slice")] {
        assert_eq!(place(&path), Some(Place::Pod { key: hash.clone(), qos: Qos::Burstable }), "{path}");
    }
}

#[test]
fn the_innermost_pod_counts() {
    let outer = format!("/kubepods/burstable/pod{BEST_EFFORT_UID}/{}", "0".repeat(64));
    let inner = format!("{outer}/kubelet/kubepods/pod{UID}");
    check(&inner, &format!("pod guaranteed {UID}"));
    check(&format!("{inner}/{}", id()), &format!("container guaranteed {UID} {}", id()));
    check(&format!("{outer}/kubelet/kubepods"), "none");
}

#[test]
fn what_lies_in_a_container_belongs_to_it() {
    let container = format!("/kubepods/pod{UID}/{}", id());
    for inside in ["container", "init.scope", "system.slice/dbus.service", "ID", "cri-containerd-ID.scope"] {
        check(&format!("{container}/{}", inside.replace("ID", &id())), "none");
    }
    // Nor does a container stand anywhere but directly in its pod.
    check(&format!("/kubepods/pod{UID}/between/{}", id()), "none");
    check(&format!("/docker/{}", id()), "none");
}

#[test]
fn a_path_of_more_than_4096_bytes_is_none() {
    let end = format!("/pod{UID}");
    check(&format!("/{}{end}", "a".repeat(4096 - end.len() - 1)), &format!("pod guaranteed {UID}"));
    check(&format!("/{}{end}", "a".repeat(4096 - end.len())), "none");
    check(&end.repeat(100_000), "none");
}

/// No seed from outside: a failure comes back when it is run again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

/// Whatever is said must come from the path, and be of the form that is promised.
fn check_promises(path: &str) {
    let (key, id) = match place(path) {
        None => return,
        Some(Place::Pod { key, .. }) => (key, None),
        Some(Place::Container { key, id, .. }) => (key, Some(id)),
    };
    let dashed = path.replace('_', "-");
    match key {
        PodKey::Uid(uid) => assert!(is_uuid(&uid) && dashed.contains(&uid), "{path}"),
        PodKey::ConfigHash(hash) => assert!(is_config_hash(&hash) && path.contains(&hash), "{path}"),
    }
    if let Some(id) = id {
        assert!(is_container_id(&id) && dashed.contains(&id), "{path}");
    }
}

#[test]
fn no_path_whatever_is_too_much() {
    let mut random = Random(0x5eed_0123_4567_89ab);
    let pieces = [
        "/",
        "pod",
        "kubepods",
        ".slice",
        ".scope",
        "-",
        "_",
        ":",
        ":cri-containerd:",
        "crio-",
        "docker-",
        "burstable",
        "besteffort",
        UID,
        UID_OF_SLICE,
        HASH,
        "é",
        "\0",
        "\u{10ffff}",
        "..",
        "00000000",
        "cri-containerd-",
        "ffff",
        " ",
    ];
    for _ in 0..50_000 {
        let path: String = (0..random.below(12)).map(|_| pieces[random.below(pieces.len())]).collect();
        check_promises(&path);
        let bytes: Vec<u8> = (0..random.below(200)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        check_promises(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn no_change_to_a_path_of_the_fixtures_is_too_much() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroups");
    let mut random = Random(0x0dd5_eed5_0bad_cafe);
    for tree in ["systemd-crio", "kind", "mismatch-containerd", "cgroupfs-docker"] {
        let text = fs::read_to_string(folder.join(tree).join("paths")).unwrap();
        for path in text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(_, path)| path) {
            for _ in 0..50 {
                let mut bytes = path.as_bytes().to_vec();
                for _ in 0..=random.below(3) {
                    let at = random.below(bytes.len());
                    match random.below(3) {
                        0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                        1 => bytes.insert(at, b"/-_.:0"[random.below(6)]),
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                check_promises(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}
