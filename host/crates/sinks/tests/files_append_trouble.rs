//! Proves that no line is lost or torn by crashes and by whoever else has his hands on the files, and that none leaves the directory.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod appending;
mod entries;

use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::pin::pin;
use std::task::Poll;

use appending::{folder, headed, line, line_in, names, open, settings, text, write};
use entries::document;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sluicebox_contract::{ByteSize, Class, Sink};

#[tokio::test]
async fn a_line_that_a_crash_has_torn_is_ended_before_the_next() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), "h\n1\nhal").expect("a file");
    write(&mut open(settings(&folder)), &[headed("h", "2")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\n1\nhal\n2\n");
}

#[tokio::test]
async fn a_file_that_others_remove_move_replace_or_empty_is_begun_anew() {
    let folder = folder();
    let path = folder.path().join("a.csv");
    let mut sink = open(settings(&folder));
    write(&mut sink, &[headed("h", "1")]).await;
    fs::remove_file(&path).expect("removed");
    write(&mut sink, &[line("2")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\n2\n");
    fs::rename(&path, folder.path().join("moved")).expect("moved, as logrotate does");
    fs::write(&path, "").expect("made anew, as logrotate does with `create`");
    write(&mut sink, &[headed("h", "3")]).await;
    assert_eq!((text(&folder, "a.csv").as_str(), text(&folder, "moved").as_str()), ("h\n3\n", "h\n2\n"));
    fs::File::options().write(true).open(&path).expect("a file").set_len(0).expect("emptied, as with `copytruncate`");
    write(&mut sink, &[line("4")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\n4\n");
    let mut other = fs::File::options().append(true).open(&path).expect("a file");
    other.write_all(b"of somebody else").expect("written");
    write(&mut sink, &[headed("h", "5")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\n4\nof somebody else\n5\n");
}

#[tokio::test]
async fn a_directory_that_is_removed_under_the_sink_is_made_again() {
    let folder = folder();
    let directory = folder.path().join("d");
    let mut sink = open(settings(&directory));
    write(&mut sink, &[headed("h", "1"), line_in("b", "1")]).await;
    fs::remove_dir_all(&directory).expect("removed");
    write(&mut sink, &[line("2"), line_in("b", "2")]).await;
    assert_eq!((text(&directory, "a.csv").as_str(), text(&directory, "b").as_str()), ("h\n2\n", "2\n"));
    assert_eq!(names(&directory), [".sluicebox-appended", "a.csv", "b"]);
}

#[tokio::test]
async fn what_is_no_regular_file_is_never_written_to_and_holds_up_no_other() {
    let outside = folder();
    let folder = folder();
    fs::write(outside.path().join("target"), "untouched").expect("a file");
    symlink(outside.path().join("target"), folder.path().join("link")).expect("a link");
    symlink(outside.path().join("new"), folder.path().join("dangling")).expect("a link");
    fs::create_dir(folder.path().join("directory")).expect("a directory");
    mknodat(CWD, folder.path().join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let mut sink = open(settings(&folder));
    let bad = ["link", "dangling", "directory", "pipe", "../up", "/etc/x", "", "..", "a\0b", ".sluicebox-appended"];
    let mut batch: Vec<_> = bad.iter().map(|name| line_in(name, "1")).collect();
    batch.push(line("1"));
    let outcome = sink.write(&batch).await;
    assert_eq!((outcome.stopped, outcome.refused.len()), (None, bad.len()));
    for (index, refusal) in outcome.refused.iter().enumerate() {
        assert_eq!(refusal.index, index);
        assert_eq!(refusal.reason.contains("in the way"), index < 4, "{}", refusal.reason);
    }
    assert_eq!(text(&folder, "a.csv"), "1\n");
    assert_eq!((text(&outside, "target").as_str(), names(&outside)), ("untouched", vec!["target".to_owned()]));
}

#[tokio::test]
async fn what_is_in_the_way_of_the_file_of_the_settings_holds_lines_up_until_it_is_gone() {
    let folder = folder();
    let path = folder.path().join("a.csv");
    let mut sink = open(settings(&folder));
    for what in ["directory", "link", "something other"] {
        match what {
            "directory" => fs::create_dir(&path).expect("a directory"),
            "link" => symlink("elsewhere", &path).expect("a link"),
            _ => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe"),
        }
        let (index, fault) = sink.write(&[line_in("b", what), line(what), line_in("c", what)]).await.stopped.expect("in the way");
        assert_eq!((index, fault.class), (1, Class::Retry), "{fault}");
        assert!(fault.cause.contains(what) && fault.hint.as_ref().is_some_and(|hint| hint.contains("`append.file`")), "{fault}");
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).expect("removed");
        write(&mut sink, &[line(what), line_in("c", what)]).await;
        assert_eq!(text(&folder, "a.csv"), format!("{what}\n"));
        fs::remove_file(&path).expect("removed");
    }
    assert_eq!(
        (text(&folder, "b"), text(&folder, "c")),
        ("directory\nlink\nsomething other\n".into(), "directory\nlink\nsomething other\n".into())
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_rotated_is_appended_to_nevertheless() {
    let folder = folder();
    let mut config = settings(&folder);
    let append = config.append.as_mut().expect("set");
    (append.max_bytes, append.file) = (ByteSize(8), "a.csv".to_owned());
    for name in ["a.csv.1", "b.1"] {
        fs::create_dir(folder.path().join(name)).expect("a directory");
    }
    let mut sink = open(config.clone());
    for number in 0..5 {
        write(&mut sink, &[line(&format!("line {number}")), line_in("b", &format!("line {number}"))]).await;
    }
    let expected = "line 0\nline 1\nline 2\nline 3\nline 4\n";
    assert_eq!((text(&folder, "a.csv").as_str(), text(&folder, "b").as_str()), (expected, expected));
    drop(sink);
    fs::remove_dir(folder.path().join("a.csv.1")).expect("removed");
    write(&mut open(config), &[line("line 5")]).await;
    assert_eq!((text(&folder, "a.csv.1").as_str(), text(&folder, "a.csv").as_str()), (expected, "line 5\n"));
}

#[tokio::test]
async fn a_batch_that_nobody_waited_for_is_not_doubled_for_a_line_of_it_that_is_refused() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    write(&mut sink, &[headed("one", "0")]).await;
    // The second heading rotates, the third comes too early.
    let batch = [headed("two", "1"), headed("three", "2"), headed("two", "3")];
    for _ in 0..3 {
        // Looked at once and dropped; one that is through already has been heard.
        let mut given_up = pin!(sink.write(&batch));
        if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await {
            return assert_eq!(outcome.refused.len(), 1);
        }
    }
    let outcome = sink.write(&batch).await;
    assert_eq!((outcome.refused.len(), outcome.refused[0].index, outcome.stopped), (1, 1, None));
    assert_eq!(text(&folder, "a.csv"), "two\n1\n3\n");
}

#[tokio::test]
async fn one_file_more_than_the_limit_is_refused_and_names_that_failed_do_not_count() {
    let folder = folder();
    let mut config = settings(&folder);
    config.append.as_mut().expect("set").max_files = 2;
    fs::create_dir(folder.path().join("x")).expect("a directory");
    let mut sink = open(config);
    assert_eq!(sink.write(&[line_in("x", "1")]).await.refused.len(), 1);
    write(&mut sink, &[line_in("one", "1"), line_in("two", "1")]).await;
    let outcome = sink.write(&[line_in("three", "1"), line_in("one", "2")]).await;
    assert_eq!((outcome.refused.len(), outcome.stopped), (1, None));
    assert!(outcome.refused[0].reason.contains("`max-files` is 2"), "{}", outcome.refused[0].reason);
    assert_eq!(names(&folder), [".sluicebox-appended", "one", "two", "x"]);
}

#[tokio::test]
async fn names_of_documents_and_lines_of_an_earlier_run_are_known() {
    let folder = folder();
    write(&mut open(settings(&folder)), &[line_in("x", "1")]).await;
    let outcome = open(settings(&folder)).write(&[document("x", "2")]).await;
    assert_eq!(outcome.refused.len(), 1);
    for garbage in ["", "{", "\0", r#"{"version":1,"appended":[{"name":"../x","began-unix-milliseconds":1}]}"#] {
        fs::write(folder.path().join(".sluicebox-appended"), garbage).expect("a file");
        write(&mut open(settings(&folder)), &[line_in("y", garbage)]).await;
    }
}
