//! A real cgroup, made and removed by the test.

use sluicebox_contract::Metric;
use sluicebox_testkit::servers::{Need, require};

use super::*;

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
    let mut cgroup = Cgroup::open(&scene.hierarchies, &path, Groups::default(), None, &scene.open_files, &mut scene.complaints);
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
