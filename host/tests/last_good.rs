//! A version of a module that has worked is kept, and comes back when a later one is bad: at a start, and while the program runs.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_wasm::digest;
use support::{PATIENCE, Place, digest_in, module, pending, status_of, until, version_of};

/// Numbers its lines, which shows the settings that it runs with.
const WORKED: &str = "{count: true}";

/// A place with a module's file that can be replaced.
struct Bench {
    place: Place,
    api: ApiServer,
    file: PathBuf,
    good_after: &'static str,
}

impl Bench {
    async fn new() -> Self {
        let place = Place::new();
        let file = place.path("module.wasm");
        Self { place, api: ApiServer::start().await.unwrap(), file, good_after: "300ms" }
    }

    /// Lanes of this name, all with the module's file, with these settings.
    fn lanes(&self, names: &[&str], settings: &str, more: &str) -> String {
        let lane =
            |name: &&str| format!("\x20 {name}: {{use: \"{}\", settings: {settings}, {more} to: [out]}}\n", self.file.display());
        let lanes: String = names.iter().map(lane).collect();
        format!(
            "sources: {{pods: {{}}}}\n\
             reload: {{poll: 200ms, debounce: 50ms, good-after: {}, kubernetes-events: true}}\n\
             modules:\n{lanes}sinks: {{out: {{stdout: {{}}}}}}\n",
            self.good_after
        )
    }

    fn lane(&self, settings: &str) -> String {
        self.lanes(&["lines"], settings, "")
    }

    async fn run(&self, rest: &str) -> Program {
        let mut program = self.place.run(&self.place.configure(&self.api.url(), rest));
        program.until_alive(PATIENCE).await.unwrap();
        program
    }

    fn reconfigure(&self, rest: &str) {
        self.place.reconfigure(&self.api.url(), rest);
    }

    /// Puts the module's file in place as a whole.
    fn put(&self, bytes: &[u8]) {
        replace(&self.file, bytes);
    }

    fn create(&self, name: &str) {
        self.api.create_pod(pending(name)).unwrap();
    }

    /// Runs a version until it is kept, with one pod.
    async fn run_until_kept(&self, component: &[u8], settings: &str) -> Program {
        self.put(component);
        let program = self.run(&self.lane(settings)).await;
        self.create("pod-0");
        until_kept(&program, "lines").await;
        program
    }

    fn kept(&self, lane: &str) -> PathBuf {
        self.place.path("state").join("last-good").join(format!("lane-{lane}"))
    }

    async fn until_told(&self, program: &Program, reason: &str, text: &str) {
        let is_it = |event: &Value| {
            event["reason"] == reason && event["type"] == "Warning" && said(event).contains(text) && said(event).contains("lines")
        };
        until(program, &format!("a Kubernetes Event {reason}: {text}"), async || self.api.events().iter().any(is_it)).await;
    }
}

/// The words of a Kubernetes Event.
fn said(event: &Value) -> String {
    format!("{} {}", event["message"], event["note"])
}

fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Two versions of the same module.
fn versions() -> [Vec<u8>; 2] {
    let component = fs::read(module("hostile")).unwrap();
    [version_of(&component, "one"), version_of(&component, "two")]
}

