//! What is found of a queue at the start, and what is made of it.

use std::collections::VecDeque;
use std::fs::File;
use std::time::Instant;

use super::segment::{self, Segment, first_of};
use super::{Queue, QueueSettings, place};
use crate::StoreError;
use crate::directory::Directory;

/// What an opened queue has had in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Entries that wait.
    pub entries: u64,
    /// Bytes at the end of files that were cut off: they were never finished, or have changed.
    pub cut: u64,
    /// Entries that are known to be missing, in the middle or with a file. How many were behind the last good entry of all, nothing tells.
    pub missing: u64,
}

pub(super) fn open(directory: Directory, settings: QueueSettings) -> Result<(Queue, Recovered), StoreError> {
    let lock = directory.lock()?;
    let place = place::kept(&directory)?;
    let (mut files, mut recovered) = (VecDeque::<Segment>::new(), Recovered::default());
    for first in numbers(&directory)? {
        let before = files.back().map_or(0, |last| last.next());
        // Nobody writes entries that another file has already; read as they stand they would hide what comes behind both.
        let Some(found) = segment::look(&directory, first)?.filter(|_| first >= before) else {
            recovered.cut += directory.size(segment::name(first)).unwrap_or(0);
            directory.remove(segment::name(first))?;
            continue;
        };
        if found.behind > 0 {
            recovered.cut += found.behind;
            directory.cut(&segment::name(first), found.segment.bytes)?;
        }
        files.push_back(found.segment);
    }
    let done = place.unwrap_or(0);
    let next = files.back().map_or(done, |last| last.next().max(done));
    let first_open = files.front().map_or(next, |oldest| oldest.first.max(done));
    recovered.missing = missing(&files, first_open);
    recovered.entries = files.iter().map(|file| file.next().saturating_sub(file.first.max(first_open))).sum();
    let (tail, files) = tail(&directory, files, next)?;
    let queue = Queue {
        directory,
        settings,
        files,
        tail,
        gathered: Vec::new(),
        gathered_entries: 0,
        reading: None,
        next_read: first_open,
        first_open,
        unsynced_since: None,
        placed: (Instant::now(), done),
        dropped: 0,
        damaged: recovered.missing,
        _lock: lock,
    };
    Ok((queue, recovered))
}

/// The numbers of the first entries of all files, in order.
pub(super) fn numbers(directory: &Directory) -> Result<Vec<u64>, StoreError> {
    let mut numbers: Vec<u64> = directory.names()?.iter().filter_map(|name| first_of(name.to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is missing between the files, of what is not done.
pub(super) fn missing<'a>(files: impl IntoIterator<Item = &'a Segment> + Clone, first_open: u64) -> u64 {
    let gaps = files.clone().into_iter().zip(files.into_iter().skip(1));
    gaps.map(|(one, next)| next.first.max(first_open).saturating_sub(one.next().max(first_open))).sum()
}

/// The file that is written to from here on: a new one, so that nothing is written behind what may be broken.
fn tail(directory: &Directory, mut files: VecDeque<Segment>, next: u64) -> Result<(File, VecDeque<Segment>), StoreError> {
    // One without entries has its name.
    while files.back().is_some_and(|last| last.entries == 0) {
        if let Some(empty) = files.pop_back() {
            directory.remove(empty.name())?;
        }
    }
    let (tail, segment) = segment::create(directory, next)?;
    directory.sync()?;
    files.push_back(segment);
    Ok((tail, files))
}
