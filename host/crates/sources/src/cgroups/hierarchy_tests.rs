use std::fs;

use super::*;

/// A table of the fixtures, read as on a machine on which every mount is what it says.
fn table(name: &str, root: &str) -> Hierarchies {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cgroups/mountinfo").join(name);
    of(&fs::read_to_string(path).unwrap(), root)
}

fn of(text: &str, root: &str) -> Hierarchies {
    Hierarchies::among(&parse(text.as_bytes()), Path::new(root), |_| true)
}

/// `unified` and `v1` as `controller=mount point`, in the order of the controllers.
fn written(found: &Hierarchies) -> String {
    let unified = found.unified.iter().map(|point| format!("unified={}", point.display()));
    let v1 = found.v1.iter().map(|(controller, point)| format!("{}={}", controller.name(), point.display()));
    unified.chain(v1).collect::<Vec<_>>().join(" ")
}

#[test]
fn machines_of_every_kind_show_their_hierarchies() {
    let v1 = |base: &str, cpu: &str, cpuacct: &str| {
        format!("cpu={base}/{cpu} cpuacct={base}/{cpuacct} memory={base}/memory blkio={base}/blkio pids={base}/pids")
    };
    let cases = [
        ("v2-systemd.txt", "/", "unified=/sys/fs/cgroup".to_owned()),
        ("k3s-v2.txt", "/", "unified=/sys/fs/cgroup".to_owned()),
        ("kind-node.txt", "/", "unified=/sys/fs/cgroup".to_owned()),
        ("v1-separate.txt", "/", format!("unified=/sys/fs/cgroup/unified {}", v1("/sys/fs/cgroup", "cpu", "cpuacct"))),
        (
            "hybrid-systemd.txt",
            "/",
            format!("unified=/sys/fs/cgroup/unified {}", v1("/sys/fs/cgroup", "cpu,cpuacct", "cpu,cpuacct")),
        ),
        ("container-v2-host.txt", "/host", "unified=/host/sys/fs/cgroup".to_owned()),
        ("container-v1-host.txt", "/host", v1("/host/sys/fs/cgroup", "cpu,cpuacct", "cpu,cpuacct")),
        ("v2-systemd.txt", "/host", String::new()),
        // A folder whose name begins like that of the host root is not below it.
        ("container-v2-host.txt", "/ho", String::new()),
    ];
    for (name, root, expected) in cases {
        assert_eq!(written(&table(name, root)), expected, "{name} below {root}");
    }
}

#[test]
fn the_whole_hierarchy_is_preferred_to_the_part_that_a_container_is_given() {
    // Without a host root, too: the container's own mounts show only the container.
    assert_eq!(written(&table("container-v2-host.txt", "/")), "unified=/host/sys/fs/cgroup");
    let found = table("container-v1-host.txt", "/");
    assert!(found.v1.values().all(|point| point.starts_with("/host")), "{found:?}");
}

#[test]
fn the_shortest_of_several_equal_mounts_is_taken() {
    let text = "40 30 0:27 / /mnt/very/deep rw - cgroup2 cgroup2 rw\n41 30 0:27 / /cg rw - cgroup2 cgroup2 rw\n";
    assert_eq!(written(&of(text, "/")), "unified=/cg");
}

#[test]
fn a_mount_that_lies_under_another_one_is_not_seen() {
    let text = "40 30 0:27 / /cg rw - cgroup2 cgroup2 rw\n41 40 0:50 / /cg rw - tmpfs tmpfs rw\n42 30 0:27 / /other/cg rw - cgroup2 cgroup2 rw\n";
    assert_eq!(written(&of(text, "/")), "unified=/other/cg");
}

#[test]
fn a_mount_that_shows_no_cgroup_is_left_out() {
    // It may be hidden by a later mount on a folder above.
    let text = "40 30 0:27 / /hidden rw - cgroup2 cgroup2 rw\n42 30 0:27 / /other/cg rw - cgroup2 cgroup2 rw\n";
    let found = Hierarchies::among(&parse(text.as_bytes()), Path::new("/"), |point| point != Path::new("/hidden"));
    assert_eq!(written(&found), "unified=/other/cg");
}

#[test]
fn escaped_letters_are_what_they_stand_for() {
    let text = "40 30 0:27 / /with\\040space\\011tab\\134back\\043sign rw - cgroup2 cgroup2 rw\n";
    assert_eq!(of(text, "/").unified, Some(PathBuf::from("/with space\ttab\\back#sign")));
    for odd in ["/a\\9", "/a\\777b", "/a\\", "/a\\08x"] {
        assert_eq!(unescape(odd.as_bytes()), PathBuf::from(odd), "an escape that is none stays as it is");
    }
}

