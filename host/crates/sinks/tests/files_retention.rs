//! Proves when the files sink forgets: by timer, across restarts, and never what was put again. Time is paused: no test waits.

mod entries;

use std::fs;
use std::path::Path;
use std::time::Duration;

use entries::{document, document_in, forget_after, forget_in};
use sluicebox_contract::{Outcome, Sink, TimeSpan};
use sluicebox_sinks::files::{Config, RemoveUnclaimed};
use sluicebox_sinks::{AnySink, Config as SinkConfig, Surroundings};
use tempfile::{TempDir, tempdir};
use tokio::time::timeout;

const STATE: &str = ".sluicebox-retention";

fn folder() -> TempDir {
    tempdir().expect("a folder")
}

fn open(directory: &Path) -> AnySink {
    AnySink::new("meta", &SinkConfig::Files(Config::new(directory)), &Surroundings::default()).expect("a sink")
}

fn open_removing(directory: &Path, after: Duration) -> AnySink {
    let mut config = Config::new(directory);
    config.remove_unclaimed = Some(RemoveUnclaimed { suffix: ".meta".to_owned(), after: TimeSpan(after) });
    AnySink::new("meta", &SinkConfig::Files(config), &Surroundings::default()).expect("a sink")
}

async fn write(sink: &mut AnySink, batch: &[sluicebox_contract::Entry]) {
    assert_eq!(sink.write(batch).await, Outcome::written());
}

/// Lets the sink do its own work for so long, as an outlet does that has nothing to write.
async fn rest(sink: &mut AnySink, seconds: f64) {
    let work = async {
        loop {
            sink.upkeep().await.expect("upkeep");
        }
    };
    let Err(_elapsed) = timeout(Duration::from_secs_f64(seconds), work).await;
}

fn there(folder: &TempDir, name: &str) -> bool {
    folder.path().join(name).exists()
}

#[tokio::test(start_paused = true)]
async fn b6_a_file_with_a_retention_of_3_s_is_there_at_2_9_s_and_gone_after_3() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a.meta", "1"), forget_after("a.meta", Duration::from_secs(3))]).await;
    rest(&mut sink, 2.9).await;
    assert!(there(&folder, "a.meta"));
    rest(&mut sink, 0.2).await;
    assert!(!there(&folder, "a.meta"));
}

#[tokio::test(start_paused = true)]
async fn b8_a_file_whose_retention_is_over_goes_with_the_next_write_whatever_it_is_about() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a.meta", "1"), forget_after("a.meta", Duration::from_secs(3))]).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(there(&folder, "a.meta"));
    write(&mut sink, &[]).await;
    assert!(!there(&folder, "a.meta"));
}

#[tokio::test(start_paused = true)]
async fn a_name_put_again_is_kept() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(3))]).await;
    rest(&mut sink, 2.9).await;
    write(&mut sink, &[document("a", "2")]).await;
    rest(&mut sink, 1_000.0).await;
    assert_eq!(fs::read_to_string(folder.path().join("a")).expect("the file"), "2");
}

#[tokio::test(start_paused = true)]
async fn a_name_put_again_in_the_batch_that_finds_it_due_is_kept() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(3))]).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    write(&mut sink, &[document("a", "2")]).await;
    rest(&mut sink, 1_000.0).await;
    assert!(there(&folder, "a"));
}

