//! Proves that lines wait while the system has no room for them, and are then written once and whole.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod appending;
mod entries;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use appending::{folder, line, line_in, open, settings, text, write};
use entries::{document, forget_after};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluicebox_contract::{Class, Outcome, Sink};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// A process that one test starts holds, for a moment, the lock on the directory of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A file system of its own, of 64 KiB.
struct Small(TempDir);

impl Small {
    /// None, loudly, where the user may not mount.
    fn new() -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).output();
        let reason = match mounted {
            Ok(output) if output.status.success() => return Some(Self(folder)),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        not_run(&format!("no file system can be mounted: {reason}"));
        None
    }
}

impl AsRef<Path> for Small {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "it was mounted before");
    }
}

fn not_run(reason: &str) {
    let _unheard = writeln!(std::io::stderr(), "NOT RUN: {reason}");
}

#[tokio::test]
async fn on_a_full_disk_lines_wait_and_are_written_once_and_whole_when_there_is_room() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut partial = 0;
    // Full at each place: in the first line of a file, in a later one, in the list of files.
    for pages in 2..=12 {
        let Some(small) = Small::new() else {
            return;
        };
        partial += fill_up(&small, pages).await;
    }
    assert!(partial > 2, "the disk was full in the midst of a file only {partial} times");
}

/// Writes more than there is room for, then makes room; says how many files had some of their lines when there was none.
async fn fill_up(small: &Small, pages: usize) -> usize {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let body = |number: usize| format!("{number} {}", "x".repeat(1_000));
    let batch: Vec<_> = (0..60).map(|number| line_in(NAMES[number % 3], &body(number))).collect();
    let mut sink = open(settings(small));
    fs::write(small.as_ref().join("fills"), vec![0; pages * 4096]).expect("room for this");
    let outcome = sink.write(&batch).await;
    let (mut done, fault) = outcome.stopped.expect("no room");
    assert_eq!((fault.class, outcome.refused), (Class::Retry, vec![]));
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("free space")), "{fault}");
    let mut partial = 0;
    for name in NAMES {
        let text = fs::read_to_string(small.as_ref().join(name)).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with("x\n"), "a torn line in {name}");
        partial += usize::from((1..20).contains(&text.lines().count()));
    }
    let (further, _) = sink.write(&batch[done..]).await.stopped.expect("still no room");
    done += further;
    fs::remove_file(small.as_ref().join("fills")).expect("removed");
    // Whoever sends again may do so in pieces.
    for piece in batch[done..].chunks(7) {
        assert_eq!(sink.write(piece).await, Outcome::written());
    }
    for (index, name) in NAMES.into_iter().enumerate() {
        let expected: String = (0..60).filter(|number| number % 3 == index).map(|number| body(number) + "\n").collect();
        assert!(text(small, name) == expected, "{pages} pages, file {name}");
    }
    partial
}

#[tokio::test]
async fn a_line_that_waits_is_not_lost_because_a_later_forget_waits_too() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(small) = Small::new() else {
        return;
    };
    let mut sink = open(settings(&small));
    write(&mut sink, &[document("d", "1")]).await;
    let mut fills = fs::File::create(small.as_ref().join("fills")).expect("room for a name");
    while fills.write_all(&[0; 4096]).is_ok() {}
    let batch = [line("1"), forget_after("d", Duration::from_hours(1)), line("2")];
    for _ in 0..2 {
        let outcome = sink.write(&batch).await;
        let (index, fault) = outcome.stopped.expect("no room");
        assert_eq!((index, outcome.refused), (0, vec![]), "{fault}");
        assert!(fault.tried.contains("a.csv") && fault.hint.is_some_and(|hint| hint.contains("free space")));
    }
    drop(fills);
    fs::remove_file(small.as_ref().join("fills")).expect("removed");
    write(&mut sink, &batch).await;
    assert_eq!(text(&small, "a.csv"), "1\n2\n");
}

#[tokio::test]
async fn a_file_system_that_turns_read_only_holds_lines_up_and_loses_none() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(small) = Small::new() else {
        return;
    };
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(small.as_ref()).status();
        done.is_ok_and(|status| status.success())
    };
    let mut sink = open(settings(&small));
    write(&mut sink, &[line("1")]).await;
    drop(sink);
    if !remount("ro") {
        return not_run("the file system cannot be made read-only");
    }
    let mut sink = open(settings(&small));
    let (index, fault) = sink.write(&[line("2"), line("3")]).await.stopped.expect("read-only");
    assert_eq!((index, fault.class), (0, Class::Retry), "{fault}");
    assert!(remount("rw"));
    write(&mut sink, &[line("2"), line("3")]).await;
    assert_eq!(text(&small, "a.csv"), "1\n2\n3\n");
}

#[tokio::test]
async fn with_no_descriptor_left_lines_wait() {
    let _turn = ONE_AT_A_TIME.lock().await;
    // In a process of its own: the limit is for all of a process.
    let this = std::env::current_exe().expect("this test");
    let done =
        Command::new(this).args(["--exact", "in_a_process_with_few_descriptors", "--ignored"]).output().expect("it starts");
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn in_a_process_with_few_descriptors() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    write(&mut sink, &[line("1")]).await;
    let before = getrlimit(Resource::Nofile);
    let used = fs::read_dir("/proc/self/fd").expect("Linux").count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(used.saturating_sub(1)), ..before }).expect("lowered");
    let outcome = sink.write(&[line("2"), line_in("b", "1"), line("3")]).await;
    setrlimit(Resource::Nofile, before).expect("put back");
    let (index, fault) = outcome.stopped.expect("no descriptor");
    assert_eq!((index, fault.class), (1, Class::Retry), "{fault}");
    assert_eq!(sink.write(&[line_in("b", "1"), line("3")]).await, Outcome::written());
    assert_eq!((text(&folder, "a.csv").as_str(), text(&folder, "b").as_str()), ("1\n2\n3\n", "1\n"));
}
