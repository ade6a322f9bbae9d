//! Proves what the files sink makes of each refusal of a real file system: what waits loses nothing and goes on when the cause is gone, what
//! is refused for good holds up no other.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod appending;
mod entries;
mod mounted;
mod warned;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use appending::{folder, line, line_in, names, settings, text};
use entries::{document, forget, forget_after};
use mounted::{Mounted, not_run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluicebox_contract::{Class, Entry, Fault, Outcome, Sink};
use sluicebox_sinks::files::{Config, Durability};
use sluicebox_sinks::{AnySink, Config as SinkConfig, Surroundings};
use sluicebox_testkit::servers::{Need, btrfs, mkfs_btrfs, require};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// A process that one test starts holds, for a moment, the lock on the directory of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn sink(name: &str, config: Config) -> AnySink {
    warned::listen();
    AnySink::new(name, &SinkConfig::Files(config), &Surroundings::default()).expect("a sink")
}

fn large(name: &str, kibibytes: usize) -> Entry {
    document(name, &"x".repeat(kibibytes << 10))
}

/// It waits at this entry, however often it is tried, and whoever reads it knows what to do.
async fn waits(sink: &mut AnySink, batch: &[Entry], index: usize, cure: &str) -> Fault {
    let mut last = None;
    for _ in 0..3 {
        let Outcome { refused, stopped } = sink.write(batch).await;
        let (at, fault) = stopped.expect("a fault");
        assert_eq!((refused, at, fault.class), (vec![], index, Class::Retry), "{fault}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains(cure)), "{fault}");
        assert!(fault.tried.starts_with("cannot ") && fault.tried.contains('`'), "{fault}");
        last = Some(fault);
    }
    last.expect("three tries")
}

async fn written(sink: &mut AnySink, batch: &[Entry]) {
    assert_eq!(sink.write(batch).await, Outcome::written());
}

#[tokio::test]
async fn on_a_full_disk_documents_wait_and_what_was_there_stays_whole() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(small) = Mounted::in_memory("size=64k") else { return };
    let mut sink = sink("full", Config::new(small.path()));
    written(&mut sink, &[large("a", 20), large("old", 12)]).await;
    let batch = [document("b", "1"), large("a", 40), document("c", "1")];
    let fault = waits(&mut sink, &batch, 1, "free space").await;
    assert!(fault.tried.contains("/a`"), "{fault}");
    assert_eq!(text(small.path(), "a").len(), 20 << 10);
    assert_eq!(names(small.path()), ["a", "b", "old"], "nothing half written takes room");
    // To forget makes room.
    written(&mut sink, &[forget("old"), forget("a")]).await;
    written(&mut sink, &batch[1..]).await;
    assert_eq!((text(small.path(), "a").len(), text(small.path(), "c").as_str()), (40 << 10, "1"));
}

#[tokio::test]
async fn a_file_system_without_inodes_is_waited_for() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(small) = Mounted::in_memory("size=1m,nr_inodes=3") else { return };
    let mut sink = sink("inodes", Config::new(small.path()));
    written(&mut sink, &[document("a", "1"), document("b", "1")]).await;
    // The root takes one; a new version needs one for a moment, too.
    waits(&mut sink, &[document("c", "1")], 0, "inodes").await;
    assert!(small.remount("nr_inodes=100"));
    written(&mut sink, &[document("c", "1")]).await;
}

#[tokio::test]
async fn a_file_system_that_turns_read_only_is_told_once_and_waited_for() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(small) = Mounted::in_memory("size=64k") else { return };
    let mut sink = sink("read-only", Config::new(small.path()));
    written(&mut sink, &[document("a", "1"), document("due", "1"), forget_after("due", Duration::from_millis(10))]).await;
    assert!(small.remount("ro"));
    let batch = [document("a", "2"), forget("b"), document("c", "2")];
    waits(&mut sink, &batch, 0, "mounted read-only").await;
    // What is due is tried again after five seconds, and said no second time.
    sleep(Duration::from_millis(5_100)).await;
    waits(&mut sink, &batch, 0, "mounted read-only").await;
    assert_eq!(warned::of("read-only").len(), 1, "{:?}", warned::of("read-only"));
    assert_eq!(names(small.path()), [".sluicebox-retention", "a", "due"]);
    assert!(small.remount("rw"));
    written(&mut sink, &batch).await;
    assert_eq!((text(small.path(), "a").as_str(), text(small.path(), "c").as_str()), ("2", "2"));
    sleep(Duration::from_millis(5_100)).await;
    timeout(Duration::from_secs(1), sink.upkeep()).await.expect("it is due").expect("it works");
    assert!(!small.path().join("due").exists());
}

