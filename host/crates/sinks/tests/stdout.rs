//! Proves what the stdout sink does at a pipe: whole lines in order, and nobody waits for a slow reader but itself.

mod entries;

use std::io::{BufRead, BufReader, Read, pipe};
use std::time::Duration;

use entries::{document, forget_after, message};
use sluicebox_contract::{Class, Entry, Outcome, Sink};
use sluicebox_sinks::stdout::{Config, Format, Stdout};
use tokio::time::timeout;

fn config(format: Format) -> Config {
    Config { format }
}

#[tokio::test]
async fn entries_become_lines_in_order() {
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut sink = Stdout::to(writer, &config(Format::Text));
    let batch = [message("c", "one"), document("a.meta", "{\n}\n"), forget_after("a.meta", Duration::from_mins(1))];
    assert_eq!(sink.write(&batch).await, Outcome::written());
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the text");
    assert_eq!(text, "one\nput a.meta {\\n}\nforget a.meta after 1m\n");
}

#[tokio::test]
async fn every_line_of_the_json_form_is_an_object() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut sink = Stdout::to(writer, &config(Format::Json));
    assert_eq!(sink.write(&[message("c", "a\nb"), document("n", "\u{1b}")]).await, Outcome::written());
    drop(sink);
    let lines: Vec<serde_json::Value> =
        BufReader::new(reader).lines().map(|line| serde_json::from_str(&line.expect("a line")).expect("an object")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["message"]["body"], "a\nb");
}

/// More than any pipe holds.
fn flood() -> Vec<Entry> {
    (0..2_000).map(|number| message("c", &format!("{number:04} {}", "x".repeat(1_000)))).collect()
}

#[tokio::test]
async fn a_full_pipe_does_not_block_the_executor_and_nothing_is_torn_when_it_flows_again() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut sink = Stdout::to(writer, &config(Format::Text));
    // Nobody reads: the write hangs, and the one thread of this executor goes on all the same.
    timeout(Duration::from_millis(100), sink.write(&flood())).await.expect_err("the pipe is full");
    timeout(Duration::from_millis(50), sink.write(&[message("c", "later")])).await.expect_err("order is kept");

    let lines = std::thread::spawn(move || BufReader::new(reader).lines().map(|line| line.expect("a line")).collect::<Vec<_>>());
    assert_eq!(sink.write(&[message("c", "last")]).await, Outcome::written());
    drop(sink);
    let lines = lines.join().expect("the reader");
    assert_eq!(lines.len(), 2_001);
    assert!(lines.iter().take(2_000).enumerate().all(|(number, line)| line.starts_with(&format!("{number:04} "))));
    assert_eq!(lines[2_000], "last");
}

#[tokio::test]
async fn a_pipe_that_does_not_wait_is_waited_for() {
    let (reader, writer) = pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a pipe that does not wait");
    let mut sink = Stdout::to(writer, &config(Format::Text));
    let lines = std::thread::spawn(move || BufReader::new(reader).lines().count());
    assert_eq!(sink.write(&flood()).await, Outcome::written());
    drop(sink);
    assert_eq!(lines.join().expect("the reader"), 2_000);
}

#[tokio::test]
async fn a_closed_pipe_is_fatal_and_says_so() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut sink = Stdout::to(writer, &config(Format::Text));
    let (index, fault) = sink.write(&[message("c", "x")]).await.stopped.expect("a fault");
    assert_eq!((index, fault.class), (0, Class::Fatal));
    assert_eq!(
        fault.to_string(),
        "cannot write to standard output: broken pipe (hint: whoever reads it has gone: keep the reader running or leave the stdout sink out)"
    );
}

#[tokio::test]
async fn a_full_disk_is_tried_again() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    let mut sink = Stdout::to(full, &config(Format::Text));
    let (index, fault) = sink.write(&[message("c", "x"), message("c", "y")]).await.stopped.expect("a fault");
    assert_eq!((index, fault.class), (0, Class::Retry));
    assert!(fault.hint.is_some_and(|hint| hint.contains("free space")));
}
