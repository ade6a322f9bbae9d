//! What is read when, as the source tells it: turns, what is new, what has gone, what hangs.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;
mod measured;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{Recorder, during};
use measured::tree::{CONTAINER, pod_path, pod_uid};
use measured::{Bench, Root, millis, pod, told, until, until_lines};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use schemars::schema_for;
use serde_json::Value;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Class, Metric, MetricKind, Reading, SubjectIds, UnixNanos};
use sluicebox_sources::cgroups::{Cgroups, Config, Of, Sampler};

/// A bench where every cgroup has its path, read so often.
async fn bare(root: Root, period: u64) -> Bench {
    let mut bench = Bench::on(root).await;
    (bench.config.kubernetes, bench.config.of, bench.config.period) = (false, Some(Of::Kubernetes), millis(period));
    bench.root.make_pod(&pod_uid(1), &[]);
    bench
}

fn path() -> String {
    pod_path(&pod_uid(1))
}

/// D16
#[tokio::test]
async fn the_first_reading_has_totals_and_no_increases() {
    let bench = bare(Root::version_2(), 100).await;
    let recorder = Recorder::default();
    // What is read less than 50 ms later has none, either.
    let has_some = |told: &measured::Told| told.ticks.len() > 2;
    let told = during(bench.source().await, &recorder, until(&recorder, has_some)).await;
    let increases = |tick: usize| {
        told.ticks[tick].samples.iter().filter_map(|sample| match sample.reading {
            Reading::Counter { increase, .. } => Some(increase),
            Reading::Value(_) | Reading::Unlimited => None,
        })
    };
    assert!(increases(0).count() > 10 && increases(0).all(|increase| increase.is_none()));
    assert!(
        increases(1).all(|increase| increase.is_none_or(|increase| increase.amount == 0 && increase.over_nanos >= 50_000_000))
    );
    let told_in_all = increases(1).flatten().count() + increases(2).flatten().count();
    assert!(told_in_all >= increases(0).count(), "{told_in_all}");
    let metrics = |kind| told.ticks[0].samples.iter().filter(move |sample| sample.metric.kind() == kind).count();
    assert!(metrics(MetricKind::Gauge) > 5 && metrics(MetricKind::Limit) > 1);
    assert_eq!(told.readings(&path(), Metric::MemoryUsage)[0], Reading::Value(73_400_320));
    assert_eq!(told.readings(&path(), Metric::MemoryLimit)[0], Reading::Unlimited);
}

/// D18, D19: four processors are online.
#[tokio::test]
async fn increases_are_nanoseconds_in_both_versions() {
    for (root, file, before, after, expected) in [
        (Root::version_1(), "cpuacct.usage", "1000000000\n", "1500000000\n", 500_000_000),
        (Root::version_2(), "cpu.stat", "usage_usec 1000\n", "usage_usec 5001000\n", 5_000_000_000),
    ] {
        let bench = bare(root, 100).await;
        bench.root.write(&path(), file, before);
        let recorder = Recorder::default();
        let told = during(bench.source().await, &recorder, async {
            until(&recorder, |told| told.ticks.len() > 2).await;
            bench.root.write(&path(), file, after);
            until(&recorder, |told| told.growth(&path(), Metric::CpuUsage) > 0).await
        })
        .await;
        assert_eq!(told.growth(&path(), Metric::CpuUsage), expected);
        assert!(told.ticks.iter().all(|tick| tick.online_cpus == 4));
    }
}

#[tokio::test]
async fn turns_are_multiples_of_the_period_and_none_is_taken_twice() {
    let bench = bare(Root::version_2(), 250).await;
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, until(&recorder, |told| told.ticks.len() >= 10)).await;
    // The first one is told at once, whenever that is.
    let turns: Vec<u64> = told.ticks[1..].iter().map(|tick| tick.observed_at.0 / 250_000_000).collect();
    assert_eq!(turns.iter().collect::<HashSet<_>>().len(), turns.len(), "{turns:?}");
    let missed = turns[turns.len() - 1] - turns[0] + 1 - turns.len() as u64;
    assert!(missed <= bench.meter.late_ticks.get(), "{turns:?}: {missed} were missed");
    assert!(bench.meter.ticks.count() >= 10 && bench.meter.events.get() >= 10);
}

#[tokio::test]
async fn an_empty_host_has_empty_ticks() {
    let mut bench = Bench::new().await;
    (bench.config.kubernetes, bench.config.of) = (false, Some(Of::Kubernetes));
    let recorder = Recorder::default();
    let told = during(bench.source().await, &recorder, until(&recorder, |told| told.ticks.len() >= 3)).await;
    assert!(told.ticks.iter().all(|tick| tick.samples.is_empty()));
    assert_eq!(told.lines, ["complete"]);
}

