//! What a module may use, in the running program: calls and memory of one instance, the processor, lines of the log, bytes of the file.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use support::{PATIENCE, Place, digest_in, module, pending, status_of, until};

/// A place with a lane, `lines`, of a module.
struct Bench {
    place: Place,
    api: ApiServer,
}

impl Bench {
    async fn new() -> Self {
        Self { place: Place::new(), api: ApiServer::start().await.unwrap() }
    }

    async fn run(&self, rest: &str) -> Program {
        let mut program = self.place.run(&self.place.configure(&self.api.url(), rest));
        program.until_alive(PATIENCE).await.unwrap();
        program
    }

    fn create(&self, name: &str) {
        self.api.create_pod(pending(name)).unwrap();
    }
}

fn lane(component: &Path, settings: &str, limits: &str) -> String {
    format!(
        "sources: {{pods: {{}}}}\n\
         reload: {{poll: 200ms, debounce: 50ms}}\n\
         modules: {{lines: {{use: \"{}\", settings: {settings}, limits: {limits}, batch: 1, to: [out]}}}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n",
        component.display()
    )
}

fn hostile() -> PathBuf {
    module("hostile")
}

async fn figure(program: &Program, name: &str, lane: &str) -> f64 {
    program.metric(name, &format!("lane=\"{lane}\"")).await.unwrap()
}

/// A figure that is a whole number, as it is written.
async fn count(program: &Program, name: &str, lane: &str) -> String {
    figure(program, name, lane).await.to_string()
}

