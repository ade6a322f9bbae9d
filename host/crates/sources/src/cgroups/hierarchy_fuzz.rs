use sluicebox_testkit::fuzz::Fuzz;

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

#[test]
fn whatever_is_mounted_the_hierarchies_lie_within_the_root() {
    Fuzz::of_files(format!("{FIXTURES}/cgroups/mountinfo"), ".txt")
        .words([" - cgroup2 ", " - cgroup ", "\\040", "\\777", "\\134", "/..", "cpu,cpuacct", "/host"])
        .longest(16 << 10)
        .run(|input, dice| {
            let root = Path::new(["/", "/host", "/sys/fs/cgroup"][dice.below(3)]);
            let Hierarchies { unified, v1 } = Hierarchies::among(&parse(input), root, |_| true);
            for mount in unified.iter().chain(v1.values()) {
                assert!(mount.starts_with(root) && mount.is_absolute(), "{}", mount.display());
            }
        });
}