#[test]
fn optional_fields_may_be_missing_or_many() {
    for optional in ["", "shared:9 ", "shared:9 master:3 propagate_from:2 unbindable "] {
        let text = format!("40 30 0:27 / /cg rw,relatime {optional}- cgroup2 cgroup2 rw\n");
        assert_eq!(written(&of(&text, "/")), "unified=/cg", "{text}");
    }
}

#[test]
fn only_controllers_that_stand_in_the_options_are_mounted() {
    let line = |options: &str| format!("40 30 0:27 / /cg rw - cgroup cgroup {options}\n");
    assert_eq!(written(&of(&line("rw,name=systemd"), "/")), "");
    assert_eq!(written(&of(&line("rw,name=cpu"), "/")), "");
    assert_eq!(written(&of(&line("rw,cpuset,devices,memoryx"), "/")), "");
    assert_eq!(written(&of(&line("rw,xattr,memory,blkio"), "/")), "memory=/cg blkio=/cg");
}

#[test]
fn lines_that_are_none_are_left_out() {
    let whole = "40 30 0:27 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw";
    for end in 0..whole.len() {
        let _ = of(&whole[..end], "/");
    }
    let odd = "\n\n-\n - - - - - -\n40 30 0:27 / relative rw - cgroup2 cgroup2 rw\n40 30 0:27 / /cg rw - cgroup cgroup\n";
    assert_eq!(written(&of(odd, "/")), "");
    assert_eq!(written(&of(&format!("{odd}{whole}\n"), "/")), "unified=/sys/fs/cgroup");
}

#[test]
fn one_controller_of_version_1_is_enough_to_see_the_pods() {
    assert_eq!(table("hybrid-systemd.txt", "/").watched(), Some(Path::new("/sys/fs/cgroup/memory")));
    assert_eq!(table("v2-systemd.txt", "/").watched(), Some(Path::new("/sys/fs/cgroup")));
    let without_memory = of("39 31 0:34 / /c rw - cgroup cgroup rw,cpu,cpuacct\n40 31 0:35 / /u rw - cgroup2 cgroup2 rw\n", "/");
    assert_eq!(without_memory.watched(), Some(Path::new("/c")));
    assert_eq!(Hierarchies::default().watched(), None);
}

#[test]
fn directories_stay_below_their_mount() {
    let found = table("hybrid-systemd.txt", "/");
    let cases = [
        ("/kubepods/burstable", "/sys/fs/cgroup/memory/kubepods/burstable"),
        ("kubepods", "/sys/fs/cgroup/memory/kubepods"),
        ("/", "/sys/fs/cgroup/memory"),
        ("/../../etc", "/sys/fs/cgroup/memory/etc"),
    ];
    for (path, expected) in cases {
        assert_eq!(found.v1_directory(Controller::Memory, path), Some(PathBuf::from(expected)), "{path}");
    }
    assert_eq!(found.unified_directory("/a"), Some(PathBuf::from("/sys/fs/cgroup/unified/a")));
    let unified_only = table("v2-systemd.txt", "/");
    assert_eq!(unified_only.v1_directory(Controller::Cpu, "/a"), None);
}

#[test]
fn the_mounts_of_the_hosts_first_process_serve_where_we_see_none_ourselves() {
    let host = tempfile::tempdir().unwrap();
    let own = host.path().join("own");
    fs::write(&own, "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n").unwrap();
    let find = || Hierarchies::find_with(host.path(), &own);
    let error = find().unwrap_err();
    assert!(error.to_string().contains(&*host.path().to_string_lossy()), "{error}");
    assert!(error.hint().contains("sources.cgroups.root"), "{}", error.hint());

    fs::create_dir_all(host.path().join("proc/1")).unwrap();
    let table = "32 22 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
    fs::write(host.path().join("proc/1/mountinfo"), table).unwrap();
    assert!(find().is_err(), "the mount itself is not visible");

    let cgroup = host.path().join("sys/fs/cgroup");
    fs::create_dir_all(&cgroup).unwrap();
    fs::write(cgroup.join(MARK), "").unwrap();
    assert_eq!(find().unwrap().unified, Some(cgroup));
}

#[test]
fn a_table_without_an_end_is_read_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let line = "32 22 0:27 / /nowhere rw shared:9 - cgroup2 cgroup2 rw\n";
    let text = line.repeat(usize::try_from(MOUNT_BYTES).unwrap() / line.len() + 1_000);
    fs::write(&own, &text).unwrap();
    assert_eq!(u64::try_from(read(&own).unwrap().len()).unwrap(), MOUNT_BYTES);
    assert!(matches!(Hierarchies::find_with(Path::new("/"), &own), Err(Missing::NotMounted { .. })));
}

#[test]
fn a_table_that_cannot_be_read_is_named() {
    let error = Hierarchies::find_with(Path::new("/"), Path::new("/nowhere/mountinfo")).unwrap_err();
    assert!(error.to_string().starts_with("cannot look for cgroups in /nowhere/mountinfo: "), "{error}");
}