#[tokio::test]
async fn turns_that_pass_while_a_lane_is_full_are_counted_and_not_made_up_for() {
    let bench = bare(Root::version_2(), 100).await;
    let recorder = Recorder::with_room(3);
    during(bench.source().await, &recorder, async {
        recorder.until(|lines| lines.len() == 3).await;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.meter.late_ticks.get(), 0, "nobody could take a turn");
        recorder.make_room(1 << 20);
        let before = told(&recorder).ticks.len();
        until(&recorder, |told| told.ticks.len() > before + 2).await;
        assert!(bench.meter.late_ticks.get() >= 7, "{}", bench.meter.late_ticks.get());
    })
    .await;
    let turns: Vec<u64> = told(&recorder).ticks[1..].iter().map(|tick| tick.observed_at.0 / 100_000_000).collect();
    assert_eq!(turns.iter().collect::<HashSet<_>>().len(), turns.len(), "no burst: {turns:?}");
}

/// No turn comes while this runs: all that is seen is what is new.
#[tokio::test]
async fn what_is_new_is_read_at_once_and_again_while_it_is_young() {
    let mut bench = Bench::new().await;
    bench.config.period = millis(far_period());
    bench.create(pod(&pod_uid(1), "a", &["main"]));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        until_lines(&recorder, &["complete"]).await;
        let begun = Instant::now();
        bench.root.make_pod(&pod_uid(1), &[CONTAINER]);
        bench.runs("a", &[("main", CONTAINER)]);
        until_lines(&recorder, &["complete", "+pod s/a"]).await;
        until_lines(&recorder, &["complete", "+container s/main"]).await;
        bench.root.write(&path(), "cpu.stat", "usage_usec 6000\n");
        let told = until(&recorder, |told| told.growth("a", Metric::CpuUsage) > 0).await;
        assert_eq!(told.growth("a", Metric::CpuUsage), 1_000_000);
        until(&recorder, |told| told.readings("main", Metric::CpuUsage).len() >= 4).await;
        assert!(begun.elapsed() >= Duration::from_millis(900), "250, 500 and 1000 ms after it was found");
        bench.root.remove(&path());
        until_lines(&recorder, &["-s/a"]).await;
        until_lines(&recorder, &["-s/main"]).await;
    })
    .await;
}

/// Milliseconds; the next multiple is minutes away.
fn far_period() -> u64 {
    let now = UnixNanos::now().0 / 1_000_000;
    let away = |period: &u64| period - now % period;
    [600_000, 540_000, 420_000].into_iter().max_by_key(away).expect("some period")
}

#[tokio::test]
async fn what_comes_and_goes_while_it_is_read_ends_in_order() {
    let mut bench = Bench::new().await;
    (bench.config.kubernetes, bench.config.of) = (false, Some(Of::Kubernetes));
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        for round in 0..20 {
            for number in 0..10 {
                bench.root.make_pod(&pod_uid(round * 10 + number), &[CONTAINER]);
            }
            tokio::task::yield_now().await;
            until(&recorder, |told| told.subjects.len() > round * 2).await;
            for number in 0..10 {
                bench.root.remove(&pod_path(&pod_uid(round * 10 + number)));
            }
        }
        bench.root.make_pod(&pod_uid(999), &[]);
        let last = format!("+cgroup {}", pod_path(&pod_uid(999)));
        until_lines(&recorder, &[&last]).await;
        bench.until("one is left", |meter| meter.subjects.get() == 1).await;
        until(&recorder, |told| told.lines.iter().filter(|line| line.starts_with('-')).count() == told.subjects.len() - 1).await;
    })
    .await;
    assert_eq!(bench.meter.unreadable.get(), 0);
}

/// A file system that does not answer: whoever opens this waits.
#[tokio::test]
async fn a_reading_that_hangs_delays_no_stop_and_is_not_begun_twice() {
    let bench = bare(Root::version_2(), 100).await;
    let file = bench.root.path().join("sys/devices/system/cpu/online");
    std::fs::remove_file(&file).expect("it is removed");
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let recorder = Recorder::default();
    during(bench.source().await, &recorder, async {
        bench.until("turns are late", |meter| meter.late_ticks.get() > 5).await;
        assert!(told(&recorder).ticks.is_empty() && bench.meter.listed.get() == 0);
        answer(&file);
        until(&recorder, |told| !told.ticks.is_empty()).await;
        let late = bench.meter.late_ticks.get();
        bench.until("it hangs again", |meter| meter.late_ticks.get() > late + 2).await;
    })
    .await;
    // Only so that this program ends.
    answer(&file);
}

fn answer(pipe: &Path) {
    let mut pipe: File = OpenOptions::new().write(true).open(pipe).expect("somebody reads");
    pipe.write_all(b"0-3\n").expect("it is written");
}

#[test]
fn files_that_may_not_be_held_open_are_opened_for_each_reading() {
    let root = Root::version_2();
    root.make_pod(&pod_uid(1), &[CONTAINER]);
    let samples = |most| {
        let config = Config { root: root.path().to_owned(), max_open_files: most, ..Config::default() };
        let mut sampler = Sampler::new(&config, Arc::new(SubjectIds::default())).expect("cgroups are found");
        let tick = sampler.sample().expect("they are read");
        (tick.samples, sampler.open_files())
    };
    let log = cluster::log::Log;
    log.catch();
    let (many, open) = samples(None);
    assert!(many.len() > 40 && open > 20, "{} samples, {open} files", many.len());
    assert!(log.lines().iter().all(|line| !line.contains("held open")));
    assert_eq!(samples(Some(3)), (many, 3));
    let words = "3 files are held open, which is all that may be";
    assert_eq!(log.lines().iter().filter(|line| line.contains(words) && line.contains("hint=")).count(), 1);
}

