//! Entries out of a store, as JSON lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;
use sluicebox_contract::Record;
use sluicebox_store::{Looks, StoreError};

use super::{named, whole};
use crate::harmless;
use crate::say;

/// Records that are taken out at a time.
const RECORDS: usize = 64;
const BYTES: usize = 1 << 20;

/// Prints the first entries that wait: at most so many.
pub(super) fn show(looks: &Looks, most: u64) -> Result<(), StoreError> {
    let mut left = most;
    looks.each(|record| {
        for line in lines(record, looks.first_open).into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            say::line(line);
            left -= 1;
        }
        left > 0
    })
}

/// Takes out everything.
pub(super) fn drain(path: &Path, to: Option<&Path>) -> Result<ExitCode, StoreError> {
    let mut queue = whole(path)?;
    let all = queue.len();
    let mut file = match to.map(opened).transpose() {
        Ok(file) => file,
        Err(error) => return Ok(failed(&error, to)),
    };
    let mut taken = 0;
    loop {
        let first_open = queue.first_open();
        let records = queue.read(RECORDS, BYTES)?;
        let Some(last) = records.last().map(Record::next) else { break };
        let text: String = records.iter().flat_map(|record| lines(record, first_open)).map(|line| line + "\n").collect();
        let written = match &mut file {
            Some(file) => write_whole(file, text.as_bytes()),
            None => std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()),
        };
        if let Err(error) = written {
            queue.close()?;
            return Ok(failed(&error, to));
        }
        taken += text.lines().count();
        queue.done_before(last)?;
        // On a full disk it may not be possible before the first file has gone.
        let _on_a_full_disk = queue.keep_place();
        say::complaint(format_args!("{taken} of {all} entries"));
    }
    if let Err(error) = queue.close() {
        say::complaint(format_args!(
            "error: {error}\nhint: all entries are written, though the store does not know it: they come once more unless there is some room \
             and it is drained again, or its directory is removed"
        ));
        return Ok(ExitCode::FAILURE);
    }
    say::complaint(format_args!("{taken} entries taken out of the store of {}", named(path).display()));
    Ok(ExitCode::SUCCESS)
}

/// A file whose last line is half, as of one that was killed, is gone on with in a new line.
fn opened(to: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(to)?;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        File::open(to)?.read_exact_at(&mut last, length - 1)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// All of it or nothing: the next attempt begins with a whole line.
fn write_whole(file: &mut File, text: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(text).and_then(|()| file.sync_data()).inspect_err(|_| drop(file.set_len(before)))
}

fn failed(error: &std::io::Error, to: Option<&Path>) -> ExitCode {
    let to = to.map_or_else(|| "standard output".to_owned(), |to| to.display().to_string());
    say::complaint(format_args!("error: cannot write to {to}: {error}; what is not written stays in the store"));
    ExitCode::FAILURE
}

/// The entries of a record that wait, each as a JSON object on a line of its own.
fn lines(record: &Record, first_open: u64) -> Vec<String> {
    let Ok(Value::Object(mut record_object)) = serde_json::from_slice::<Value>(&record.payload) else {
        return vec![
            serde_json::json!({"number": record.first, "unreadable": String::from_utf8_lossy(&record.payload)}).to_string(),
        ];
    };
    let Some(Value::Array(entries)) = record_object.remove("entries") else { return Vec::new() };
    let numbered = (record.first..).zip(entries).filter(|(number, _)| *number >= first_open);
    numbered
        .map(|(number, entry)| {
            let mut object = serde_json::Map::new();
            object.insert("number".to_owned(), number.into());
            object.extend(record_object.clone());
            object.insert("entry".to_owned(), entry);
            harmless::json(&Value::Object(object).to_string())
        })
        .collect()
}
