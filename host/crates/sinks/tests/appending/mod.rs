//! A directory that lines are appended in.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::Path;

use sluicebox_contract::{Entry, Message, Outcome, Sink};
use sluicebox_sinks::files::{Append, Config};
use sluicebox_sinks::{AnySink, Config as SinkConfig, Surroundings};
use tempfile::{TempDir, tempdir};

pub(crate) fn folder() -> TempDir {
    tempdir().expect("a folder")
}

pub(crate) fn settings(folder: impl AsRef<Path>) -> Config {
    let mut config = Config::new(folder.as_ref());
    config.append = Some(Append::new("a.csv"));
    config
}

pub(crate) fn open(config: Config) -> AnySink {
    AnySink::new("lines", &SinkConfig::Files(config), &Surroundings::default()).expect("a sink")
}

pub(crate) async fn write(sink: &mut AnySink, batch: &[Entry]) {
    assert_eq!(sink.write(batch).await, Outcome::written());
}

pub(crate) fn line(body: &str) -> Entry {
    Entry::Message(Message { body: body.into(), ..Message::default() })
}

pub(crate) fn line_in(channel: &str, body: &str) -> Entry {
    Entry::Message(Message { channel: Some(channel.to_owned()), body: body.into(), ..Message::default() })
}

pub(crate) fn headed(heading: &str, body: &str) -> Entry {
    let headers = vec![("heading".to_owned(), heading.to_owned())];
    Entry::Message(Message { headers, body: body.into(), ..Message::default() })
}

pub(crate) fn text(folder: impl AsRef<Path>, name: &str) -> String {
    fs::read_to_string(folder.as_ref().join(name)).expect("the file")
}

pub(crate) fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let items = fs::read_dir(folder).expect("a directory");
    let mut names: Vec<_> = items.map(|item| item.expect("an item").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}