#[tokio::test]
async fn open_files_and_what_cannot_be_read_are_counted() {
    for most in [None, Some(3)] {
        let mut bench = bare(Root::version_2(), 100).await;
        bench.config.max_open_files = most;
        bench.root.write(&path(), "memory.current", "a lot\n");
        let recorder = Recorder::default();
        during(bench.source().await, &recorder, until(&recorder, |told| told.ticks.len() > 2)).await;
        let (open, may_be) = (bench.meter.open_files.get(), bench.meter.most_open_files.get());
        assert!(if most.is_some() { (open, may_be) == (3, 3) } else { open > 10 && may_be >= 256 }, "{open} of {may_be}");
        assert!(bench.meter.unreadable.get() > 1);
        assert_eq!((bench.meter.skipped.get(), bench.meter.uncached.get(), bench.meter.beyond_limit.get()), (0, 0, 0));
    }
}

/// What is measured follows from who names it.
#[test]
fn without_an_api_server_all_cgroups_are_measured() {
    let root = Root::version_2();
    root.make("/system.slice/some.service", &[]);
    root.make_pod(&pod_uid(1), &[]);
    for (json, subjects) in
        [("{}", 1), (r#"{"kubernetes": false}"#, 2), (r#"{"kubernetes": false, "of": "kubernetes"}"#, 1), (r#"{"of": "all"}"#, 2)]
    {
        let config: Config = serde_json::from_str(json).expect("it parses");
        let config = Config { root: root.path().to_owned(), ..config };
        let mut sampler = Sampler::new(&config, Arc::new(SubjectIds::default())).expect("cgroups are found");
        assert_eq!(sampler.sample().expect("they are read").by_subject().count(), subjects, "{json}");
    }
    let without_levels: Config = serde_json::from_str(r#"{"kubernetes": false, "levels": []}"#).expect("it parses");
    assert_eq!(without_levels.problems(), []);
}

#[tokio::test]
async fn a_host_without_cgroups_is_told_at_once() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let config = Config { root: empty.path().to_owned(), kubernetes: false, ..Config::default() };
    let source = Cgroups::new(&config, None, "n", Arc::default(), Arc::new(SourceMeter::default()));
    let fault = source.err().expect("there are none");
    assert_eq!(fault.class, Class::Fatal);
    let words = fault.to_string();
    assert!(words.contains("cannot measure cgroups") && words.contains("is mounted") && words.contains("hint: "), "{words}");
}

#[test]
fn mistakes_are_told_with_their_cure() {
    assert_eq!(Config::default().problems(), []);
    for (json, expected) in [
        (r#"{"period": "99ms"}"#, "period 99ms is too often; write at least 100ms"),
        (r#"{"period": "11m"}"#, "period 11m is too rare; write at most 10m"),
        (r#"{"wait": "1h"}"#, "wait 1h is too long; write at most 10m"),
        (
            r#"{"root": "host"}"#,
            "root `host` is not absolute; write `/`, or where the host's root directory is mounted, such as `/host`",
        ),
        (r#"{"levels": []}"#, "levels is empty, so nothing would be measured; write `pod`, `container` or both"),
        (r#"{"metrics": []}"#, "metrics is empty, so nothing would be measured; write a group such as `cpu`"),
        (
            r#"{"max-cgroups": 0}"#,
            "max-cgroups 0 is not between 1 and 100000; write how many cgroups this node may have, such as 5000",
        ),
        (
            r#"{"kubernetes": false, "node": "n"}"#,
            "node is given, but no pods are asked for; remove it, or write `kubernetes: true`",
        ),
        (r#"{"node": "a,b"}"#, "node `a,b` is no name of a node; write the name as `kubectl get nodes` shows it"),
        (r#"{"max-page-bytes": "1KiB"}"#, "max-page-bytes 1KiB is less than an object may need; write at least 64KiB"),
    ] {
        let config: Config = serde_json::from_str(json).expect("it parses");
        let told: Vec<_> = config
            .problems()
            .into_iter()
            .map(|problem| format!("{} {}; {}", problem.field, problem.cause, problem.cure))
            .collect();
        assert_eq!(told, [expected]);
    }
}

/// A reference page can be made from the schema alone.
#[test]
fn every_field_is_documented_and_has_its_default() {
    let schema = schema_for!(Config).to_value();
    assert_eq!(schema["additionalProperties"], false, "unknown fields are refused");
    for (name, field) in schema["properties"].as_object().expect("fields") {
        assert!(field["description"].is_string(), "{name}: {field}");
        let is_null = |schema: &Value| schema["type"] == "null";
        let optional = field["type"].as_array().is_some_and(|types| types.contains(&Value::from("null")))
            || field["anyOf"].as_array().is_some_and(|schemas| schemas.iter().any(is_null));
        assert!(optional || field.get("default").is_some(), "{name}: {field}");
    }
}