#[tokio::test]
async fn a_disk_that_is_damaged_can_be_taken_out_while_lines_wait() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(disk) = Mounted::on_a_disk(8) else { return };
    let mut config = settings(disk.path());
    config.append.as_mut().expect("set").sync = Durability::EachWrite;
    let mut sink = sink("taken-out", config);
    written(&mut sink, &[line("1")]).await;
    if !disk.damage() {
        return not_run("the kernel cannot be told that the file system is damaged");
    }
    for _ in 0..2 {
        waits(&mut sink, &[line("2")], 0, "the kernel's log").await;
        let idle = timeout(Duration::from_millis(100), sink.upkeep()).await;
        assert!(idle.is_err(), "there is nothing to be done: {idle:?}");
    }
    assert!(disk.mend(), "nothing is open");
    written(&mut sink, &[line("2")]).await;
    assert_eq!(text(disk.path(), "a.csv"), "1\n2\n");
}

#[tokio::test]
async fn a_disk_that_is_damaged_and_mounted_again_is_written_to_without_a_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(disk) = Mounted::on_a_disk(8) else { return };
    let mut config = settings(disk.path());
    // What the kernel has not written yet when it gives up is lost otherwise.
    config.sync = true;
    config.append.as_mut().expect("set").sync = Durability::EachWrite;
    let mut sink = sink("damaged", config);
    written(&mut sink, &[document("a", "1"), line("1")]).await;
    if !disk.damage() {
        return not_run("the kernel cannot be told that the file system is damaged");
    }
    waits(&mut sink, &[document("a", "2"), line("2")], 0, "the kernel's log").await;
    waits(&mut sink, &[line("2"), line("3")], 0, "the kernel's log").await;
    assert!(disk.mend());
    written(&mut sink, &[document("a", "2"), line("2"), line("3")]).await;
    assert_eq!((text(disk.path(), "a").as_str(), text(disk.path(), "a.csv").as_str()), ("2", "1\n2\n3\n"));
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for() {
    if !require(Need::Btrfs) {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().await;
    let (mkfs, btrfs) = (mkfs_btrfs().expect("it was asked for"), btrfs().expect("it was asked for"));
    let Some((_disk, volume)) = Mounted::with_quota(&mkfs, &btrfs, 512 << 10) else { return };
    let mut config = settings(&volume);
    config.sync = true;
    let mut sink = sink("quota", config);
    written(&mut sink, &[document("a", "1"), line("1")]).await;
    let mut fills = 0;
    let fault = loop {
        fills += 1;
        assert!(fills < 100, "there is no quota");
        if let Some((_, fault)) = sink.write(&[large(&format!("fills-{fills}"), 64)]).await.stopped {
            break fault;
        }
    };
    assert!(fault.class == Class::Retry && fault.hint.as_ref().is_some_and(|hint| hint.contains("the quota of")), "{fault}");
    let more = [line(&"y".repeat(300 << 10))];
    waits(&mut sink, &more, 0, "the quota of").await;
    assert!(Command::new(&btrfs).args(["qgroup", "limit", "none"]).arg(&volume).status().expect("it runs").success());
    written(&mut sink, &[large("fills", 64), document("a", "2")]).await;
    written(&mut sink, &more).await;
    assert_eq!(text(&volume, "a"), "2");
    let lines = text(&volume, "a.csv");
    assert!(lines.lines().count() == 2 && lines.len() == 2 + (300 << 10) + 1, "{}", lines.len());
}

/// Runs a test that is left out otherwise in a process of its own, for what holds for all of a process.
fn in_a_process(prefix: &[&str], test: &str, folder: &Path) {
    let this = std::env::current_exe().expect("this test");
    let mut words: Vec<_> = prefix.iter().map(AsRef::as_ref).collect();
    words.push(this.as_os_str());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["--exact", test, "--ignored"]).env("FOLDER", folder);
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn given_folder() -> std::path::PathBuf {
    std::env::var_os("FOLDER").expect("started by another test").into()
}

#[tokio::test]
async fn with_no_descriptor_left_documents_wait() {
    let _turn = ONE_AT_A_TIME.lock().await;
    in_a_process(&[], "documents_in_a_process_with_few_descriptors", folder().path());
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn documents_in_a_process_with_few_descriptors() {
    let folder = given_folder();
    let mut open = sink("descriptors", Config::new(&folder));
    written(&mut open, &[document("a", "1")]).await;
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1), ..before }).expect("lowered");
    let batch = [document("a", "2"), document("b", "2")];
    waits(&mut open, &batch, 0, "raise the limit (ulimit -n, LimitNOFILE)").await;
    // One that has to open its directory first.
    let mut fresh = sink("fresh", Config::new(folder.join("fresh")));
    waits(&mut fresh, &batch, 0, "raise the limit (ulimit -n, LimitNOFILE)").await;
    setrlimit(Resource::Nofile, before).expect("put back");
    written(&mut open, &batch).await;
    written(&mut fresh, &batch).await;
    assert_eq!(text(&folder, "a"), "2");
}