#[tokio::test(start_paused = true)]
async fn forgetting_at_once_overtakes_a_retention_and_a_later_word_replaces_an_earlier_one() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(3)), forget_after("a", Duration::from_secs(9))])
        .await;
    rest(&mut sink, 8.0).await;
    assert!(there(&folder, "a"));
    write(&mut sink, &[entries::forget("a"), document("b", "1")]).await;
    assert!(!there(&folder, "a"));
    rest(&mut sink, 10.0).await;
    assert!(there(&folder, "b"));
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_retention() {
    let folder = folder();
    let mut sink = open(folder.path());
    let minute = Duration::from_mins(1);
    write(&mut sink, &[document("a", "1"), document_in("c", "a", "1")]).await;
    write(&mut sink, &[forget_after("a", minute), forget_in("c", "a", minute)]).await;
    drop(sink);
    let mut sink = open(folder.path());
    rest(&mut sink, 50.0).await;
    assert!(there(&folder, "a") && there(&folder, "c/a"));
    rest(&mut sink, 10.1).await;
    assert!(!there(&folder, "a") && !there(&folder, "c"));
    // And what is forgotten does not come back to be forgotten.
    drop(sink);
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "2")]).await;
    rest(&mut sink, 1_000.0).await;
    assert!(there(&folder, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_name_put_again_after_a_restart_is_kept() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(1))]).await;
    drop(sink);
    let mut sink = open(folder.path());
    rest(&mut sink, 5.0).await;
    assert!(there(&folder, "a"), "what fell due while nobody was there waits for the first list");
    write(&mut sink, &[document("a", "2")]).await;
    rest(&mut sink, 1_000.0).await;
    assert!(there(&folder, "a"));
    drop(sink);
    let mut sink = open(folder.path());
    rest(&mut sink, 1_000.0).await;
    assert!(there(&folder, "a"));
}

fn state(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join(STATE)).expect("the state")
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_written_down_once_a_second_and_what_is_to_be_forgotten_at_once() {
    let folder = folder();
    let mut sink = open(folder.path());
    let names: Vec<_> = (0..10).map(|number| format!("n{number}")).collect();
    for (name, tenths) in names.iter().zip(10..) {
        write(&mut sink, &[document(name, "1"), forget_after(name, Duration::from_millis(100 * tenths))]).await;
        assert!(state(&folder).contains(name.as_str()));
    }
    let before = state(&folder);
    rest(&mut sink, 1.95).await;
    assert!(names.iter().all(|name| !there(&folder, name)));
    assert_eq!(state(&folder), before, "the second is not over");
    rest(&mut sink, 0.1).await;
    assert!(!there(&folder, STATE));
}

