//! Tests on real cgroups, and what they stand on: groups that they make, work that runs in them, and what the source tells of them.

mod disk;
mod figures;
mod group;
mod lives;
mod pressure;
mod told;
mod work;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sluicebox_contract::SubjectIds;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::source::Source as _;
use sluicebox_sources::Cgroups;
use sluicebox_sources::cgroups::{Config, Of};
use sluicebox_sources::kubernetes::Api;
use sluicebox_testkit::machine;
use sluicebox_testkit::servers::{Need, require};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use told::Told;

/// A node that has nothing but what the tests make.
pub(crate) const NODE: &str = "node-of-the-test";

pub(crate) const MIB: u64 = 1 << 20;

/// The turn of a test: some would disturb the others.
static TURN: LazyLock<RwLock<()>> = LazyLock::new(RwLock::default);

/// A test together with others.
pub(crate) async fn shared() -> Option<RwLockReadGuard<'static, ()>> {
    if !require(Need::Cgroups) {
        return None;
    }
    Some(TURN.read().await)
}

/// A test with the machine to itself.
pub(crate) async fn alone() -> Option<RwLockWriteGuard<'static, ()>> {
    if !require(Need::Cgroups) {
        return None;
    }
    Some(TURN.write().await)
}

/// Whether this runs in a small machine of the test kit, and in which.
pub(crate) fn in_machine() -> Option<machine::Kernel> {
    let name = std::env::var(machine::VARIABLE).ok()?;
    [machine::Kernel::UserMode, machine::Kernel::Emulated].into_iter().find(|kernel| kernel.name() == name)
}

/// Whether version 2 of cgroups is all there is.
pub(crate) fn is_version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").is_file()
}

/// Names nothing, asks nobody, and reads often.
pub(crate) fn by_path() -> Config {
    let of = Some(Of::Kubernetes);
    Config { period: TimeSpan(Duration::from_millis(200)), kubernetes: false, of, ..Config::default() }
}

/// Runs the source while something happens, then stops it; that must be quick in whatever state it is.
pub(crate) async fn during<T>(
    config: &Config,
    api: Option<Api>,
    told: &Told,
    scenario: impl AsyncFnOnce(&SourceMeter) -> T,
) -> T {
    let meter = Arc::new(SourceMeter::default());
    let source = Cgroups::new(config, api, NODE, Arc::new(SubjectIds::default()), Arc::clone(&meter)).expect("a source");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = source.run(told.clone(), async move { drop(stopped.await) });
    let scenario = async {
        let value = scenario(&meter).await;
        drop(stop);
        value
    };
    let ended = async { tokio::time::timeout(Duration::from_mins(2), run).await };
    let (ended, value) = futures::join!(ended, scenario);
    assert_eq!(ended.expect("it stops"), Ok(()));
    value
}

/// A number of a file that has one number.
pub(crate) fn number(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.trim().parse().unwrap_or_else(|error| panic!("{}: {text}: {error}", file.display()))
}

/// A number of a file with a name and a number on each line.
pub(crate) fn field(file: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{}: no {name} in {text}", file.display()))
}

/// Within a tenth and a bit.
#[track_caller]
pub(crate) fn assert_close(measured: u64, truth: u64, bit: u64) {
    let apart = measured.abs_diff(truth);
    assert!(apart <= truth / 10 + bit, "{measured} is told, {truth} is true, {apart} apart");
}