#[tokio::test]
async fn what_is_larger_than_a_file_may_be_is_refused_and_lines_go_on_in_the_next_file() {
    let _turn = ONE_AT_A_TIME.lock().await;
    in_a_process(&[], "in_a_process_whose_files_are_small", folder().path());
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn in_a_process_whose_files_are_small() {
    let folder = given_folder();
    // Else the kernel ends the process.
    let _heard = signal(SignalKind::from_raw(25)).expect("SIGXFSZ");
    setrlimit(Resource::Fsize, Rlimit { current: Some(4_096), maximum: Some(4_096) }).expect("lowered");
    let mut sink = sink("small", settings(&folder));
    let outcome = sink.write(&[document("a", "1"), large("b", 8), document("c", "1")]).await;
    assert_eq!((outcome.stopped, outcome.refused.len(), outcome.refused[0].index), (None, 1, 1));
    let reason = &outcome.refused[0].reason;
    assert!(reason.contains("allows no file of this size") && reason.contains("/b`; hint: raise the limit"), "{reason}");
    let long = |number: usize| line(&format!("{number} {}", "x".repeat(1_000)));
    let lines: Vec<_> = (0..10).map(long).collect();
    written(&mut sink, &lines).await;
    let read = ["a.csv.3", "a.csv.2", "a.csv.1", "a.csv"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
    let numbers: Vec<_> = read.concat().lines().filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    // One line that no file can hold.
    let huge = line_in("b.csv", &"x".repeat(8 << 10));
    let outcome = sink.write(&[huge, line("11")]).await;
    assert_eq!((outcome.stopped, outcome.refused.len()), (None, 1), "{:?}", outcome.refused);
}

#[tokio::test]
async fn a_permission_that_is_taken_away_is_waited_for() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let folder = folder();
    let directory = folder.path().join("d");
    fs::create_dir(&directory).expect("a directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    if chown(&directory, Some(65_534), Some(65_534)).is_err() {
        return not_run("only root can give a directory away");
    }
    in_a_process(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "as_an_ordinary_user", &directory);
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn as_an_ordinary_user() {
    let folder = given_folder();
    let mode = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("ours");
    let mut sink = sink("ordinary", settings(&folder));
    written(&mut sink, &[document("a", "1"), line("1")]).await;
    mode(0o555);
    waits(&mut sink, &[document("a", "2"), line("2")], 0, "must be allowed to write to").await;
    mode(0o755);
    written(&mut sink, &[document("a", "2"), line("2")]).await;
    assert_eq!((text(&folder, "a").as_str(), text(&folder, "a.csv").as_str()), ("2", "1\n2\n"));
}