fn logs(program: &Program, words: &[&str]) -> usize {
    program.log().unwrap().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

async fn until_kept(program: &Program, lane: &str) {
    let lane = format!(r#""lane":"{lane}""#);
    until(program, "it is kept", async || logs(program, &["module kept as the last good one", &lane]) > 0).await;
}

async fn until_line(program: &Program, line: &str) {
    program.until_lines(PATIENCE, |lines| lines.iter().any(|said| said == line)).await.unwrap();
}

async fn until_runs(program: &Program, from: &str, component: &[u8]) {
    let (what, wanted) = (format!("the lane runs from {from}"), digest(component));
    until(program, &what, async || {
        let status = status_of(program, "lines").await;
        status["from"] == from && status["state"] == "at-work" && status["module"]["digest"] == wanted.as_str()
    })
    .await;
}

/// Pods of one name, in a namespace each.
fn create_bad(bench: &Bench, number: u32) {
    let mut pod = pending("bad");
    pod["metadata"]["namespace"] = format!("shop-{number}").into();
    bench.api.create_pod(pod).unwrap();
}

/// A version works, the program is stopped, and its module is made bad: the last good version runs; then a good one takes over.
async fn comes_back_after(break_it: impl FnOnce(&Bench), settings: &str, reason: &str) {
    let bench = Bench::new().await;
    let [one, two] = versions();
    let mut program = bench.run_until_kept(&one, WORKED).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    break_it(&bench);
    let program = bench.run(&bench.lane(settings)).await;
    until_runs(&program, "last-good", &one).await;
    let refused = status_of(&program, "lines").await["refused"].clone();
    assert!(refused["reason"].as_str().is_some_and(|text| text.contains(reason)), "`{reason}` is not in {refused}");
    bench.create("pod-1");
    until_line(&program, "pod-1 2").await;
    until(&program, "readiness tells of it", async || {
        let (ready, text) = program.get("/readyz").await.unwrap();
        ready && text.contains("last good") && text.contains(reason.lines().next().unwrap())
    })
    .await;
    assert_eq!(logs(&program, &["the last good one takes its place", "WARN"]), 1, "{}", program.log().unwrap());
    bench.until_told(&program, "LastGoodModuleUsed", reason.lines().next().unwrap()).await;
    bench.put(&two);
    bench.reconfigure(&bench.lane("{}"));
    until_runs(&program, "configuration", &two).await;
    until(&program, "nothing is refused", async || status_of(&program, "lines").await["refused"].is_null()).await;
    bench.create("pod-2");
    until_line(&program, "pod-2").await;
    until_kept(&program, "lines").await;
}

#[tokio::test]
async fn what_is_no_component_after_a_restart_is_replaced_by_the_last_good_version() {
    comes_back_after(|bench| bench.put(b"hello"), "{}", "component").await;
}

#[tokio::test]
async fn what_traps_in_its_start_after_a_restart_is_replaced_by_the_last_good_version() {
    comes_back_after(|bench| bench.put(&versions()[1]), "{evil: panic-in-start}", "I cannot start").await;
}

#[tokio::test]
async fn what_refuses_its_settings_after_a_restart_is_replaced_by_what_worked_with_its_own() {
    comes_back_after(|_| {}, "{evil: refuse-to-start}", "setting `colour`: unknown").await;
}

#[tokio::test]
async fn what_is_absent_after_a_restart_is_replaced_by_the_last_good_version() {
    comes_back_after(|bench| fs::remove_file(&bench.file).unwrap(), "{}", "cannot read").await;
}

#[tokio::test]
async fn a_version_that_traps_again_and_again_is_taken_back_while_the_program_runs() {
    let bench = Bench::new().await;
    let [one, two] = versions();
    let mut program = bench.run_until_kept(&one, WORKED).await;
    until_line(&program, "pod-0 1").await;
    // Two changes, one after the other: neither makes a call that could make it one to come back to.
    bench.reconfigure(&bench.lane("{evil: panic, only: bad}"));
    until(&program, "the settings are there", async || status_of(&program, "lines").await["swapped"] == 1).await;
    bench.put(&two);
    until_runs(&program, "configuration", &two).await;
    for number in 0..20 {
        create_bad(&bench, number);
    }
    until_runs(&program, "last-good", &one).await;
    assert!((program.metric("sluicebox_lane_reloads_total", r#"result="rolled-back""#).await.unwrap() - 1.0).abs() < 0.1);
    let status = status_of(&program, "lines").await;
    assert_eq!((&status["rolled-back"], &status["refused"]["digest"]), (&1.into(), &digest(&two).into()), "{status:#}");
    bench.until_told(&program, "ModuleRolledBack", "fails again and again").await;
    bench.create("pod-1");
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.starts_with("pod-1 "))).await.unwrap();
    // What the bad one has not stopped at was shaped by the good one, and nothing is lost without a word.
    let shaped = program.lines().iter().filter(|line| line.starts_with("bad ")).count();
    let dead = 20 - shaped;
    assert!((7..=8).contains(&dead), "{shaped} shaped");
    until(&program, "the others are dead letters", async || {
        (program.metric("sluicebox_dead_letters_held ", "").await.unwrap() - f64::from(u32::try_from(dead).unwrap())).abs() < 0.1
    })
    .await;
    is_not_tried_again(&bench, &program, &two).await;
    bench.reconfigure(&bench.lane("{}"));
    until_runs(&program, "configuration", &two).await;
    bench.create("pod-2");
    until_line(&program, "pod-2").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

/// Neither by a look at the configuration nor by a file that is the same.
async fn is_not_tried_again(bench: &Bench, program: &Program, bad: &[u8]) {
    let before = status_of(program, "lines").await["swapped"].clone();
    bench.put(bad);
    bench.reconfigure(&bench.lanes(&["lines"], "{evil: panic, only: bad}", "queue: {items: 500},"));
    let read = logs(program, &["configuration read again"]);
    until(program, "the configuration is read", async || logs(program, &["configuration read again"]) > read).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = status_of(program, "lines").await;
    assert_eq!((&status["swapped"], &status["from"]), (&before, &"last-good".into()), "{status:#}");
}

#[tokio::test]
async fn a_version_that_fails_with_its_first_events_is_not_kept_however_long_it_has_waited_for_them() {
    let bench = Bench { good_after: "3s", ..Bench::new().await };
    let [one, two] = versions();
    let mut program = bench.run_until_kept(&one, WORKED).await;
    bench.reconfigure(&bench.lane("{evil: panic, only: bad}"));
    until(&program, "the settings are there", async || status_of(&program, "lines").await["swapped"] == 1).await;
    bench.put(&two);
    until_runs(&program, "configuration", &two).await;
    // Longer than what makes a version good that works.
    tokio::time::sleep(Duration::from_secs(4)).await;
    bench.create("a-good-one");
    until_line(&program, "a-good-one").await;
    for number in 0..20 {
        create_bad(&bench, number);
    }
    until_runs(&program, "last-good", &one).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    // The bad one is tried once more after a restart, and is taken back once more.
    let program = bench.run(&bench.lane("{evil: panic, only: bad}")).await;
    until_runs(&program, "last-good", &one).await;
    bench.create("a-later-one");
    program.until_lines(PATIENCE, |lines| lines.iter().any(|line| line.starts_with("a-later-one "))).await.unwrap();
}

#[tokio::test]
async fn a_last_good_version_that_is_damaged_is_told_and_not_used() {
    let bench = Bench::new().await;
    let [one, two] = versions();
    let mut program = bench.run_until_kept(&one, WORKED).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let kept = bench.kept("lines").join(format!("{}.wasm", digest(&one)));
    let mut bytes = fs::read(&kept).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, bytes).unwrap();
    bench.put(b"hello");
    let program = bench.run(&bench.lane(WORKED)).await;
    until(&program, "the lane does not run", async || status_of(&program, "lines").await["state"] == "not-running").await;
    assert_eq!(
        logs(&program, &["the last good module cannot be used", "does not have the digest"]),
        1,
        "{}",
        program.log().unwrap()
    );
    bench.put(&two);
    until_runs(&program, "configuration", &two).await;
    bench.create("pod-1");
    until_line(&program, "pod-1 2").await;
    until_kept(&program, "lines").await;
}

#[tokio::test]
async fn the_last_good_version_of_a_lane_that_is_no_more_is_forgotten() {
    let bench = Bench::new().await;
    let [one, _] = versions();
    bench.put(&one);
    let mut program = bench.run(&bench.lanes(&["lines", "other", "third"], WORKED, "")).await;
    bench.create("pod-0");
    for lane in ["lines", "other", "third"] {
        until_kept(&program, lane).await;
        assert!(bench.kept(lane).is_dir());
    }
    bench.reconfigure(&bench.lanes(&["lines", "other"], WORKED, ""));
    until(&program, "what was removed is forgotten", async || !bench.kept("third").exists()).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    assert!(bench.kept("other").is_dir());
    let program = bench.run(&bench.lane(WORKED)).await;
    until(&program, "what is not configured is forgotten", async || !bench.kept("other").exists()).await;
    assert!(bench.kept("lines").is_dir());
}

#[tokio::test]
async fn without_a_state_directory_that_can_be_written_everything_works_and_one_warning_says_so() {
    let bench = Bench::new().await;
    let [one, two] = versions();
    fs::write(bench.place.path("state"), "a file").unwrap();
    bench.put(&one);
    let mut program = bench.run(&bench.lane(WORKED)).await;
    bench.create("pod-0");
    until_line(&program, "pod-0 1").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    bench.put(&two);
    until_runs(&program, "configuration", &two).await;
    bench.create("pod-1");
    until_line(&program, "pod-1 2").await;
    assert_eq!(logs(&program, &["WARN", "last good modules are not kept"]), 1, "{}", program.log().unwrap());
    // A bad one stays at work, because there is nothing to come back to.
    bench.reconfigure(&bench.lane("{evil: panic-in-start}"));
    until(&program, "the bad one is refused", async || status_of(&program, "lines").await["refused"].is_object()).await;
    bench.create("pod-2");
    until_line(&program, "pod-2 3").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    assert_eq!(fs::read_to_string(bench.place.path("state")).unwrap(), "a file");
}

/// What lies in a directory, as names and sizes.
fn lies_in(directory: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut all: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len())))
        .collect();
    all.sort();
    all
}