async fn until_line(program: &Program, line: &str) {
    program.until_lines(PATIENCE, |lines| lines.iter().any(|said| said == line)).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_has_made_its_calls_is_replaced_and_its_state_goes_on() {
    let bench = Bench::new().await;
    let mut program = bench.run(&lane(&hostile(), "{count: true}", "{recycle-after-calls: 3}")).await;
    for number in 1..=20 {
        bench.create(&format!("pod-{number:02}"));
    }
    // Each line has the number of the event, over all instances.
    program.until_lines(PATIENCE, |lines| lines.len() >= 20).await.unwrap();
    let expected: Vec<String> = (1..=20).map(|number| format!("pod-{number:02} {number}")).collect();
    assert_eq!(*program.lines(), expected);
    assert_eq!(count(&program, "sluicebox_lane_recycles_total", "lines").await, "6");
    assert_eq!(count(&program, "sluicebox_lane_instances_total", "lines").await, "7");
    assert_eq!(count(&program, "sluicebox_lane_traps_total", "lines").await, "0");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn an_instance_that_holds_too_much_memory_is_replaced_before_it_stops() {
    let bench = Bench::new().await;
    // A mebibyte more with each call: without being replaced it would stop at the sixteenth.
    let settings = "{count: true, evil: hoard, size: 1048576}";
    let limits = "{memory: 16MiB, recycle-above-memory: 8MiB}";
    let mut program = bench.run(&lane(&hostile(), settings, limits)).await;
    for number in 1..=18 {
        bench.create(&format!("pod-{number:02}"));
        until_line(&program, &format!("pod-{number:02} {number}")).await;
    }
    assert_eq!(count(&program, "sluicebox_lane_recycles_total", "lines").await, "1");
    assert_eq!(count(&program, "sluicebox_lane_traps_total", "lines").await, "0");
    assert!(program.log().unwrap().contains("instance replaced as planned: it holds much memory"));
    let memory = figure(&program, "sluicebox_lane_memory_bytes", "lines").await;
    assert!((1e6..=16.0 * 1024.0 * 1024.0).contains(&memory), "{memory} bytes");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

/// A burning lane beside a good one, and plenty of work.
async fn burn(bench: &Bench, microseconds: u32) -> Program {
    let program = bench
        .run(&format!(
            "sources: {{pods: {{}}}}\n\
             shutdown-grace: 2m\n\
             modules:\n\
             \x20 burning: {{use: \"{}\", settings: {{evil: work-busy, size: {microseconds}}}, limits: {{cpu: 100m}}, batch: 1, queue: {{items: 1500, bytes: 64MiB}}, when-full: drop-oldest, to: [folder]}}\n\
             \x20 good: {{use: json-lines, settings: {{fields: compact}}, to: [out]}}\n\
             sinks: {{out: {{stdout: {{}}}}, folder: {{files: {{directory: \"{}\"}}}}}}\n",
            hostile().display(),
            bench.place.path("files").display(),
        ))
        .await;
    for number in 0..600 {
        bench.create(&format!("pod-{number}"));
    }
    program.until_lines(PATIENCE, |lines| lines.len() >= 600).await.unwrap();
    // More than its queue holds: the oldest events are dropped, and nobody waits for it.
    for digit in ['a', 'b'] {
        for number in 0..600 {
            bench.api.patch_status("shop", &format!("pod-{number}"), &support::running(digit)).unwrap();
        }
    }
    program.until_lines(PATIENCE, |lines| lines.len() >= 1800).await.unwrap();
    let overflow = program.metric("sluicebox_lane_dropped_events_total", r#"lane="burning",module="#).await.unwrap();
    assert!(overflow > 0.0, "nothing was dropped");
    program
}

#[tokio::test]
async fn a_module_that_wants_more_than_its_share_of_the_processor_is_slowed_and_no_other_is() {
    let bench = Bench::new().await;
    let program = burn(&bench, 20_000).await;
    // It may use one second at once.
    until(&program, "it is slowed", async || figure(&program, "sluicebox_lane_throttled_seconds_total", "burning").await > 0.2)
        .await;
    let (begin, used) = (Instant::now(), figure(&program, "sluicebox_lane_cpu_seconds_total", "burning").await);
    let throttled = figure(&program, "sluicebox_lane_throttled_seconds_total", "burning").await;
    let mut slowest = Duration::ZERO;
    for number in 0..50 {
        let since = Instant::now();
        let name = format!("later-{number}");
        bench.create(&name);
        let wanted = format!("\"name\":\"{name}\"");
        program.until_lines(PATIENCE, |lines| lines.iter().rev().take(50).any(|line| line.contains(&wanted))).await.unwrap();
        slowest = slowest.max(since.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let used = figure(&program, "sluicebox_lane_cpu_seconds_total", "burning").await - used;
    let throttled = figure(&program, "sluicebox_lane_throttled_seconds_total", "burning").await - throttled;
    let passed = begin.elapsed().as_secs_f64();
    let share = used / passed;
    assert!((0.01..0.25).contains(&share), "{used} s of the processor in {passed} s");
    // On a busy machine it waits for the processor, too.
    assert!(throttled > 0.5, "slowed for {throttled} s in {passed} s");
    assert!(slowest < Duration::from_secs(5), "an event of the good lane took {slowest:?}");
    assert_eq!(count(&program, "sluicebox_lane_dropped_events_total", "good").await, "0");
    // There was work for the whole time, so that the bounds above mean something.
    assert!(figure(&program, "sluicebox_lane_queue_length", "burning").await > 0.0);
    assert_eq!(count(&program, "sluicebox_lane_traps_total", "burning").await, "0");
}

#[tokio::test]
async fn a_lane_that_is_slowed_can_be_stopped_at_once() {
    let bench = Bench::new().await;
    let mut program = burn(&bench, 10_000).await;
    until(&program, "it is slowed", async || figure(&program, "sluicebox_lane_throttled_seconds_total", "burning").await > 0.2)
        .await;
    // What is left would take more than a minute at the share, and takes some seconds without.
    assert!(program.stop(Duration::from_mins(1)).await.unwrap().success());
}

#[tokio::test]
async fn a_module_logs_as_many_lines_as_it_may_and_the_others_are_counted() {
    let bench = Bench::new().await;
    let settings = "{evil: log-flood, size: 1000}";
    let program = bench.run(&lane(&hostile(), settings, "{log-lines-per-second: 5, deadline: 10s}")).await;
    let begin = Instant::now();
    let mut calls = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        bench.create(&format!("pod-{calls}"));
        until_line(&program, &format!("pod-{calls}")).await;
        calls += 1;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let log = program.log().unwrap();
    let lines = log.lines().filter(|line| line.contains(r#""message":"line "#)).count();
    let most = 5.0 * (seconds + 2.0);
    assert!(lines >= 5 && f64::from(u32::try_from(lines).unwrap()) <= most, "{lines} lines in {seconds} s, {calls} calls");
    let dropped = log.lines().filter(|line| line.contains("the module logs more lines in a second than it may")).count();
    assert!(dropped >= 1 && dropped <= 2 + lines, "{dropped} lines tell of it");
}

#[tokio::test]
async fn a_component_that_is_larger_than_it_may_be_is_refused_until_it_may() {
    let bench = Bench::new().await;
    let mut program = bench.run(&lane(&hostile(), "{}", "{component: 64KiB}")).await;
    until(&program, "it is refused", async || status_of(&program, "lines").await["state"] == "not-running").await;
    let refused = status_of(&program, "lines").await["failure"].as_str().unwrap().to_owned();
    assert!(refused.contains("64 KiB") || refused.contains("64KiB") || refused.contains("65536"), "{refused}");
    bench.place.reconfigure(&bench.api.url(), &lane(&hostile(), "{}", "{component: 1MiB}"));
    until(&program, "it runs", async || status_of(&program, "lines").await["state"] == "at-work").await;
    bench.create("pod-0");
    until_line(&program, "pod-0").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_new_version_that_is_larger_than_it_may_be_leaves_the_old_one_at_work() {
    let bench = Bench::new().await;
    let file = bench.place.path("module.wasm");
    let small = fs::read(hostile()).unwrap();
    fs::write(&file, &small).unwrap();
    let mut program = bench.run(&lane(&file, "{}", &format!("{{component: {}KiB}}", small.len() / 1024 + 1))).await;
    let old = sluicebox_wasm::digest(&small);
    until(&program, "the old one is at work", async || digest_in(&program, "lines").await == old).await;
    let mut large = small.clone();
    for _ in 0..20 {
        large = support::version_of(&large, &"x".repeat(100));
    }
    let beside = file.with_extension("new");
    fs::write(&beside, &large).unwrap();
    fs::rename(&beside, &file).unwrap();
    until(&program, "the large one is refused", async || status_of(&program, "lines").await["refused"].is_object()).await;
    bench.create("pod-0");
    until_line(&program, "pod-0").await;
    let status = status_of(&program, "lines").await;
    assert_eq!((&status["state"], status["module"]["digest"].as_str()), (&"at-work".into(), Some(old.as_str())), "{status:#}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}