#[tokio::test(start_paused = true)]
async fn a_name_put_again_before_it_is_written_down_that_it_was_forgotten_is_kept_after_a_crash() {
    let folder = folder();
    let mut sink = open(folder.path());
    let (soon, late) = (Duration::from_secs(1), Duration::from_hours(1));
    write(&mut sink, &[document("a", "1"), forget_after("a", soon), document("b", "1"), forget_after("b", late)]).await;
    rest(&mut sink, 1.1).await;
    assert!(!there(&folder, "a") && state(&folder).contains(r#""a""#));
    write(&mut sink, &[document("a", "2")]).await;
    assert!(!state(&folder).contains(r#""a""#));
    drop(sink);
    let mut sink = open(folder.path());
    rest(&mut sink, 1_000.0).await;
    assert!(there(&folder, "a"));
}

#[tokio::test(start_paused = true)]
async fn garbage_in_the_retention_file_is_ignored_and_replaced() {
    for garbage in [
        "",
        "{",
        "\0\u{1}",
        r#"{"version":9}"#,
        r#"{"version":1,"forget":[{"name":"../../x","at-unix-milliseconds":0,"left-milliseconds":0}]}"#,
    ] {
        let folder = folder();
        fs::write(folder.path().join(STATE), garbage).expect("a file");
        let mut sink = open(folder.path());
        write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(3))]).await;
        let state = fs::read_to_string(folder.path().join(STATE)).expect("the state");
        assert!(state.contains(r#""name":"a""#), "{garbage:?} {state}");
        rest(&mut sink, 3.1).await;
        assert!(!there(&folder, "a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_retention_file_that_leads_elsewhere_or_hangs_is_ignored() {
    let folder = folder();
    let outside = tempdir().expect("a folder");
    fs::write(outside.path().join("x"), r#"{"version":1,"forget":[]}"#).expect("a file");
    std::os::unix::fs::symlink(outside.path().join("x"), folder.path().join(STATE)).expect("a link");
    write(&mut open(folder.path()), &[document("a", "1"), forget_after("a", Duration::from_secs(3))]).await;
    assert_eq!(fs::read_to_string(outside.path().join("x")).expect("a file"), r#"{"version":1,"forget":[]}"#);
    let pipe = tempdir().expect("a folder");
    // Not by a child process: a fork holds the locks of all tests in this process for a moment.
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let created = rustix::fs::mknodat(rustix::fs::CWD, pipe.path().join(STATE), rustix::fs::FileType::Fifo, mode, 0);
    created.expect("a pipe in place of the file");
    write(&mut open(pipe.path()), &[document("a", "1")]).await;
}

#[tokio::test(start_paused = true)]
async fn b9_b12_a_file_of_an_earlier_run_that_nothing_claims_goes() {
    let folder = folder();
    fs::write(folder.path().join("test-file.meta"), "stale").expect("a file");
    let mut sink = open_removing(folder.path(), Duration::from_mins(1));
    rest(&mut sink, 10_000.0).await;
    assert!(there(&folder, "test-file.meta"), "before everything is written nobody knows what is claimed");
    write(&mut sink, &[document("default_web.meta", "1")]).await;
    sink.settled().await.expect("settled");
    rest(&mut sink, 59.0).await;
    assert!(there(&folder, "test-file.meta"));
    rest(&mut sink, 2.0).await;
    assert!(!there(&folder, "test-file.meta") && there(&folder, "default_web.meta"));
}

#[tokio::test(start_paused = true)]
async fn b10_files_that_are_not_ours_are_kept() {
    let folder = folder();
    fs::write(folder.path().join("default.namespace_meta"), "1").expect("a file");
    fs::create_dir(folder.path().join("directory.meta")).expect("a directory");
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.meta")).expect("a link");
    let mut sink = open_removing(folder.path(), Duration::ZERO);
    sink.settled().await.expect("settled");
    rest(&mut sink, 100.0).await;
    for name in ["default.namespace_meta", "directory.meta"] {
        assert!(there(&folder, name), "{name}");
    }
    assert!(fs::symlink_metadata(folder.path().join("link.meta")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unclaimed_file_that_is_claimed_in_time_is_kept_and_a_restart_does_not_begin_anew() {
    let folder = folder();
    for name in ["a.meta", "b.meta"] {
        fs::write(folder.path().join(name), "stale").expect("a file");
    }
    let mut sink = open_removing(folder.path(), Duration::from_mins(1));
    sink.settled().await.expect("settled");
    rest(&mut sink, 30.0).await;
    write(&mut sink, &[document("a.meta", "1")]).await;
    drop(sink);
    let mut sink = open_removing(folder.path(), Duration::from_hours(1));
    write(&mut sink, &[document("a.meta", "1")]).await;
    sink.settled().await.expect("settled");
    rest(&mut sink, 61.0).await;
    assert!(there(&folder, "a.meta") && !there(&folder, "b.meta"));
}

#[tokio::test(start_paused = true)]
async fn b23_a_file_that_nobody_forgets_stays() {
    let folder = folder();
    let mut sink = open_removing(folder.path(), Duration::ZERO);
    write(&mut sink, &[document("default_job.meta", "Succeeded")]).await;
    sink.settled().await.expect("settled");
    rest(&mut sink, 1_000_000.0).await;
    assert!(there(&folder, "default_job.meta"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_removed_holds_up_no_other() {
    let folder = folder();
    let mut sink = open(folder.path());
    let soon = Duration::from_secs(1);
    write(&mut sink, &[document("a", "1"), document("b", "1"), forget_after("a", soon), forget_after("b", soon)]).await;
    fs::remove_file(folder.path().join("a")).expect("removed");
    fs::create_dir(folder.path().join("a")).expect("a directory in its place");
    rest(&mut sink, 2.0).await;
    assert!(there(&folder, "a") && !there(&folder, "b"));
}

#[tokio::test(start_paused = true)]
async fn an_upkeep_that_is_dropped_loses_nothing() {
    let folder = folder();
    let mut sink = open(folder.path());
    write(&mut sink, &[document("a", "1"), forget_after("a", Duration::from_secs(1))]).await;
    for _ in 0..1_000 {
        // Shorter than what it waits for: it is dropped again and again.
        rest(&mut sink, 0.002).await;
    }
    assert!(!there(&folder, "a"));
}
