//! What reading cgroups costs: the processor time of a tick for each cgroup, against a bare loop that reads the same files and looks at
//! nothing. Real cgroups where they can be made, else files.

#![allow(missing_docs, reason = "a program")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "it measures, prints its figures, and fails by panicking"
)]

#[path = "../tests/measured/tree.rs"]
mod tree;

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::pread;
use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::SubjectIds;
use sluicebox_sources::cgroups::{Config, Sampler};
use tree::{CONTAINER, Root, pod_uid};

/// Each way is measured so often, in turns; the median counts.
const ROUNDS: usize = 31;
/// So many cgroups are read in a round, in as many ticks as that takes.
const READINGS: usize = 1_000;

fn main() {
    let command = "cargo bench -p sluicebox-sources --bench cgroups";
    println!("cgroups, {}; {command}", machine());
    println!("thread CPU time for each cgroup and tick, half of them pods and half containers, median of {ROUNDS} rounds");
    println!("{:>8} {:>8} {:>12} {:>14} {:>10} {:>8}", "cgroups", "files", "samples", "sluicebox us", "bare us", "ratio");
    for size in [10, 110, 500] {
        let root = Root::real().unwrap_or_else(|why| {
            println!("not with real cgroups: {why}");
            Root::version_2()
        });
        measure(&root, size);
    }
}

fn measure(root: &Root, size: usize) {
    for number in 0..size / 2 {
        root.make_pod(&pod_uid(number), &[&container(number)]);
    }
    let config = Config { root: root.path().to_owned(), ..Config::default() };
    let mut sampler = Sampler::new(&config, Arc::new(SubjectIds::default())).expect("cgroups are found");
    let each_tick = sampler.sample().expect("they are read").samples.len();
    assert!(each_tick > size, "{each_tick} samples of {size} cgroups");
    let files = same_files(root);
    let mut bytes = vec![0; 8 << 10];

    let turns = READINGS.div_ceil(size);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(cpu_time(|| {
            for _ in 0..turns {
                black_box(sampler.sample().expect("they are read"));
            }
        }));
        bare.push(cpu_time(|| {
            for file in std::iter::repeat_n(&files, turns).flatten() {
                black_box(pread(file, bytes.as_mut_slice(), 0).expect("it is read"));
            }
        }));
    }
    let each = |times| median(times).as_secs_f64() * 1e6 / (turns * size) as f64;
    let (ours, bare) = (each(ours), each(bare));
    println!("{size:>8} {:>8} {each_tick:>12} {ours:>14.2} {bare:>10.2} {:>8.2}", files.len(), ours / bare);
}

/// Those that the sampler holds open, opened once more.
fn same_files(root: &Root) -> Vec<File> {
    let held = std::fs::read_dir("/proc/self/fd").expect("this process has files").flatten();
    let mut paths: Vec<_> =
        held.filter_map(|held| std::fs::read_link(held.path()).ok()).filter(|path| root.holds(path)).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
        .iter()
        .map(|path| File::from(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("it is opened")))
        .collect()
}

fn container(number: usize) -> String {
    format!("{number:04}{}", CONTAINER.split_at(4).1)
}

fn cpu_time(work: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time");
    let begun = now();
    work();
    now().saturating_sub(begun)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.swap_remove(times.len() / 2)
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("a processor", |name| name.trim_start_matches([' ', '\t', ':']));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processors} x {model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
