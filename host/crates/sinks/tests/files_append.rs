//! Proves what the files sink promises about lines: which file they are in, what stands on top, when a file is rotated.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod appending;
mod entries;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use appending::{folder, headed, line, line_in, names, open, settings, text, write};
use entries::{document, document_in, forget, forget_after};
use sluicebox_contract::{ByteSize, Entry, Sink, TimeSpan};
use sluicebox_sinks::files::{Durability, FileMode, RemoveUnclaimed};

#[tokio::test]
async fn lines_go_to_the_file_of_the_settings_or_of_their_channel_in_order() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    write(&mut sink, &[line("1"), line_in("b.csv", "x"), line("2\n"), line(""), line_in("b.csv", "\"y\ny\""), line("3")]).await;
    write(&mut sink, &[line("4")]).await;
    assert_eq!(text(&folder, "a.csv"), "1\n2\n3\n4\n");
    assert_eq!(text(&folder, "b.csv"), "x\n\"y\ny\"\n");
}

#[tokio::test]
async fn a_hundred_thousand_lines_to_two_files_are_there_in_order() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    let channel = |number: usize| if number.is_multiple_of(3) { "three" } else { "others" };
    let all: Vec<Entry> = (0..100_000).map(|number| line_in(channel(number), &number.to_string())).collect();
    for batch in all.chunks(256) {
        write(&mut sink, batch).await;
    }
    for name in ["three", "others"] {
        let expected: Vec<_> = (0..100_000).filter(|number| channel(*number) == name).map(|number| number.to_string()).collect();
        assert!(text(&folder, name).lines().eq(expected), "{name}");
    }
}

#[tokio::test]
async fn a_restart_continues_the_file() {
    let folder = folder();
    for run in ["1", "2", "3"] {
        write(&mut open(settings(&folder)), &[headed("h", run)]).await;
    }
    assert_eq!(text(&folder, "a.csv"), "h\n1\n2\n3\n");
    assert_eq!(names(&folder), [".sluicebox-appended", "a.csv"]);
}