/// Waits for the moment at which something happens in the directory, and a little longer.
async fn until_something_happens_in(directory: &Path, longer: Duration) {
    let (before, begin) = (lies_in(directory), Instant::now());
    while lies_in(directory) == before {
        assert!(begin.elapsed() < PATIENCE, "nothing happens in {}", directory.display());
        tokio::task::yield_now().await;
    }
    let happened = Instant::now();
    while happened.elapsed() < longer {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_program_that_is_killed_while_it_keeps_a_version_always_starts_with_a_whole_one() {
    let bench = Bench::new().await;
    let versions = versions();
    let mut program = bench.run_until_kept(&versions[0], WORKED).await;
    program.kill().unwrap();
    let mut torn = 0;
    // On a busy machine it may take more of them until one strikes at the right moment.
    for round in 0..80_usize {
        if round >= 20 && torn > 0 {
            break;
        }
        // Another version each time, so that there is something to be kept.
        let kept = fs::read_to_string(bench.kept("lines").join("good.json")).unwrap();
        let next = versions.iter().find(|version| !kept.contains(&digest(version))).unwrap();
        bench.put(next);
        let mut program = bench.run(&bench.lane(WORKED)).await;
        until_something_happens_in(&bench.kept("lines"), Duration::from_millis(2) * u32::try_from(round % 20).unwrap()).await;
        program.kill().unwrap();
        let kept = fs::read_to_string(bench.kept("lines").join("good.json")).unwrap();
        torn += usize::from(!kept.contains(&digest(next)));
        bench.put(b"hello");
        let mut program = bench.run(&bench.lane(WORKED)).await;
        until(&program, "the last good one runs", async || status_of(&program, "lines").await["state"] == "at-work").await;
        assert_eq!(status_of(&program, "lines").await["from"], "last-good");
        let running = digest_in(&program, "lines").await;
        assert!(versions.iter().any(|version| digest(version) == running), "{running}");
        until_line(&program, "pod-0 1").await;
        program.kill().unwrap();
    }
    assert!(torn > 0, "none of the kills has struck while it was kept");
}

#[tokio::test]
async fn a_version_that_works_is_kept_although_its_file_was_overwritten_by_a_bad_one_meanwhile() {
    let bench = Bench { good_after: "2s", ..Bench::new().await };
    let [one, _] = versions();
    bench.put(&one);
    let mut program = bench.run(&bench.lane(WORKED)).await;
    let held = bench.place.path("state").join("on-trial").join("last-good").join("lane-lines").join("good.json");
    until(&program, "the component is held", async || held.is_file()).await;
    bench.put(b"no component");
    until(&program, "the new one is refused", async || status_of(&program, "lines").await["refused"].is_object()).await;
    bench.create("pod-0");
    until_kept(&program, "lines").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let program = bench.run(&bench.lane(WORKED)).await;
    until_runs(&program, "last-good", &one).await;
}