#[tokio::test]
async fn a_file_is_rotated_before_it_exceeds_its_size_and_the_oldest_goes() {
    let folder = folder();
    let mut config = settings(&folder);
    let append = config.append.as_mut().expect("set");
    (append.max_bytes, append.keep) = (ByteSize(8), 2);
    let mut sink = open(config);
    let batch = ["h1", "h2", "h3", "h4", "h5"].map(|body| headed("h", body));
    write(&mut sink, &batch).await;
    assert_eq!((text(&folder, "a.csv"), text(&folder, "a.csv.1")), ("h\nh5\n".to_owned(), "h\nh3\nh4\n".to_owned()));
    assert_eq!(text(&folder, "a.csv.2"), "h\nh1\nh2\n");
    write(&mut sink, &[line("larger than any"), line("h6")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\nh6\n");
    assert_eq!(text(&folder, "a.csv.1"), "h\nlarger than any\n");
    assert_eq!(text(&folder, "a.csv.2"), "h\nh5\n");
    assert_eq!(names(&folder), [".sluicebox-appended", "a.csv", "a.csv.1", "a.csv.2"]);
}

#[tokio::test]
async fn with_nothing_to_keep_a_file_begins_anew() {
    let folder = folder();
    let mut config = settings(&folder);
    let append = config.append.as_mut().expect("set");
    (append.max_bytes, append.keep, append.sync) = (ByteSize(4), 0, Durability::EachWrite);
    let mut sink = open(config);
    write(&mut sink, &[line("1"), line("2"), line("3")]).await;
    assert_eq!(text(&folder, "a.csv"), "3\n");
    assert_eq!(names(&folder), [".sluicebox-appended", "a.csv"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_rotated_by_the_first_line_after_its_age() {
    let folder = folder();
    let mut config = settings(&folder);
    config.append.as_mut().expect("set").max_age = Some(TimeSpan(Duration::from_hours(1)));
    let mut sink = open(config);
    write(&mut sink, &[headed("h", "")]).await;
    tokio::time::advance(Duration::from_hours(2)).await;
    write(&mut sink, &[headed("h", "1")]).await;
    tokio::time::advance(Duration::from_mins(59)).await;
    write(&mut sink, &[line("2")]).await;
    assert_eq!(names(&folder), [".sluicebox-appended", "a.csv"], "the age counts from the first line");
    tokio::time::advance(Duration::from_mins(1)).await;
    write(&mut sink, &[headed("h", "")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\n1\n2\n", "nothing to be written, nothing to be rotated");
    write(&mut sink, &[line("3"), line("4")]).await;
    assert_eq!((text(&folder, "a.csv").as_str(), text(&folder, "a.csv.1").as_str()), ("h\n3\n4\n", "h\n1\n2\n"));
}

#[tokio::test]
async fn the_heading_stands_on_top_of_every_file_once() {
    for (before, batch, now, rotated) in [
        ("", vec![headed("h", "1"), headed("h", "2"), line("3")], "h\n1\n2\n3\n", None),
        ("h\n0\n", vec![headed("h", "1")], "h\n0\n1\n", None),
        ("h\n0\n", vec![line("1")], "h\n0\n1\n", None),
        ("h;i\n0\n", vec![headed("h", "1")], "h\n1\n", Some("h;i\n0\n")),
        ("h", vec![headed("h;i", "1")], "h;i\n1\n", Some("h\n")),
        ("0\n", vec![line("1"), headed("h", "2")], "h\n2\n", Some("0\n1\n")),
        ("", vec![headed("h", "")], "h\n", None),
        ("", vec![headed("h", ""), headed("i", "1")], "i\n1\n", Some("h\n")),
    ] {
        let folder = folder();
        if !before.is_empty() {
            fs::write(folder.path().join("a.csv"), before).expect("a file");
        }
        write(&mut open(settings(&folder)), &batch).await;
        assert_eq!(text(&folder, "a.csv"), now, "{before:?} {batch:?}");
        assert_eq!(fs::read_to_string(folder.path().join("a.csv.1")).ok().as_deref(), rotated, "{before:?} {batch:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_disagree_on_the_heading_do_not_rotate_everything_away() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    let batch: Vec<_> = (0..20).map(|number| headed(["h", "i"][number % 2], &number.to_string())).collect();
    let outcome = sink.write(&batch).await;
    let refused: Vec<_> = outcome.refused.iter().map(|refusal| refusal.index).collect();
    assert_eq!((refused, outcome.stopped), ((2..20).step_by(2).collect(), None));
    assert!(outcome.refused[0].reason.contains("channels of their own"), "{}", outcome.refused[0].reason);
    assert_eq!(names(&folder), [".sluicebox-appended", "a.csv", "a.csv.1"]);
    tokio::time::advance(Duration::from_mins(1)).await;
    write(&mut sink, &[headed("h", "again")]).await;
    assert_eq!(text(&folder, "a.csv"), "h\nagain\n");
}

#[tokio::test]
async fn no_name_is_a_documents_and_a_file_of_lines() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    write(&mut sink, &[document("d", "1"), line_in("x.log", "1")]).await;
    for entry in [
        line_in("d", "2"),
        line_in("a.csv.1", "2"),
        document("a.csv", "2"),
        document("x.log", "2"),
        document("x.log.3", "2"),
        document_in("x.log", "y", "2"),
        forget("x.log"),
        forget_after("x.log", Duration::from_secs(9)),
    ] {
        let outcome = sink.write(std::slice::from_ref(&entry)).await;
        assert_eq!((outcome.refused.len(), outcome.stopped), (1, None), "{entry:?}");
    }
    assert_eq!((text(&folder, "d"), text(&folder, "x.log")), ("1".to_owned(), "1\n".to_owned()));
    write(&mut sink, &[forget("d"), line_in("d", "2")]).await;
    assert_eq!(text(&folder, "d"), "2\n", "the name is free again");
}

#[tokio::test(start_paused = true)]
async fn what_was_appended_to_is_never_unclaimed_nor_forgotten() {
    let folder = folder();
    let mut config = settings(&folder);
    let append = config.append.as_mut().expect("set");
    append.max_bytes = ByteSize(1);
    config.remove_unclaimed = Some(RemoveUnclaimed { suffix: String::from("1"), after: TimeSpan(Duration::ZERO) });
    write(&mut open(config.clone()), &[line_in("x1", "1"), line_in("x1", "2")]).await;
    fs::write(folder.path().join("unclaimed1"), "").expect("a file");
    // Also by a run that appends nothing.
    for append in [config.append.clone(), None] {
        config.append = append;
        let mut sink = open(config.clone());
        write(&mut sink, &[]).await;
        sink.settled().await.expect("settled");
        assert_eq!(names(&folder), [".sluicebox-appended", "x1", "x1.1"]);
    }
    config.append = None;
    write(&mut open(config), &[document("x1", "a document now")]).await;
    assert_eq!(names(&folder), ["x1", "x1.1"]);
}

#[tokio::test]
async fn a_new_file_has_the_mode_of_the_settings_and_one_that_was_there_keeps_its_own() {
    let folder = folder();
    fs::write(folder.path().join("old"), "0\n").expect("a file");
    fs::set_permissions(folder.path().join("old"), fs::Permissions::from_mode(0o604)).expect("ours");
    let mut config = settings(&folder);
    config.mode = FileMode(0o640);
    write(&mut open(config), &[line("1"), line_in("old", "1")]).await;
    let mode = |name: &str| fs::metadata(folder.path().join(name)).expect("a file").mode() & 0o777;
    assert_eq!((mode("a.csv"), mode("old")), (0o640, 0o604));
}

#[tokio::test]
async fn without_the_setting_messages_are_refused_with_a_hint() {
    let folder = folder();
    let mut config = settings(&folder);
    config.append = None;
    let outcome = open(config).write(&[line("1"), document("d", "1")]).await;
    assert_eq!(outcome.refused[0].index, 0);
    assert!(outcome.refused[0].reason.contains("set `append`"), "{}", outcome.refused[0].reason);
    assert_eq!((outcome.stopped, names(&folder)), (None, vec!["d".to_owned()]));
}

#[tokio::test]
async fn a_batch_whose_outcome_nobody_waited_for_is_not_written_twice() {
    let folder = folder();
    let mut sink = open(settings(&folder));
    write(&mut sink, &[line("1")]).await;
    let batch = [line("1"), line_in("b", "1"), line("2")];
    let mut heard = 0;
    for _ in 0..100 {
        // Polled once: the work has begun beside, and nobody hears of it, except when it is done that quickly.
        let mut given_up = Box::pin(sink.write(&batch));
        heard += usize::from(futures::poll!(&mut given_up).is_ready());
    }
    assert!(heard < 100, "nothing was given up");
    write(&mut sink, &batch).await;
    // A new line that looks like the last one.
    write(&mut sink, &[line("2")]).await;
    assert_eq!(text(&folder, "a.csv"), format!("1\n{}2\n", "1\n2\n".repeat(heard + 1)));
    assert_eq!(text(&folder, "b"), "1\n".repeat(heard + 1));
}
